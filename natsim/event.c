#include "natsim/event.h"

#include "natsim/topology.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest wait: an hour, as --timeout. */
static const double LATEST_MS = 3600000;

static const struct {
  const char *name;
  unsigned bit;
} servers[] = {{"broker", SIM_BROKER},
               {"turn", SIM_TURN},
               {"names", SIM_NAMES},
               {"stun", SIM_STUN},
               {"ntp", SIM_NTP}};

unsigned sim_server_bit(size_t i, const char **name) {
  if (i >= sizeof servers / sizeof *servers)
    return 0;
  *name = servers[i].name;
  return servers[i].bit;
}

static const char *const moments[SIM_MOMENTS] = {"ready", "go", "connected"};

/* What is done to one side's router, or its host. */
static const struct {
  const char *name; /* followed by -a or -b */
  enum sim_deed deed;
} deeds[] = {{"reboot", SIM_REBOOT},           {"expire", SIM_EXPIRE},
             {"uplink-down", SIM_UPLINK_DOWN}, {"uplink-up", SIM_UPLINK_UP},
             {"address", SIM_ADDRESS},         {"readdress", SIM_READDRESS},
             {"block-udp", SIM_BLOCK}};

enum { DEEDS = sizeof deeds / sizeof *deeds };

/* ---- reading --------------------------------------------------------------------------------- */

static bool read_ms(const char *text, double *out) {
  char *end;
  errno = 0;
  *out = strtod(text, &end);
  return isdigit((unsigned char)*text) && !errno && !*end && *out <= LATEST_MS;
}

static bool read_when(const char *text, sim_event *out) {
  out->moment = SIM_AT_GO;
  if (isdigit((unsigned char)*text))
    return read_ms(text, &out->after_ms);
  size_t len = strcspn(text, "+");
  for (int i = 0; i < SIM_MOMENTS; i++)
    if (strlen(moments[i]) == len && !strncmp(moments[i], text, len)) {
      out->moment = (enum sim_moment)i;
      return !text[len] || read_ms(text + len + 1, &out->after_ms);
    }
  return false;
}

static bool read_server_deed(const char *what, sim_event *out) {
  bool stop = !strncmp(what, "stop-", 5), start = !strncmp(what, "start-", 6);
  if (!stop && !start)
    return false;
  const char *server = strchr(what, '-') + 1, *name;
  unsigned bit;
  for (size_t i = 0; (bit = sim_server_bit(i, &name)); i++)
    if (!strcmp(name, server)) {
      out->deed = stop ? SIM_STOP : SIM_START;
      out->server = bit;
      return true;
    }
  return false;
}

static bool read_what(const char *what, sim_event *out) {
  for (size_t i = 0; i < DEEDS; i++) {
    size_t len = strlen(deeds[i].name);
    if (strncmp(what, deeds[i].name, len) != 0 ||
        (strcmp(what + len, "-a") && strcmp(what + len, "-b")))
      continue;
    out->deed = deeds[i].deed;
    out->side = what[len + 1] == 'a' ? SIM_A : SIM_B;
    return true;
  }
  return read_server_deed(what, out);
}

int sim_event_parse(const char *text, sim_event *out, ns_error *error) {
  *out = (sim_event){.side = SIM_A};
  const char *colon = strchr(text, ':');
  if (!colon)
    return sim_fail(error, -1, "--event takes WHEN:WHAT, as 500:reboot-a, not '%s'", text);
  if (strlen(text) >= sizeof out->text)
    return sim_fail(error, -1, "--event '%.*s...' is too long", SIM_EVENT_STRLEN, text);
  char when[SIM_EVENT_STRLEN];
  memcpy(out->text, text, strlen(text) + 1);
  snprintf(when, sizeof when, "%.*s", (int)(colon - text), text);
  if (!read_when(when, out))
    return sim_fail(error, -1,
                    "--event %s: WHEN is milliseconds after the word, or go, ready or connected, "
                    "or one of these and milliseconds, as connected+250",
                    text);
  if (!read_what(colon + 1, out))
    return sim_fail(error, -1,
                    "--event %s: there is reboot-, expire-, uplink-down-, uplink-up-, address-, "
                    "readdress-, block-udp- with a or b, and stop-, start- with broker, turn, "
                    "names, stun or ntp",
                    text);
  return 0;
}

const char *sim_event_what(const sim_event *event) {
  return strchr(event->text, ':') + 1;
}

/* ---- the schedule ---------------------------------------------------------------------------- */

sim_schedule sim_schedule_new(const sim_event *events, unsigned count) {
  return (sim_schedule){.events = events, .count = count};
}

void sim_schedule_reach(sim_schedule *s, enum sim_moment moment, double now_ms) {
  if (s->reached[moment])
    return;
  s->reached[moment] = true;
  s->reached_ms[moment] = now_ms;
}

static double due_ms(const sim_schedule *s, unsigned i) {
  const sim_event *event = &s->events[i];
  if (s->happened[i] || !s->reached[event->moment])
    return INFINITY;
  return s->reached_ms[event->moment] + event->after_ms;
}

/* The first to come, or `count` when nothing is known to come. */
static unsigned first_to_come(const sim_schedule *s) {
  unsigned first = s->count;
  for (unsigned i = 0; i < s->count; i++)
    if (due_ms(s, i) < (first < s->count ? due_ms(s, first) : INFINITY))
      first = i;
  return first;
}

double sim_schedule_next_ms(const sim_schedule *s) {
  unsigned first = first_to_come(s);
  return first < s->count ? due_ms(s, first) : INFINITY;
}

const sim_event *sim_schedule_due(sim_schedule *s, double now_ms) {
  unsigned first = first_to_come(s);
  if (first == s->count || due_ms(s, first) > now_ms)
    return NULL;
  s->happened[first] = true;
  s->happened_ms[first] = now_ms;
  return &s->events[first];
}

/* To the microsecond: what lies below is noise. What happens before the word has a negative time.
 */
static json_t *at_json(const sim_schedule *s, unsigned i) {
  if (!s->happened[i] || !s->reached[SIM_AT_GO])
    return json_null();
  return json_real(round((s->happened_ms[i] - s->reached_ms[SIM_AT_GO]) * 1000) / 1000);
}

json_t *sim_schedule_json(const sim_schedule *s) {
  json_t *all = json_array();
  for (unsigned i = 0; i < s->count; i++) {
    const char *text = s->events[i].text;
    json_array_append_new(all, json_pack("{s:s, s:s%, s:o}", "what", sim_event_what(&s->events[i]),
                                         "when", text, strcspn(text, ":"), "at_ms", at_json(s, i)));
  }
  return all;
}
