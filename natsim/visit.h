/* `natsim lab exec`: sends a program into a laboratory and stays with it until it ends. */
#ifndef NATSIM_VISIT_H
#define NATSIM_VISIT_H

#include "natsim/wire.h"

/* Runs argv (NULL-terminated) on `host` of the laboratory `name`, with this process's input,
 * output, folder and environment. When input and output are a terminal, the program gets one of its
 * own that looks through it, so that keys like Ctrl-C and Ctrl-Z mean what they do everywhere; else
 * signals are passed on. Returns its exit status, 128 + signal, or one of enum sim_exit, 126 or 127
 * when it never ran: then this says why on stderr. */
int sim_visit(const char *name, const char *host, char *const argv[]);

#endif
