/* The closing table for a person: rows a, columns b, winner and median time of every pair. */
#ifndef NATSIM_TABLE_H
#define NATSIM_TABLE_H

#include "natsim/results.h"

#include <stdio.h>

/* Writes the table, its legend and one line of totals. */
void sim_table_print(FILE *out, const sim_plan *plan, const sim_summary *trials, size_t count);

/* The median of `count` values, which it sorts; negative when there are none. */
double sim_median(double *values, size_t count);

#endif
