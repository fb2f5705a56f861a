/* How the rooms of natsim report what went wrong: one clear line in an `ns_error`. */
#ifndef NATSIM_FAIL_H
#define NATSIM_FAIL_H

#include "netns/netns.h"

/* Exit statuses of the command. */
enum sim_exit {
  SIM_EXIT_OK = 0,     /* every trial came to `connected` or `failed`, every check held */
  SIM_EXIT_FAILED = 1, /* a check that was asked for failed, or a trial was an `error` */
  SIM_EXIT_USAGE = 2,  /* the command line cannot be carried out as written */
  SIM_EXIT_NO_LAB = 3, /* the laboratory could not be built */
};

/* Writes the line (cut to what fits) and returns `code`, so that a caller can
 * `return sim_fail(...)`. A NULL `error` is allowed. */
int sim_fail(ns_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
