#include "natsim/table.h"

#include <stdlib.h>
#include <string.h>

enum { CELL = 64 };

static int ascending(const void *left, const void *right) {
  double l = *(const double *)left, r = *(const double *)right;
  return (l > r) - (l < r);
}

double sim_median(double *values, size_t count) {
  if (!count)
    return -1;
  qsort(values, count, sizeof *values, ascending);
  return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* What the trials of one pair came to. */
typedef struct cell {
  size_t trials, connected, relayed, errors;
  const char *winner; /* of most connections */
  double median_ms;
} cell;

static bool in_cell(const sim_summary *trial, size_t a, size_t b) {
  return trial->a == a && trial->b == b;
}

static const char *most_frequent_winner(const sim_summary *trials, size_t count, size_t a,
                                        size_t b) {
  const char *best = "";
  size_t best_count = 0;
  for (size_t i = 0; i < count; i++) {
    if (!in_cell(&trials[i], a, b) || trials[i].outcome != SIM_CONNECTED)
      continue;
    size_t same = 0;
    for (size_t j = i; j < count; j++)
      same += in_cell(&trials[j], a, b) && trials[j].outcome == SIM_CONNECTED &&
              !strcmp(trials[j].winner, trials[i].winner);
    if (same > best_count) {
      best = trials[i].winner;
      best_count = same;
    }
  }
  return best;
}

static cell make_cell(const sim_summary *trials, size_t count, size_t a, size_t b,
                      double *scratch) {
  cell c = {.median_ms = -1};
  for (size_t i = 0; i < count; i++) {
    if (!in_cell(&trials[i], a, b))
      continue;
    c.trials++;
    c.errors += trials[i].outcome == SIM_ERROR;
    if (trials[i].outcome != SIM_CONNECTED)
      continue;
    scratch[c.connected++] = trials[i].connect_ms;
    c.relayed += !strcmp(trials[i].path, "relay");
  }
  c.median_ms = sim_median(scratch, c.connected);
  c.winner = most_frequent_winner(trials, count, a, b);
  return c;
}

/* "udp_punch 83", "turn* 121", "udp_punch 83 (2/3)", "failed", "error". */
static void format_cell(const cell *c, char out[CELL]) {
  if (!c->trials) {
    snprintf(out, CELL, "-");
    return;
  }
  if (!c->connected) {
    snprintf(out, CELL, "%s", c->errors ? "error" : "failed");
    return;
  }
  int used = snprintf(out, CELL, "%.40s%s %.0f", *c->winner ? c->winner : "?",
                      c->relayed ? "*" : "", c->median_ms);
  if (c->connected < c->trials && used > 0 && used < CELL)
    snprintf(out + used, CELL - (size_t)used, " (%zu/%zu)", c->connected, c->trials);
}

static void print_row(FILE *out, const char *head, const char *cells, size_t columns,
                      const int *widths) {
  char line[4096];
  size_t used = (size_t)snprintf(line, sizeof line, "%-*s", widths[0], head);
  for (size_t b = 0; b < columns && used < sizeof line; b++)
    used += (size_t)snprintf(line + used, sizeof line - used, "  %-*s", widths[b + 1],
                             cells + b * SIM_PROFILE_NAME);
  if (used >= sizeof line)
    used = sizeof line - 1;
  while (used && line[used - 1] == ' ')
    line[--used] = 0;
  fprintf(out, "%s\n", line);
}

static void widen(int *width, const char *text) {
  int len = (int)strlen(text);
  if (len > *width)
    *width = len;
}

/* `grid` holds, row by row, the heads of the columns and then the cells of every a. */
static void print_grid(FILE *out, const sim_plan *plan, const char *grid, int *widths) {
  size_t columns = plan->b_count;
  widen(&widths[0], "a \\ b");
  for (size_t a = 0; a < plan->a_count; a++)
    widen(&widths[0], plan->a_profiles[a].name);
  for (size_t row = 0; row <= plan->a_count; row++)
    for (size_t b = 0; b < columns; b++)
      widen(&widths[b + 1], grid + (row * columns + b) * SIM_PROFILE_NAME);
  for (size_t row = 0; row <= plan->a_count; row++)
    print_row(out, row ? plan->a_profiles[row - 1].name : "a \\ b",
              grid + row * columns * SIM_PROFILE_NAME, columns, widths);
}

static void print_totals(FILE *out, const sim_summary *trials, size_t count) {
  size_t outcomes[3] = {0}, relayed = 0;
  for (size_t i = 0; i < count; i++) {
    outcomes[trials[i].outcome]++;
    relayed += trials[i].outcome == SIM_CONNECTED && !strcmp(trials[i].path, "relay");
  }
  fprintf(out,
          "\nwinner and median ms to connect; * by relay; (n/m) connected of trials\n"
          "%zu trials: %zu connected (%zu direct, %zu relay), %zu failed, %zu errors\n",
          count, outcomes[SIM_CONNECTED], outcomes[SIM_CONNECTED] - relayed, relayed,
          outcomes[SIM_FAILED], outcomes[SIM_ERROR]);
}

void sim_table_print(FILE *out, const sim_plan *plan, const sim_summary *trials, size_t count) {
  size_t columns = plan->b_count;
  double *scratch = calloc(count + 1, sizeof *scratch);
  char *grid = calloc((plan->a_count + 1) * columns, SIM_PROFILE_NAME);
  int *widths = calloc(columns + 1, sizeof *widths);
  if (scratch && grid && widths) {
    for (size_t b = 0; b < columns; b++)
      memcpy(grid + b * SIM_PROFILE_NAME, plan->b_profiles[b].name, SIM_PROFILE_NAME);
    for (size_t i = 0; i < plan->a_count * columns; i++) {
      cell c = make_cell(trials, count, i / columns, i % columns, scratch);
      format_cell(&c, grid + (columns + i) * SIM_PROFILE_NAME);
    }
    print_grid(out, plan, grid, widths);
  }
  print_totals(out, trials, count);
  free(scratch);
  free(grid);
  free(widths);
}
