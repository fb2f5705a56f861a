/* What a trial came to, and how it is written: one JSON object a line. */
#ifndef NATSIM_RESULTS_H
#define NATSIM_RESULTS_H

#include "natsim/plan.h"

#include <jansson.h>

enum sim_outcome { SIM_CONNECTED, SIM_FAILED, SIM_ERROR };

/* What is told of a trial. Empty strings, negative times and NULL mean: not known. */
typedef struct sim_result {
  enum sim_outcome outcome;
  char winner[48];
  char phase[24];
  char transport[16];
  char path[16];
  int family;
  double connect_ms, lookup_ms;
  bool echo_ok;
  bool counted;                /* packets are known */
  uint64_t packets[SIM_SIDES]; /* sent while connecting */
  char reason[640];            /* when not connected */
  json_t *attempts[SIM_SIDES]; /* arrays, owned */
  json_t *start[SIM_SIDES];    /* how each peer started, objects, owned */
  json_t *logs[SIM_SIDES];     /* of an error: the end of what each peer wrote to stderr, owned */
} sim_result;

/* A result of which nothing is known yet. */
sim_result sim_result_new(void);
void sim_result_free(sim_result *result);

/* The record of results/trials.jsonl; takes nothing. NULL when out of memory. */
json_t *sim_result_json(const sim_trial *trial, const char *plugin, const sim_result *result);
/* "connected", "failed" or "error". */
const char *sim_outcome_name(enum sim_outcome outcome);

/* A JSON string of words that a program wrote: bytes that are no UTF-8 become question marks. */
json_t *sim_safe_text(const char *text);

/* What the closing table and the comparison need of a trial. */
typedef struct sim_summary {
  size_t a, b; /* indexes into the plan's rows and columns */
  unsigned trial;
  enum sim_outcome outcome;
  char winner[48];
  char path[16];
  double connect_ms;
  char reason[640];
} sim_summary;

/* Reads a record back. Returns 0, or -1 when it is not one. Sets all but `a`, `b` and `trial`. */
int sim_summary_read(const json_t *record, sim_summary *out);

#endif
