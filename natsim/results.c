#include "natsim/results.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const outcome_names[] = {"connected", "failed", "error"};

const char *sim_outcome_name(enum sim_outcome outcome) {
  return outcome_names[outcome];
}

sim_result sim_result_new(void) {
  return (sim_result){.outcome = SIM_ERROR, .connect_ms = -1, .lookup_ms = -1};
}

void sim_result_free(sim_result *result) {
  for (int side = 0; side < SIM_SIDES; side++) {
    json_decref(result->attempts[side]);
    json_decref(result->start[side]);
    json_decref(result->logs[side]);
    result->attempts[side] = result->start[side] = result->logs[side] = NULL;
  }
}

json_t *sim_safe_text(const char *text) {
  json_t *string = json_string(text);
  if (string)
    return string;
  char *copy = strdup(text);
  for (char *p = copy; p && *p; p++)
    if ((unsigned char)*p >= 0x80)
      *p = '?';
  string = copy ? json_string(copy) : NULL;
  free(copy);
  return string;
}

static json_t *text_or_null(const char *text) {
  return *text ? sim_safe_text(text) : json_null();
}

/* Milliseconds to the microsecond: what lies below is noise. */
static json_t *ms_or_null(double ms) {
  return ms < 0 ? json_null() : json_real(round(ms * 1000) / 1000);
}

static json_t *array_or_empty(json_t *array) {
  return array ? json_incref(array) : json_array();
}

json_t *sim_result_json(const sim_trial *trial, const char *plugin, const sim_result *r) {
  json_t *record = json_pack(
      "{s:s, s:s, s:s, s:i, s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:{s:o, s:o}}", "a",
      trial->a->name, "b", trial->b->name, "plugin", plugin, "trial", (int)trial->trial, "seed",
      (json_int_t)trial->seed, "outcome", sim_outcome_name(r->outcome), "winner",
      text_or_null(r->winner), "phase", text_or_null(r->phase), "transport",
      text_or_null(r->transport), "family", r->family ? json_integer(r->family) : json_null(),
      "path", text_or_null(r->path), "connect_ms", ms_or_null(r->connect_ms), "echo_ok", r->echo_ok,
      "reason", text_or_null(r->reason), "attempts", "a", array_or_empty(r->attempts[SIM_A]), "b",
      array_or_empty(r->attempts[SIM_B]));
  if (!record)
    return NULL;
  int failed = 0;
  if (r->counted)
    failed |= json_object_set_new(record, "packets",
                                  json_pack("{s:I, s:I}", "a", (json_int_t)r->packets[SIM_A], "b",
                                            (json_int_t)r->packets[SIM_B]));
  else
    failed |= json_object_set_new(record, "packets", json_null());
  if (r->lookup_ms >= 0)
    failed |= json_object_set_new(record, "lookup_ms", ms_or_null(r->lookup_ms));
  if (r->start[SIM_A] && r->start[SIM_B])
    failed |= json_object_set_new(
        record, "start", json_pack("{s:O, s:O}", "a", r->start[SIM_A], "b", r->start[SIM_B]));
  if (r->outcome == SIM_ERROR && r->logs[SIM_A] && r->logs[SIM_B])
    failed |= json_object_set_new(
        record, "logs", json_pack("{s:O, s:O}", "a", r->logs[SIM_A], "b", r->logs[SIM_B]));
  if (failed) {
    json_decref(record);
    return NULL;
  }
  return record;
}

static void copy_text(const json_t *record, const char *key, char *out, size_t size) {
  const char *text = json_string_value(json_object_get(record, key));
  snprintf(out, size, "%s", text ? text : "");
}

int sim_summary_read(const json_t *record, sim_summary *out) {
  const char *outcome = json_string_value(json_object_get(record, "outcome"));
  if (!outcome)
    return -1;
  int i = 0;
  while (i < 3 && strcmp(outcome, outcome_names[i]))
    i++;
  if (i == 3)
    return -1;
  out->outcome = (enum sim_outcome)i;
  copy_text(record, "winner", out->winner, sizeof out->winner);
  copy_text(record, "path", out->path, sizeof out->path);
  copy_text(record, "reason", out->reason, sizeof out->reason);
  const json_t *ms = json_object_get(record, "connect_ms");
  out->connect_ms = json_is_number(ms) ? json_number_value(ms) : -1;
  return 0;
}
