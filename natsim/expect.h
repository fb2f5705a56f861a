/*
 * The table of expected outcomes, kept as data. Two forms:
 *   tab separated, the first line naming the columns: a b outcome path reason (in any order)
 *   JSON lines with the same keys
 * `#` lines and empty ones are skipped. `path` is `-` or empty where nothing connects. `reason`
 * says why the cell is so; it is required, and not compared.
 */
#ifndef NATSIM_EXPECT_H
#define NATSIM_EXPECT_H

#include "natsim/results.h"

#include <stdio.h>

typedef struct sim_expected {
  char a[SIM_PROFILE_NAME], b[SIM_PROFILE_NAME];
  enum sim_outcome outcome;
  char path[16];
  char reason[256];
} sim_expected;

typedef struct sim_expectations {
  sim_expected *rows;
  size_t count;
} sim_expectations;

/* Reads a table. Returns 0, or -1 with a line that names the file's line. Free with
 * sim_expect_free. */
int sim_expect_load(const char *path, sim_expectations *out, ns_error *error);
int sim_expect_read(FILE *in, const char *path, sim_expectations *out, ns_error *error);
void sim_expect_free(sim_expectations *table);

/* Compares every trial with the table and writes one line to `out` for each that differs, for the
 * worse or the better, or that the table does not know. Returns how many. */
size_t sim_expect_check(const sim_expectations *table, const sim_plan *plan,
                        const sim_summary *trials, size_t count, FILE *out);

#endif
