#include "natsim/options.h"

#include "natsim/seed.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ten years: more than a clock that was never set is wrong by. */
#define CLOCK_SKEW_MOST_MS 315360000000.0

enum { BOTH = SIM_RUN | SIM_MATRIX, ALL = BOTH | SIM_LAB, EVERY = ALL | SIM_BENCH };

/* How the value of an option is read. */
enum kind {
  FLAG,
  TEXT,
  WHOLE,
  SEED,
  DECIMAL,
  SHARD,
  SET,
  WITHOUT,
  EVENT,
  NEIGHBOURS,
  WRONG,
  SKEW,
  BROKERS
};

typedef struct option_row {
  const char *name;
  const char *value; /* its name in the help; NULL for a flag */
  enum kind kind;
  int commands;
  size_t offset;
  double low, high;
  const char *help; /* NULL: not in this version */
} option_row;

#define AT(field) offsetof(sim_options, field)

static const option_row rows[] = {
    {"a", "PROFILE", TEXT, SIM_RUN | SIM_LAB | SIM_BENCH, AT(a), 0, 0,
     "the side that starts the connection"},
    {"b", "PROFILE", TEXT, SIM_RUN | SIM_LAB | SIM_BENCH, AT(b), 0, 0, "the side that listens"},
    {"profiles", "P,P,...", TEXT, SIM_MATRIX, AT(profiles), 0, 0,
     "all ordered pairs of these (default: open,full-cone,restricted,port-restricted,symmetric)"},
    {"grid", "rfc4787", TEXT, SIM_MATRIX, AT(grid), 0, 0,
     "the 81 pairs of ei-ei ... apd-apd instead"},
    {"plugin", "NAME[,NAME]", TEXT, BOTH, AT(plugin), 0, 0, "only these techniques (auto)"},
    {"transport", "any|udp|tcp", TEXT, BOTH, AT(transport), 0, 0, "transport of the pipe (any)"},
    {"no-relay", NULL, FLAG, BOTH, AT(no_relay), 0, 0, "never take a relay"},
    {"strict", NULL, FLAG, BOTH, AT(strict), 0, 0, "phases one after the other"},
    {"cross", NULL, FLAG, BOTH, AT(cross), 0, 0, "b connects to a at the same moment"},
    {"by-name", NULL, FLAG, BOTH, AT(by_name), 0, 0, "a looks b up by its name"},
    {"alloc", "NAME", TEXT, BOTH, AT(alloc), 0, 0,
     "port allocation of the MAP-FILTER names (random)"},
    {"nat", "KEY=VALUE,...", TEXT, ALL, AT(nat), 0, 0, "added to every NAT of the run"},
    {"place", "NAME", TEXT, ALL, AT(place), 0, 0,
     "how the two hosts lie to each other (two-sites): natsim places; or a FILE with a /"},
    {"trials", "N", WHOLE, BOTH, AT(trials), 1, 1000000, "trials of each pair (1)"},
    {"seed", "N", SEED, EVERY, AT(seed), 0, 0, "decides ports, losses and addresses (1)"},
    {"rtt", "MS", DECIMAL, ALL, AT(rtt_ms), 0, 10000,
     "round trip between sites, and to the servers (40)"},
    {"jitter", "MS", DECIMAL, ALL, AT(jitter_ms), 0, 10000, "plus or minus, one way (0)"},
    {"loss", "PCT", DECIMAL, ALL, AT(loss_pct), 0, 100, "packets lost, one way (0)"},
    {"duplicate", "PCT", DECIMAL, ALL, AT(duplicate_pct), 0, 100, "packets sent twice (0)"},
    {"reorder", "PCT", DECIMAL, ALL, AT(reorder_pct), 0, 100, "packets that overtake (0)"},
    {"rate", "MBIT", DECIMAL, ALL, AT(rate_mbit), 0, 100000, "of each direction (0: unlimited)"},
    {"link", "builtin|netem", TEXT, EVERY, AT(link), 0, 0,
     "who delays and loses packets: natsim itself, seeded, or the kernel's netem (builtin)"},
    {"jobs", "N", WHOLE, BOTH, AT(jobs), 1, 64, "labs side by side (the number of cores)"},
    {"timeout", "S", WHOLE, BOTH, AT(timeout_s), 1, 3600, "of one connection (60)"},
    {"out", "DIR", TEXT, BOTH, AT(out), 0, 0, "write trials.jsonl and run.json there"},
    {"shard", "I/N", SHARD, BOTH, 0, 0, 0, "only the I-th of N parts of the trials"},
    {"only", "TRIAL", WHOLE, BOTH, AT(only), 1, 1000000, "replay this trial alone"},
    {"expect", "FILE", TEXT, BOTH, AT(expect), 0, 0,
     "compare with a table; exit 1 where a cell differs either way"},
    {"set", "PLUGIN.KEY=VALUE", SET, BOTH, 0, 0, 0, "a setting of a technique; may be repeated"},
    {"endpoint", "CMD", TEXT, BOTH, AT(endpoint), 0, 0, "the program that is both peers"},
    {"without", "SERVER,...", WITHOUT, ALL, 0, 0, 0,
     "do not start broker, turn, names, stun or ntp, and tell the peers of none"},
    {"brokers", "N,.../N,...", BROKERS, ALL, 0, 0, 0,
     "those that a, and b, is told of: 1, 2, or 0 where none is (1/1)"},
    {"clock-skew", "MS[,MS]", SKEW, BOTH, 0, -CLOCK_SKEW_MOST_MS, CLOCK_SKEW_MOST_MS,
     "what the wall clock of a (and of b) is wrong by, plus or minus (0)"},
    {"wrong-ntp", "MS", WRONG, ALL, AT(wrong_ntp_ms), -CLOCK_SKEW_MOST_MS, CLOCK_SKEW_MOST_MS,
     "one of the three NTP servers tells a time that is wrong by so much (0)"},
    {"json", NULL, FLAG, BOTH, AT(json), 0, 0, "print trials as JSON lines, no table"},
    {"neighbours", "FLOWS|RATE/s", NEIGHBOURS, ALL, 0, 1, 20000,
     "flows that other hosts behind both routers open meanwhile (none)"},
    {"event", "WHEN:WHAT", EVENT, BOTH, 0, 0, 0,
     "what happens meanwhile, as 300:reboot-a, connected:uplink-down-b; may be repeated"},
    {"pcap", NULL, FLAG, BOTH, AT(pcap), 0, 0,
     "keep packets and logs of every trial in --out (else of those that fail)"},
    {"pcap", "DIR", TEXT, SIM_LAB, AT(pcap_folder), 0, 0, "write the packets of all hosts there"},
    {"name", "NAME", TEXT, SIM_LAB, AT(name), 0, 0, "of the laboratory, for lab exec (default)"},
    {"labs", "N", WHOLE, SIM_BENCH, AT(labs), 1, 1000, "labs: how many at once (200)"},
    {"packets", "N", WHOLE, SIM_BENCH, AT(packets), 50, 100000,
     "link: packets of each measurement (400)"},
};

enum { ROWS = sizeof rows / sizeof *rows };

void sim_options_help(enum sim_command command) {
  for (size_t i = 0; i < ROWS; i++) {
    if (!(rows[i].commands & (int)command) || !rows[i].help)
      continue;
    char left[48];
    snprintf(left, sizeof left, "--%s%s%s", rows[i].name, rows[i].value ? " " : "",
             rows[i].value ? rows[i].value : "");
    printf("  %-25s %s\n", left, rows[i].help);
  }
}

/* ---- values ---------------------------------------------------------------------------------- */

static int read_decimal(const option_row *row, const char *text, double *out, ns_error *error) {
  char *end;
  errno = 0;
  double value = strtod(text, &end);
  bool starts = isdigit((unsigned char)*text) || *text == '.';
  if (!starts || errno || *end || !isfinite(value) || value < row->low || value > row->high)
    return sim_fail(error, -1, "--%s takes a number from %g to %g, not '%s'", row->name, row->low,
                    row->high, text);
  *out = value;
  return 0;
}

static int read_whole(const option_row *row, const char *text, unsigned *out, ns_error *error) {
  char *end;
  errno = 0;
  unsigned long value = strtoul(text, &end, 10);
  if (!isdigit((unsigned char)*text) || errno || *end || (double)value < row->low ||
      (double)value > row->high)
    return sim_fail(error, -1, "--%s takes a whole number from %.0f to %.0f, not '%s'", row->name,
                    row->low, row->high, text);
  *out = (unsigned)value;
  return 0;
}

static int read_seed(const char *text, uint64_t *out, ns_error *error) {
  char *end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (!isdigit((unsigned char)*text) || errno || *end || value > SIM_SEED_MAX)
    return sim_fail(error, -1, "--seed takes a whole number from 0 to %llu, not '%s'",
                    (unsigned long long)SIM_SEED_MAX, text);
  *out = value;
  return 0;
}

static int read_shard(const char *text, sim_options *out, ns_error *error) {
  int used = 0;
  if (!isdigit((unsigned char)*text) ||
      sscanf(text, "%6u/%6u%n", &out->shard, &out->shards, &used) != 2 || text[used] ||
      !out->shard || out->shard > out->shards)
    return sim_fail(error, -1, "--shard takes I/N with 1 <= I <= N, not '%s'", text);
  return 0;
}

static int read_set(const char *text, sim_options *out, ns_error *error) {
  const char *dot = strchr(text, '.'), *equals = strchr(text, '=');
  if (!dot || !equals || dot == text || equals < dot + 2 || strchr(text, ','))
    return sim_fail(error, -1, "--set takes PLUGIN.KEY=VALUE, not '%s'", text);
  size_t used = strlen(out->set);
  if (used + strlen(text) + 2 > sizeof out->set)
    return sim_fail(error, -1, "the --set options are longer than %zu characters together",
                    sizeof out->set - 2);
  snprintf(out->set + used, sizeof out->set - used, "%s%s", used ? "," : "", text);
  return 0;
}

static int read_without(const char *text, sim_options *out, ns_error *error) {
  for (const char *p = text;;) {
    size_t len = strcspn(p, ","), i = 0;
    const char *name;
    unsigned bit;
    while ((bit = sim_server_bit(i, &name)) && (strlen(name) != len || strncmp(name, p, len)))
      i++;
    if (!bit)
      return sim_fail(error, -1, "--without takes broker, turn, names, stun, ntp, not '%.*s'",
                      (int)len, p);
    out->without |= bit;
    if (!p[len])
      return 0;
    p += len + 1;
  }
}

/* Digits separated by commas, up to a slash or the end; how many characters that are, or 0. */
static size_t read_numbers(const char *text, char out[SIM_BROKERS_TOLD + 1]) {
  size_t count = 0, at = 0;
  for (;; at++) {
    if (text[at] < SIM_BROKER_DEAD || text[at] > SIM_BROKER_SECOND || count == SIM_BROKERS_TOLD)
      return 0;
    out[count++] = text[at++];
    out[count] = '\0';
    if (text[at] != ',')
      return at;
  }
}

static int read_brokers(const char *text, sim_options *out, ns_error *error) {
  size_t a = read_numbers(text, out->brokers[0]);
  size_t b = a && text[a] == '/' ? read_numbers(text + a + 1, out->brokers[1]) : 0;
  if (!b || text[a + 1 + b])
    return sim_fail(error, -1,
                    "--brokers takes what a is told of, a slash, and what b is told of, each at "
                    "most %d of 0, 1, 2 with commas between, not '%s'",
                    SIM_BROKERS_TOLD, text);
  return 0;
}

static int read_event(const char *text, sim_options *out, ns_error *error) {
  if (out->event_count == SIM_EVENTS_MAX)
    return sim_fail(error, -1, "more than %d --event options", SIM_EVENTS_MAX);
  return sim_event_parse(text, &out->events[out->event_count++], error);
}

/* So many flows in all, or so many a second. */
static int read_neighbours(const option_row *row, const char *text, sim_options *out,
                           ns_error *error) {
  char number[16];
  size_t len = strlen(text);
  bool rate = len > 2 && !strcmp(text + len - 2, "/s");
  out->neighbour_flows = 0;
  out->neighbour_rate = 0;
  if (!rate && strchr(text, '/'))
    return sim_fail(error, -1, "--%s takes FLOWS or RATE/s, not '%s'", row->name, text);
  snprintf(number, sizeof number, "%.*s", (int)(rate ? len - 2 : len), text);
  return rate ? read_decimal(row, number, &out->neighbour_rate, error)
              : read_whole(row, number, &out->neighbour_flows, error);
}

static int read_signed(const option_row *row, const char *text, double *out, ns_error *error) {
  bool negative = *text == '-';
  int status = read_decimal(row, text + (negative || *text == '+' ? 1 : 0), out, error);
  *out = negative ? -*out : *out;
  return status;
}

/* One number for a, or one for each. */
static int read_skew(const option_row *row, const char *text, sim_options *out, ns_error *error) {
  char first[32];
  const char *comma = strchr(text, ',');
  snprintf(first, sizeof first, "%.*s", (int)(comma ? comma - text : 31), text);
  out->clock_skew_ms[1] = 0;
  int status = read_signed(row, first, &out->clock_skew_ms[0], error);
  return !status && comma ? read_signed(row, comma + 1, &out->clock_skew_ms[1], error) : status;
}

static int read_value(const option_row *row, const char *text, sim_options *out, ns_error *error) {
  void *field = (char *)out + row->offset;
  switch (row->kind) {
  case FLAG:
    *(bool *)field = true;
    return 0;
  case TEXT:
    if (!*text)
      return sim_fail(error, -1, "--%s is empty", row->name);
    *(const char **)field = text;
    return 0;
  case WHOLE:
    return read_whole(row, text, field, error);
  case SEED:
    return read_seed(text, field, error);
  case DECIMAL:
    return read_decimal(row, text, field, error);
  case SHARD:
    return read_shard(text, out, error);
  case SET:
    return read_set(text, out, error);
  case WITHOUT:
    return read_without(text, out, error);
  case EVENT:
    return read_event(text, out, error);
  case NEIGHBOURS:
    return read_neighbours(row, text, out, error);
  case WRONG:
    return read_signed(row, text, field, error);
  case SKEW:
    return read_skew(row, text, out, error);
  case BROKERS:
    return read_brokers(text, out, error);
  }
  return -1;
}

/* ---- the command line ------------------------------------------------------------------------ */

static const option_row *find_row(enum sim_command command, const char *name, size_t len) {
  for (size_t i = 0; i < ROWS; i++)
    if (rows[i].commands & (int)command && strlen(rows[i].name) == len &&
        !strncmp(rows[i].name, name, len))
      return &rows[i];
  return NULL;
}

static int check_events(const sim_options *o, ns_error *error) {
  for (unsigned i = 0; i < o->event_count; i++)
    if (o->events[i].server & o->without)
      return sim_fail(error, -1, "--event %s: --without leaves that server out", o->events[i].text);
  return 0;
}

/* What the NATSIM_PLUGINS, NATSIM_TRANSPORT and seeds of trials are made from stays plain. */
static int check(enum sim_command command, const sim_options *o, ns_error *error) {
  if (command & (SIM_RUN | SIM_LAB) && (!o->a || !o->b))
    return sim_fail(error, -1, "--a PROFILE and --b PROFILE are needed");
  if (strcmp(o->link, "builtin") && strcmp(o->link, "netem"))
    return sim_fail(error, -1, "--link takes builtin or netem, not '%s'", o->link);
  if (!strcmp(o->link, "netem") && o->jitter_ms > NS_NETEM_JITTER_MS)
    return sim_fail(error, -1, "--jitter with --link netem goes up to %d ms", NS_NETEM_JITTER_MS);
  if (o->profiles && o->grid)
    return sim_fail(error, -1, "--profiles and --grid exclude each other");
  if (o->grid && strcmp(o->grid, "rfc4787"))
    return sim_fail(error, -1, "unknown grid '%s': there is rfc4787", o->grid);
  if (strcmp(o->transport, "any") && strcmp(o->transport, "udp") && strcmp(o->transport, "tcp"))
    return sim_fail(error, -1, "--transport takes any, udp or tcp, not '%s'", o->transport);
  if (o->pcap && !o->out)
    return sim_fail(error, -1, "--pcap needs --out DIR, where packets are kept");
  if (o->plugin[strspn(o->plugin, "abcdefghijklmnopqrstuvwxyz0123456789_-,")])
    return sim_fail(error, -1, "--plugin takes names separated by commas, not '%s'", o->plugin);
  return check_events(o, error);
}

int sim_options_parse(enum sim_command command, int argc, char **argv, sim_options *out,
                      ns_error *error) {
  *out = (sim_options){.plugin = "auto",
                       .transport = "any",
                       .trials = 1,
                       .seed = 1,
                       .rtt_ms = 40,
                       .timeout_s = 60,
                       .shard = 1,
                       .shards = 1,
                       .name = "default",
                       .link = "builtin",
                       .brokers = {{SIM_BROKER_FIRST}, {SIM_BROKER_FIRST}},
                       .labs = 200,
                       .packets = 400};
  for (int i = 0; i < argc; i++) {
    const char *arg = argv[i];
    if (!strcmp(arg, "--help") || !strcmp(arg, "-h")) {
      out->help = true;
      return 0;
    }
    if (strncmp(arg, "--", 2) || !arg[2])
      return sim_fail(error, -1, "unexpected argument '%s'", arg);
    size_t len = strcspn(arg + 2, "=");
    const option_row *row = find_row(command, arg + 2, len);
    if (!row)
      return sim_fail(error, -1, "unknown option '%.*s'", (int)len + 2, arg);
    const char *value = arg[2 + len] ? arg + 2 + len + 1 : NULL;
    if (!row->value && row->kind == FLAG && value)
      return sim_fail(error, -1, "--%s takes no value", row->name);
    if (row->value && !value && ++i < argc)
      value = argv[i];
    if (row->value && !value)
      return sim_fail(error, -1, "--%s needs a value: %s", row->name, row->value);
    if (read_value(row, value, out, error))
      return -1;
  }
  return check(command, out, error);
}

/* ---- for the record -------------------------------------------------------------------------- */

static json_t *without_json(unsigned without) {
  json_t *names = json_array();
  const char *name;
  unsigned bit;
  for (size_t i = 0; (bit = sim_server_bit(i, &name)); i++)
    if (without & bit)
      json_array_append_new(names, json_string(name));
  return names;
}

static json_t *events_json(const sim_options *o) {
  json_t *events = json_array();
  for (unsigned i = 0; i < o->event_count; i++)
    json_array_append_new(events, json_string(o->events[i].text));
  return events;
}

static json_t *neighbours_json(const sim_options *o) {
  return o->neighbour_rate > 0 ? json_sprintf("%g/s", o->neighbour_rate)
                               : json_integer(o->neighbour_flows);
}

static json_t *value_json(const option_row *row, const sim_options *o) {
  const void *field = (const char *)o + row->offset;
  const char *text;
  switch (row->kind) {
  case FLAG:
    return json_boolean(*(const bool *)field);
  case TEXT:
    text = *(const char *const *)field;
    return text ? json_string(text) : json_null();
  case WHOLE:
    return json_integer(*(const unsigned *)field);
  case SEED:
    return json_integer((json_int_t) * (const uint64_t *)field);
  case DECIMAL:
  case WRONG:
    return json_real(*(const double *)field);
  case SHARD:
    return json_sprintf("%u/%u", o->shard, o->shards);
  case SET:
    return json_string(o->set);
  case WITHOUT:
    return without_json(o->without);
  case EVENT:
    return events_json(o);
  case NEIGHBOURS:
    return neighbours_json(o);
  case SKEW:
    return json_pack("[f, f]", o->clock_skew_ms[0], o->clock_skew_ms[1]);
  case BROKERS:
    return json_pack("[s, s]", o->brokers[0], o->brokers[1]);
  }
  return NULL;
}

json_t *sim_options_json(enum sim_command command, const sim_options *options) {
  json_t *all = json_object();
  for (size_t i = 0; all && i < ROWS; i++) {
    if (!(rows[i].commands & (int)command))
      continue;
    json_t *value = value_json(&rows[i], options);
    /* A path that is no UTF-8 cannot be told. */
    json_object_set_new(all, rows[i].name, value ? value : json_null());
  }
  return all;
}
