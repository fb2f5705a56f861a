#include "natsim/course.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How much of a line or of last words goes into a reason. */
enum { QUOTE = 160 };

static const char *const side_names[SIM_SIDES] = {"a", "b"};

void sim_course_init(sim_course *course, sim_course_options how, unsigned timeout_s,
                     double now_ms) {
  *course = (sim_course){.state = SIM_STARTING,
                         .how = how,
                         .timeout_ms = timeout_s * 1000,
                         .deadline_ms = now_ms + SIM_READY_LIMIT_MS,
                         .result = sim_result_new()};
}

void sim_course_free(sim_course *course) {
  for (int side = 0; side < SIM_SIDES; side++) {
    json_decref(course->address[side]);
    course->address[side] = NULL;
  }
}

__attribute__((format(printf, 3, 4))) static void
decide(sim_course *course, enum sim_outcome outcome, const char *format, ...) {
  course->state = SIM_ENDING;
  course->result.outcome = outcome;
  va_list args;
  va_start(args, format);
  vsnprintf(course->result.reason, sizeof course->result.reason, format, args);
  va_end(args);
}

/* ---- events ---------------------------------------------------------------------------------- */

static const char *text_of(const json_t *event, const char *key) {
  const char *text = json_string_value(json_object_get(event, key));
  return text ? text : "";
}

static double number_of(const json_t *event, const char *key) {
  const json_t *value = json_object_get(event, key);
  return json_is_number(value) ? json_number_value(value) : -1;
}

static void on_ready(sim_course *course, int side, const json_t *event, double now_ms) {
  if (course->state != SIM_STARTING || course->ready[side])
    return;
  const char *key = side == SIM_B && course->how.by_name ? "name" : "address";
  json_t *address = json_object_get(event, key);
  if (!json_is_string(address)) {
    decide(course, SIM_ERROR, "%s was ready without telling its %s", side_names[side], key);
    return;
  }
  course->address[side] = json_incref(address);
  json_t *start = json_object_get(event, "start");
  course->result.start[side] = json_is_object(start) ? json_incref(start) : NULL;
  course->ready[side] = true;
  if (!course->ready[SIM_A] || !course->ready[SIM_B])
    return;
  course->state = SIM_CONNECTING;
  course->go_ms = now_ms;
  course->deadline_ms = now_ms + course->timeout_ms + SIM_MARGIN_MS;
}

static void on_connected(sim_course *course, int side, const json_t *event, double now_ms) {
  if (side != SIM_A || course->state != SIM_CONNECTING)
    return;
  sim_result *r = &course->result;
  const char *path = text_of(event, "path"), *transport = text_of(event, "transport");
  double family = number_of(event, "family");
  if ((strcmp(path, "direct") && strcmp(path, "relay")) ||
      (strcmp(transport, "udp") && strcmp(transport, "tcp")) || (family != 4 && family != 6)) {
    decide(course, SIM_ERROR, "a connected without telling path, transport and family");
    return;
  }
  snprintf(r->path, sizeof r->path, "%s", path);
  snprintf(r->transport, sizeof r->transport, "%s", transport);
  snprintf(r->winner, sizeof r->winner, "%s", text_of(event, "winner"));
  snprintf(r->phase, sizeof r->phase, "%s", text_of(event, "phase"));
  r->family = (int)family;
  r->lookup_ms = number_of(event, "lookup_ms");
  r->connect_ms = now_ms - course->go_ms;
  course->state = SIM_ECHOING;
  course->deadline_ms = now_ms + SIM_ECHO_LIMIT_MS;
}

static void on_echo(sim_course *course, int side, const json_t *event) {
  bool expected = side == SIM_A ? course->state == SIM_ECHOING
                                : course->how.cross && (course->state == SIM_ECHOING ||
                                                        course->state == SIM_CONNECTING);
  if (!expected)
    return;
  course->echoed[side] = json_is_true(json_object_get(event, "ok"));
  if (course->echoed[side] && course->how.cross && !course->echoed[!side])
    return;
  course->result.echo_ok = course->echoed[side];
  if (course->result.echo_ok)
    decide(course, SIM_CONNECTED, "%s", "");
  else
    decide(course, SIM_FAILED, "connected, but the echo came back wrong");
}

/* Of two connects that cross, one pipe may come. */
static void on_pipes(sim_course *course, int side, const json_t *event) {
  double count = number_of(event, "count");
  if (course->how.cross && course->result.outcome == SIM_CONNECTED && count != 1)
    decide(course, SIM_FAILED, "%s came to %g pipes", side_names[side], count);
}

/* Only a decides what a trial came to, but a peer that cannot even start cannot be reached. */
static void on_failed(sim_course *course, int side, const json_t *event) {
  if (course->state == SIM_ENDING || (side == SIM_B && course->state != SIM_STARTING))
    return;
  const char *reason = text_of(event, "reason");
  decide(course, SIM_FAILED, "%s%s%s", side == SIM_B ? "b: " : "", *reason ? reason : "no reason",
         course->state == SIM_STARTING ? " (before it was ready)" : "");
}

static void keep_report(sim_course *course, int side, const json_t *event) {
  json_t *report = json_object_get(event, "report");
  if (!json_is_array(report))
    return;
  json_decref(course->result.attempts[side]);
  course->result.attempts[side] = json_incref(report);
}

void sim_course_line(sim_course *course, int side, const char *line, double now_ms) {
  json_t *event = json_loads(line, 0, NULL);
  const char *kind = text_of(event, "event");
  if (!*kind) {
    if (course->state != SIM_ENDING)
      decide(course, SIM_ERROR, "%s printed what is no event: %.*s", side_names[side], QUOTE, line);
    json_decref(event);
    return;
  }
  keep_report(course, side, event);
  if (!strcmp(kind, "ready"))
    on_ready(course, side, event, now_ms);
  else if (!strcmp(kind, "connected"))
    on_connected(course, side, event, now_ms);
  else if (!strcmp(kind, "echo"))
    on_echo(course, side, event);
  else if (!strcmp(kind, "pipes"))
    on_pipes(course, side, event);
  else if (!strcmp(kind, "failed"))
    on_failed(course, side, event);
  json_decref(event);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static const char *const doing[] = {"before it was ready", "while connecting",
                                    "before the echo was back", "at the end"};

void sim_course_ended(sim_course *course, int side, const char *how, const char *last_words) {
  if (course->state != SIM_ENDING)
    decide(course, SIM_ERROR, "%s ended %s (%s)%s%.*s", side_names[side], doing[course->state], how,
           *last_words ? ": " : "", QUOTE, last_words);
}

void sim_course_time(sim_course *course, double now_ms) {
  if (now_ms < course->deadline_ms)
    return;
  switch (course->state) {
  case SIM_STARTING:
    decide(course, SIM_ERROR, "%s not ready within %d s",
           course->ready[SIM_A]   ? "b was"
           : course->ready[SIM_B] ? "a was"
                                  : "a and b were",
           SIM_READY_LIMIT_MS / 1000);
    break;
  case SIM_CONNECTING:
    decide(course, SIM_FAILED, "a said nothing within the timeout of %u s and %d s more",
           course->timeout_ms / 1000, SIM_MARGIN_MS / 1000);
    break;
  case SIM_ECHOING:
    decide(course, SIM_FAILED, "connected, but no echo within %d s", SIM_ECHO_LIMIT_MS / 1000);
    break;
  case SIM_ENDING:
    break;
  }
}

void sim_course_broken(sim_course *course, const char *reason) {
  decide(course, SIM_ERROR, "%s", reason);
}

char *sim_course_word(const sim_course *course, int side) {
  json_t *word = json_pack("{s:b, s:O}", "go", 1, "peer", course->address[!side]);
  char *text = word ? json_dumps(word, JSON_COMPACT) : NULL;
  json_decref(word);
  if (!text)
    return NULL;
  size_t len = strlen(text);
  char *line = realloc(text, len + 2);
  if (!line) {
    free(text);
    return NULL;
  }
  memcpy(line + len, "\n", 2);
  return line;
}
