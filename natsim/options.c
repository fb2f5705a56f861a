#include "natsim/options.h"

#include "natsim/seed.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BOTH = SIM_RUN | SIM_MATRIX };

/* How the value of an option is read. */
enum kind { FLAG, TEXT, WHOLE, SEED, DECIMAL, SHARD, SET, WITHOUT, LATER };

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
    {"a", "PROFILE", TEXT, SIM_RUN, AT(a), 0, 0, "the side that starts the connection"},
    {"b", "PROFILE", TEXT, SIM_RUN, AT(b), 0, 0, "the side that listens"},
    {"profiles", "P,P,...", TEXT, SIM_MATRIX, AT(profiles), 0, 0,
     "all ordered pairs of these (default: open,full-cone,restricted,port-restricted,symmetric)"},
    {"grid", "rfc4787", TEXT, SIM_MATRIX, AT(grid), 0, 0,
     "the 81 pairs of ei-ei ... apd-apd instead"},
    {"plugin", "NAME[,NAME]", TEXT, BOTH, AT(plugin), 0, 0, "only these techniques (auto)"},
    {"transport", "any|udp|tcp", TEXT, BOTH, AT(transport), 0, 0, "transport of the pipe (any)"},
    {"no-relay", NULL, FLAG, BOTH, AT(no_relay), 0, 0, "never take a relay"},
    {"strict", NULL, FLAG, BOTH, AT(strict), 0, 0, "phases one after the other"},
    {"by-name", NULL, FLAG, BOTH, AT(by_name), 0, 0, "a looks b up by its name"},
    {"alloc", "NAME", TEXT, BOTH, AT(alloc), 0, 0,
     "port allocation of the MAP-FILTER names (random)"},
    {"nat", "KEY=VALUE,...", TEXT, BOTH, AT(nat), 0, 0, "added to every NAT of the run"},
    {"place", "NAME", TEXT, BOTH, AT(place), 0, 0,
     "how the two hosts lie to each other (two-sites): natsim places; or a FILE with a /"},
    {"trials", "N", WHOLE, BOTH, AT(trials), 1, 1000000, "trials of each pair (1)"},
    {"seed", "N", SEED, BOTH, AT(seed), 0, 0, "decides ports, losses and addresses (1)"},
    {"rtt", "MS", DECIMAL, BOTH, AT(rtt_ms), 0, 10000,
     "round trip between sites, and to the servers (40)"},
    {"jitter", "MS", DECIMAL, BOTH, AT(jitter_ms), 0, 10000, "plus or minus, one way (0)"},
    {"loss", "PCT", DECIMAL, BOTH, AT(loss_pct), 0, 100, "packets lost, one way (0)"},
    {"duplicate", "PCT", DECIMAL, BOTH, AT(duplicate_pct), 0, 100, "packets sent twice (0)"},
    {"reorder", "PCT", DECIMAL, BOTH, AT(reorder_pct), 0, 100, "packets that overtake (0)"},
    {"rate", "MBIT", DECIMAL, BOTH, AT(rate_mbit), 0, 100000, "of each direction (0: unlimited)"},
    {"jobs", "N", WHOLE, BOTH, AT(jobs), 1, 64, "labs side by side (the number of cores)"},
    {"timeout", "S", WHOLE, BOTH, AT(timeout_s), 1, 3600, "of one connection (60)"},
    {"out", "DIR", TEXT, BOTH, AT(out), 0, 0, "write trials.jsonl and run.json there"},
    {"shard", "I/N", SHARD, BOTH, 0, 0, 0, "only the I-th of N parts of the trials"},
    {"only", "TRIAL", WHOLE, BOTH, AT(only), 1, 1000000, "replay this trial alone"},
    {"expect", "FILE", TEXT, BOTH, AT(expect), 0, 0,
     "compare with a table; exit 1 where a cell differs either way"},
    {"set", "PLUGIN.KEY=VALUE", SET, BOTH, 0, 0, 0, "a setting of a technique; may be repeated"},
    {"endpoint", "CMD", TEXT, BOTH, AT(endpoint), 0, 0, "the program that is both peers"},
    {"without", "SERVER,...", WITHOUT, BOTH, 0, 0, 0,
     "do not start broker, turn, names or stun, and tell the peers of none"},
    {"json", NULL, FLAG, BOTH, AT(json), 0, 0, "print trials as JSON lines, no table"},
    {"pcap", NULL, LATER, BOTH, 0, 0, 0, NULL},
    {"neighbours", NULL, LATER, BOTH, 0, 0, 0, NULL},
    {"event", NULL, LATER, BOTH, 0, 0, 0, NULL},
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

static const struct {
  const char *name;
  unsigned bit;
} servers[] = {
    {"broker", SIM_BROKER}, {"turn", SIM_TURN}, {"names", SIM_NAMES}, {"stun", SIM_STUN}};

enum { SERVERS = sizeof servers / sizeof *servers };

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
    while (i < SERVERS && (strlen(servers[i].name) != len || strncmp(servers[i].name, p, len)))
      i++;
    if (i == SERVERS)
      return sim_fail(error, -1, "--without takes broker, turn, names, stun, not '%.*s'", (int)len,
                      p);
    out->without |= servers[i].bit;
    if (!p[len])
      return 0;
    p += len + 1;
  }
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
  case LATER:
    break;
  }
  return sim_fail(error, -1, "--%s is not available in this version", row->name);
}

/* ---- the command line ------------------------------------------------------------------------ */

static const option_row *find_row(enum sim_command command, const char *name, size_t len) {
  for (size_t i = 0; i < ROWS; i++)
    if (rows[i].commands & (int)command && strlen(rows[i].name) == len &&
        !strncmp(rows[i].name, name, len))
      return &rows[i];
  return NULL;
}

/* What the NATSIM_PLUGINS, NATSIM_TRANSPORT and seeds of trials are made from stays plain. */
static int check(enum sim_command command, const sim_options *o, ns_error *error) {
  if (command == SIM_RUN && (!o->a || !o->b))
    return sim_fail(error, -1, "--a PROFILE and --b PROFILE are needed");
  if (o->profiles && o->grid)
    return sim_fail(error, -1, "--profiles and --grid exclude each other");
  if (o->grid && strcmp(o->grid, "rfc4787"))
    return sim_fail(error, -1, "unknown grid '%s': there is rfc4787", o->grid);
  if (strcmp(o->transport, "any") && strcmp(o->transport, "udp") && strcmp(o->transport, "tcp"))
    return sim_fail(error, -1, "--transport takes any, udp or tcp, not '%s'", o->transport);
  if (o->plugin[strspn(o->plugin, "abcdefghijklmnopqrstuvwxyz0123456789_-,")])
    return sim_fail(error, -1, "--plugin takes names separated by commas, not '%s'", o->plugin);
  return 0;
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
                       .shards = 1};
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
  for (size_t i = 0; i < SERVERS; i++)
    if (without & servers[i].bit)
      json_array_append_new(names, json_string(servers[i].name));
  return names;
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
    return json_real(*(const double *)field);
  case SHARD:
    return json_sprintf("%u/%u", o->shard, o->shards);
  case SET:
    return json_string(o->set);
  case WITHOUT:
    return without_json(o->without);
  case LATER:
    break;
  }
  return NULL;
}

json_t *sim_options_json(enum sim_command command, const sim_options *options) {
  json_t *all = json_object();
  for (size_t i = 0; all && i < ROWS; i++) {
    if (!(rows[i].commands & (int)command) || rows[i].kind == LATER)
      continue;
    json_t *value = value_json(&rows[i], options);
    /* A path that is no UTF-8 cannot be told. */
    json_object_set_new(all, rows[i].name, value ? value : json_null());
  }
  return all;
}
