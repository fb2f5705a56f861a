#include "natsim/expect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum column { COL_A, COL_B, COL_OUTCOME, COL_PATH, COL_REASON, COLUMNS };
static const char *const column_names[COLUMNS] = {"a", "b", "outcome", "path", "reason"};

/* A table is read line by line; `order` says which column stands where in a tab separated one. */
typedef struct reader {
  const char *path;
  unsigned line;
  bool has_order;
  enum column order[COLUMNS];
  sim_expectations *table;
  ns_error *error;
} reader;

static int bad(const reader *r, const char *what) {
  return sim_fail(r->error, -1, "%s:%u: %s", r->path, r->line, what);
}

static int copy(const reader *r, const char *text, char *out, size_t size) {
  if (strlen(text) >= size)
    return bad(r, "a value is too long");
  memcpy(out, text, strlen(text) + 1);
  return 0;
}

static int add_row(reader *r, const char *const values[COLUMNS]) {
  for (int i = 0; i < COLUMNS; i++)
    if (!values[i] || (!*values[i] && i != COL_PATH))
      return bad(r, "a row needs a, b, outcome, path and reason");
  sim_expected row = {.outcome = SIM_ERROR};
  if (!strcmp(values[COL_OUTCOME], "connected"))
    row.outcome = SIM_CONNECTED;
  else if (!strcmp(values[COL_OUTCOME], "failed"))
    row.outcome = SIM_FAILED;
  else
    return bad(r, "outcome is connected or failed");
  const char *path = strcmp(values[COL_PATH], "-") ? values[COL_PATH] : "";
  bool known = !strcmp(path, "direct") || !strcmp(path, "relay");
  if (row.outcome == SIM_CONNECTED ? !known : *path != 0)
    return bad(r, "path is direct or relay where the outcome is connected, else -");
  for (size_t i = 0; i < r->table->count; i++)
    if (!strcmp(r->table->rows[i].a, values[COL_A]) && !strcmp(r->table->rows[i].b, values[COL_B]))
      return bad(r, "this pair stands in the table already");
  if (copy(r, values[COL_A], row.a, sizeof row.a) || copy(r, values[COL_B], row.b, sizeof row.b) ||
      copy(r, path, row.path, sizeof row.path) ||
      copy(r, values[COL_REASON], row.reason, sizeof row.reason))
    return -1;
  sim_expected *grown = realloc(r->table->rows, (r->table->count + 1) * sizeof *grown);
  if (!grown)
    return bad(r, "out of memory");
  r->table->rows = grown;
  grown[r->table->count++] = row;
  return 0;
}

static int read_json(reader *r, const char *line) {
  json_error_t problem;
  json_t *object = json_loads(line, 0, &problem);
  const char *values[COLUMNS];
  for (int i = 0; i < COLUMNS; i++)
    values[i] = json_string_value(json_object_get(object, column_names[i]));
  if (json_is_null(json_object_get(object, "path")))
    values[COL_PATH] = "";
  int status = json_is_object(object) ? add_row(r, values) : bad(r, problem.text);
  json_decref(object);
  return status;
}

static int read_header(reader *r, char *line) {
  bool seen[COLUMNS] = {false};
  for (int at = 0; at < COLUMNS; at++) {
    const char *name = strsep(&line, "\t");
    int i = 0;
    while (name && i < COLUMNS && (seen[i] || strcmp(name, column_names[i])))
      i++;
    if (!name || i == COLUMNS)
      return bad(r, "the first line names the columns a, b, outcome, path, reason");
    seen[i] = true;
    r->order[at] = (enum column)i;
  }
  r->has_order = true;
  return line ? bad(r, "there are more than five columns") : 0;
}

static int read_tabs(reader *r, char *line) {
  if (!r->has_order)
    return read_header(r, line);
  const char *values[COLUMNS] = {NULL};
  for (int at = 0; at < COLUMNS && line; at++)
    values[r->order[at]] = strsep(&line, "\t");
  return line ? bad(r, "there are more than five columns") : add_row(r, values);
}

int sim_expect_read(FILE *in, const char *path, sim_expectations *out, ns_error *error) {
  *out = (sim_expectations){.count = 0};
  reader r = {.path = path, .table = out, .error = error};
  char *line = NULL;
  size_t size = 0;
  int status = 0;
  while (!status && getline(&line, &size, in) >= 0) {
    r.line++;
    line[strcspn(line, "\r\n")] = 0;
    if (!*line || *line == '#')
      continue;
    status = *line == '{' ? read_json(&r, line) : read_tabs(&r, line);
  }
  free(line);
  if (!status && ferror(in))
    status = bad(&r, "cannot be read");
  if (!status && !out->count)
    status = sim_fail(error, -1, "%s: no row in it", path);
  if (status)
    sim_expect_free(out);
  return status;
}

int sim_expect_load(const char *path, sim_expectations *out, ns_error *error) {
  FILE *in = fopen(path, "re");
  if (!in)
    return sim_fail(error, -1, "--expect %s: %s", path, strerror(errno));
  int status = sim_expect_read(in, path, out, error);
  fclose(in);
  return status;
}

void sim_expect_free(sim_expectations *table) {
  free(table->rows);
  *table = (sim_expectations){.count = 0};
}

/* ---- comparison ------------------------------------------------------------------------------ */

static const sim_expected *find(const sim_expectations *table, const char *a, const char *b) {
  for (size_t i = 0; i < table->count; i++)
    if (!strcmp(table->rows[i].a, a) && !strcmp(table->rows[i].b, b))
      return &table->rows[i];
  return NULL;
}

/* The worth of an outcome, to say in which direction a cell differs. */
static int worth(enum sim_outcome outcome, const char *path) {
  if (outcome == SIM_ERROR)
    return 0;
  if (outcome == SIM_FAILED)
    return 1;
  return strcmp(path, "direct") ? 2 : 3;
}

static void write_outcome(FILE *out, enum sim_outcome outcome, const char *path) {
  fprintf(out, "%s%s%s", sim_outcome_name(outcome), *path ? " " : "", path);
}

size_t sim_expect_check(const sim_expectations *table, const sim_plan *plan,
                        const sim_summary *trials, size_t count, FILE *out) {
  size_t differing = 0;
  for (size_t i = 0; i < count; i++) {
    const sim_summary *got = &trials[i];
    const char *a = plan->a_profiles[got->a].name, *b = plan->b_profiles[got->b].name;
    const char *path = got->outcome == SIM_CONNECTED ? got->path : "";
    const sim_expected *row = find(table, a, b);
    if (row && row->outcome == got->outcome && !strcmp(row->path, path))
      continue;
    differing++;
    fprintf(out, "%s x %s, trial %u: ", a, b, got->trial);
    if (!row) {
      fputs("not in the table; was ", out);
    } else {
      bool better = worth(got->outcome, path) > worth(row->outcome, row->path);
      fprintf(out, "%s than expected: ", better ? "better" : "worse");
      write_outcome(out, row->outcome, row->path);
      fprintf(out, " (%s), was ", row->reason);
    }
    write_outcome(out, got->outcome, path);
    fprintf(out, "%s%s\n", *got->reason ? ": " : "", got->reason);
  }
  return differing;
}
