#include "natsim/profile.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const dependence_names[] = {"ei", "ad", "apd"};
static const char *const alloc_names[] = {"preserving", "sequential", "random"};
static const char *const unsolicited_names[] = {"drop", "reset", "icmp"};
static const char *const strays_names[] = {"drop", "reject", "accept"};
static const char *const switch_names[] = {"off", "on"};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Longest value of one key, "1024-65535" and "sequential:65535" included. */
enum { VALUE_MAX = 40 };
/* RFC 4787 REQ-5 asks for two minutes and more; a day is beyond any experiment. */
enum { LIFETIME_MAX_S = 86400 };

typedef struct profile_row {
  const char *name;
  bool translated;
  const char *axes;
  const char *summary;
} profile_row;

static const profile_row profiles[] = {
    {"open", false, "", "no NAT and no filter: the site has public addresses"},
    {"full-cone", true, "map=ei,filter=ei", "one port for all, open to all"},
    {"restricted", true, "map=ei,filter=ad", "one port for all, open to addresses written to"},
    {"port-restricted", true, "map=ei,filter=apd",
     "one port for all, open to address and port written to"},
    {"symmetric", true, "map=apd,filter=apd,alloc=random",
     "a new random port for every destination"},
    {"symmetric-seq", true, "map=apd,filter=apd,alloc=sequential:1",
     "the next port for every destination"},
};

/* Names of the contract that later versions build. */
static const char *const planned_profiles[] = {"cgnat", "udp-blocked", "firewall6", "upnp"};

static const char *const grid_names[] = {"ei-ei",  "ei-ad",  "ei-apd", "ad-ei",  "ad-ad",
                                         "ad-apd", "apd-ei", "apd-ad", "apd-apd"};

const char *sim_dependence_name(enum sim_dependence value) {
  return dependence_names[value];
}

const char *sim_unsolicited_name(enum sim_unsolicited value) {
  return unsolicited_names[value];
}

const char *sim_strays_name(enum sim_strays value) {
  return strays_names[value];
}

const char *sim_alloc_format(const sim_nat *nat, char buf[32]) {
  if (nat->alloc == SIM_SEQUENTIAL)
    snprintf(buf, 32, "sequential:%u", nat->step);
  else
    snprintf(buf, 32, "%s", alloc_names[nat->alloc]);
  return buf;
}

sim_nat sim_nat_default(void) {
  return (sim_nat){.map = SIM_EI,
                   .filter = SIM_APD,
                   .alloc = SIM_PRESERVING,
                   .step = 1,
                   .port_low = 1024,
                   .port_high = 65535,
                   .udp_lifetime_s = 120,
                   .tcp_lifetime_s = 7200};
}

const char *sim_nat_format(const sim_nat *nat, char buf[SIM_NAT_STRLEN]) {
  char alloc[32];
  snprintf(buf, SIM_NAT_STRLEN,
           "map=%s,filter=%s,alloc=%s,range=%u-%u,hairpin=%s,unsolicited=%s,strays=%s,"
           "udp-lifetime=%u,tcp-lifetime=%u",
           dependence_names[nat->map], dependence_names[nat->filter], sim_alloc_format(nat, alloc),
           nat->port_low, nat->port_high, switch_names[nat->hairpin],
           unsolicited_names[nat->unsolicited], strays_names[nat->strays], nat->udp_lifetime_s,
           nat->tcp_lifetime_s);
  return buf;
}

/* ---- one key --------------------------------------------------------------------------------- */

/* The index of `value` among `names`, or -1. */
static int pick(const char *value, const char *const *names, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!strcmp(value, names[i]))
      return (int)i;
  return -1;
}

/* A whole number in [low, high]; -1 on anything else. */
static long number(const char *text, long low, long high) {
  if (!isdigit((unsigned char)*text))
    return -1;
  errno = 0;
  char *end;
  long value = strtol(text, &end, 10);
  return errno || *end || value < low || value > high ? -1 : value;
}

static bool set_map(sim_nat *nat, const char *value) {
  int i = pick(value, dependence_names, COUNT(dependence_names));
  nat->map = (enum sim_dependence)i;
  return i >= 0;
}

static bool set_filter(sim_nat *nat, const char *value) {
  int i = pick(value, dependence_names, COUNT(dependence_names));
  nat->filter = (enum sim_dependence)i;
  return i >= 0;
}

static bool set_alloc(sim_nat *nat, const char *value) {
  const char *colon = strchr(value, ':');
  nat->step = 1;
  if (colon) {
    long step = number(colon + 1, 1, 32767);
    nat->alloc = SIM_SEQUENTIAL;
    nat->step = (uint16_t)step;
    return step > 0 && !strncmp(value, "sequential:", strlen("sequential:"));
  }
  int i = pick(value, alloc_names, COUNT(alloc_names));
  nat->alloc = (enum sim_alloc)i;
  return i >= 0;
}

static bool set_range(sim_nat *nat, const char *value) {
  char low_text[VALUE_MAX];
  snprintf(low_text, sizeof low_text, "%s", value);
  char *dash = strchr(low_text, '-');
  if (!dash)
    return false;
  *dash = 0;
  long low = number(low_text, 1, 65535), high = number(dash + 1, 1, 65535);
  nat->port_low = (uint16_t)low;
  nat->port_high = (uint16_t)high;
  return low > 0 && high > 0 && low <= high;
}

static bool set_hairpin(sim_nat *nat, const char *value) {
  int i = pick(value, switch_names, COUNT(switch_names));
  nat->hairpin = i == 1;
  return i >= 0;
}

static bool set_unsolicited(sim_nat *nat, const char *value) {
  int i = pick(value, unsolicited_names, COUNT(unsolicited_names));
  nat->unsolicited = (enum sim_unsolicited)i;
  return i >= 0;
}

static bool set_strays(sim_nat *nat, const char *value) {
  int i = pick(value, strays_names, COUNT(strays_names));
  nat->strays = (enum sim_strays)i;
  return i >= 0;
}

/* `reuse=on` is what every NAT here does; `off` is refused before this is called. */
static bool set_reuse(sim_nat *nat, const char *value) {
  (void)nat;
  return !strcmp(value, "on");
}

static bool set_udp_lifetime(sim_nat *nat, const char *value) {
  long seconds = number(value, 1, LIFETIME_MAX_S);
  nat->udp_lifetime_s = (unsigned)seconds;
  return seconds > 0;
}

static bool set_tcp_lifetime(sim_nat *nat, const char *value) {
  long seconds = number(value, 1, LIFETIME_MAX_S);
  nat->tcp_lifetime_s = (unsigned)seconds;
  return seconds > 0;
}

static const struct axis {
  const char *key;
  bool (*set)(sim_nat *nat, const char *value);
  const char *values; /* for the error line */
} axes[] = {
    {"map", set_map, "ei, ad or apd"},
    {"filter", set_filter, "ei, ad or apd"},
    {"alloc", set_alloc, "preserving, sequential[:STEP] or random"},
    {"range", set_range, "LO-HI with 1 <= LO <= HI <= 65535"},
    {"hairpin", set_hairpin, "on or off"},
    {"unsolicited", set_unsolicited, "drop, reset or icmp"},
    {"strays", set_strays, "drop, reject or accept"},
    {"reuse", set_reuse, "on or off"},
    {"udp-lifetime", set_udp_lifetime, "seconds from 1 to 86400"},
    {"tcp-lifetime", set_tcp_lifetime, "seconds from 1 to 86400"},
};

/* ---- the text form --------------------------------------------------------------------------- */

/* Sets one `key=value`; `seen` marks the axes that were given before. */
static int set_axis(sim_nat *nat, const char *item, bool seen[COUNT(axes)], ns_error *error) {
  const char *equals = strchr(item, '=');
  if (!equals)
    return sim_fail(error, -1, "'%s' is not KEY=VALUE", item);
  size_t key_len = (size_t)(equals - item);
  for (size_t i = 0; i < COUNT(axes); i++) {
    if (strlen(axes[i].key) != key_len || strncmp(axes[i].key, item, key_len))
      continue;
    if (seen[i])
      return sim_fail(error, -1, "'%s' is given twice", axes[i].key);
    seen[i] = true;
    if (!strcmp(item, "reuse=off"))
      return sim_fail(error, -1, "reuse=off (a strict NAT) is not available in this version");
    if (strlen(equals + 1) >= VALUE_MAX || !axes[i].set(nat, equals + 1))
      return sim_fail(error, -1, "'%s': %s takes %s", item, axes[i].key, axes[i].values);
    return 0;
  }
  return sim_fail(error, -1,
                  "'%.*s' is no axis of a NAT: map, filter, alloc, range, hairpin, unsolicited, "
                  "strays, reuse, udp-lifetime, tcp-lifetime",
                  (int)key_len, item);
}

static int check_together(const sim_nat *nat, ns_error *error) {
  unsigned ports = (unsigned)(nat->port_high - nat->port_low) + 1;
  if (nat->alloc == SIM_SEQUENTIAL && nat->step >= ports)
    return sim_fail(error, -1, "alloc=sequential:%u does not fit in range=%u-%u", nat->step,
                    nat->port_low, nat->port_high);
  return 0;
}

int sim_nat_set(sim_nat *nat, const char *text, ns_error *error) {
  bool seen[COUNT(axes)] = {false};
  sim_nat result = *nat;
  char *copy = strdup(text);
  if (!copy)
    return sim_fail(error, -1, "out of memory");
  int status = 0;
  char *rest = copy;
  for (char *item; !status && (item = strsep(&rest, ","));)
    status = set_axis(&result, item, seen, error);
  free(copy);
  if (!status)
    status = check_together(&result, error);
  if (!status)
    *nat = result;
  return status;
}

/* ---- profiles -------------------------------------------------------------------------------- */

const char *sim_profile_name(size_t i, const char **summary) {
  if (i < COUNT(profiles)) {
    *summary = profiles[i].summary;
    return profiles[i].name;
  }
  i -= COUNT(profiles);
  *summary = "mapping-filtering of the RFC 4787 grid; --alloc picks the ports";
  return i < COUNT(grid_names) ? grid_names[i] : NULL;
}

/* Sets the axes a name stands for; 1 when `text` is no name. */
static int from_name(const char *text, const sim_profile_changes *changes, sim_profile *out,
                     ns_error *error) {
  for (size_t i = 0; i < COUNT(profiles); i++) {
    if (strcmp(text, profiles[i].name))
      continue;
    out->translated = profiles[i].translated;
    return *profiles[i].axes ? sim_nat_set(&out->nat, profiles[i].axes, error) : 0;
  }
  if (pick(text, grid_names, COUNT(grid_names)) >= 0) {
    const char *alloc = changes && changes->grid_alloc ? changes->grid_alloc : "random";
    const char *dash = strchr(text, '-');
    char spelled[96];
    snprintf(spelled, sizeof spelled, "map=%.*s,filter=%s,alloc=%s", (int)(dash - text), text,
             dash + 1, alloc);
    return sim_nat_set(&out->nat, spelled, error);
  }
  if (pick(text, planned_profiles, COUNT(planned_profiles)) >= 0)
    return sim_fail(error, -1, "profile '%s' is not available in this version", text);
  return 1;
}

int sim_profile_parse(const char *text, const sim_profile_changes *changes, sim_profile *out,
                      ns_error *error) {
  *out = (sim_profile){.translated = true, .nat = sim_nat_default()};
  if (strlen(text) >= sizeof out->name)
    return sim_fail(error, -1, "a profile is longer than %d characters", SIM_PROFILE_NAME - 1);
  snprintf(out->name, sizeof out->name, "%s", text);
  int status = from_name(text, changes, out, error);
  if (status > 0 && !strchr(text, '='))
    return sim_fail(error, -1, "unknown profile '%s': see natsim profiles", text);
  if (status > 0)
    status = sim_nat_set(&out->nat, text, error);
  if (!status && out->translated && changes && changes->nat)
    status = sim_nat_set(&out->nat, changes->nat, error);
  return status;
}
