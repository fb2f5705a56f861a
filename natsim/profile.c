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
/* RFC 4787 REQ-5 asks for two minutes and more, Linux keeps TCP for five days. */
enum { LIFETIME_MAX_S = 604800 };

/* What a name stands for besides its axes. */
enum { ROUTED = 1 << 8, IP6_ONLY = 1 << 9, CARRIER = 1 << 10 }; /* and enum sim_filter */

typedef struct profile_row {
  const char *name;
  unsigned kind;
  const char *axes;
  const char *summary;
  const char *source; /* of a device's model: who says so. NULL: a name for axes */
} profile_row;

static const profile_row profiles[] = {
    {"open", ROUTED, "", "no NAT and no filter: the site has public addresses", NULL},
    {"full-cone", 0, "map=ei,filter=ei", "one port for all, open to all", NULL},
    {"restricted", 0, "map=ei,filter=ad", "one port for all, open to addresses written to", NULL},
    {"port-restricted", 0, "map=ei,filter=apd",
     "one port for all, open to address and port written to", NULL},
    {"symmetric", 0, "map=apd,filter=apd,alloc=random", "a new random port for every destination",
     NULL},
    {"symmetric-seq", 0, "map=apd,filter=apd,alloc=sequential:1",
     "the next port for every destination", NULL},
    {"cgnat", CARRIER, "map=ei,filter=apd", "a port-restricted home router behind a carrier's NAT",
     NULL},
    {"udp-blocked", SIM_BLOCK_UDP, "map=ei,filter=apd", "a port-restricted NAT that passes no UDP",
     NULL},
    {"web-only", SIM_WEB_ONLY, "map=ei,filter=apd", "only TCP to ports 80 and 443 gets out", NULL},
    {"firewall6", ROUTED | IP6_ONLY | SIM_FIREWALL6, "",
     "IPv6 only, no NAT: a stateful firewall lets answers in", NULL},
    {"upnp", SIM_UPNP, "map=ei,filter=apd", "a port-restricted NAT with UPnP and NAT-PMP", NULL},
    {"linux-masquerade", 0,
     "map=ei,filter=apd,alloc=preserving,udp-lifetime=120,tcp-lifetime=432000",
     "Linux with nftables masquerade, as one inside host sees it",
     "measured on such a router by the test behaviour; lifetimes are the kernel's defaults "
     "(nf_conntrack_udp_timeout_stream, nf_conntrack_tcp_timeout_established)"},
    {"linux-masquerade-random", 0,
     "map=apd,filter=apd,alloc=random,udp-lifetime=120,tcp-lifetime=432000",
     "the same with masquerade fully-random", "measured and set as linux-masquerade"},
    {"rfc4787", 0,
     "map=ei,filter=ei,alloc=preserving,hairpin=on,unsolicited=drop,udp-lifetime=300,"
     "tcp-lifetime=7440",
     "what the RFCs ask for where transparency comes first",
     "RFC 4787 REQ-1 (mapping), REQ-8 (filter), REQ-9 (hairpin), REQ-5 (300 s recommended); "
     "RFC 5382 REQ-4 (silence), REQ-5 (2 h 4 min)"},
    {"rfc4787-stringent", 0,
     "map=ei,filter=ad,alloc=preserving,hairpin=on,unsolicited=drop,udp-lifetime=300,"
     "tcp-lifetime=7440",
     "the same where the filter is to be stringent",
     "RFC 4787 REQ-8 (second half), else as rfc4787"},
    {"rfc6888", 0,
     "map=ei,filter=ei,alloc=random,range=20000-21023,hairpin=on,udp-lifetime=300,"
     "tcp-lifetime=7440",
     "one subscriber's share of a carrier's NAT: 1024 ports",
     "RFC 6888 REQ-1 (as RFC 4787 and 5382), REQ-7 (filter), REQ-4 (ports of a subscriber are "
     "limited); how many ports, and random ones, are our choice"},
};

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
                   .reuse = true,
                   .udp_lifetime_s = 120,
                   .tcp_lifetime_s = 7200};
}

const char *sim_nat_format(const sim_nat *nat, char buf[SIM_NAT_STRLEN]) {
  char alloc[32];
  snprintf(buf, SIM_NAT_STRLEN,
           "map=%s,filter=%s,alloc=%s,range=%u-%u,hairpin=%s,unsolicited=%s,strays=%s,"
           "reuse=%s,udp-lifetime=%u,tcp-lifetime=%u",
           dependence_names[nat->map], dependence_names[nat->filter], sim_alloc_format(nat, alloc),
           nat->port_low, nat->port_high, switch_names[nat->hairpin],
           unsolicited_names[nat->unsolicited], strays_names[nat->strays], switch_names[nat->reuse],
           nat->udp_lifetime_s, nat->tcp_lifetime_s);
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

static bool set_reuse(sim_nat *nat, const char *value) {
  int i = pick(value, switch_names, COUNT(switch_names));
  nat->reuse = i == 1;
  return i >= 0;
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
    {"udp-lifetime", set_udp_lifetime, "seconds from 1 to 604800"},
    {"tcp-lifetime", set_tcp_lifetime, "seconds from 1 to 604800"},
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
    if (strlen(equals + 1) >= VALUE_MAX || !axes[i].set(nat, equals + 1))
      return sim_fail(error, -1, "'%s': %s takes %s", item, axes[i].key, axes[i].values);
    return 0;
  }
  return sim_fail(error, -1,
                  "'%.*s' is no axis of a NAT: map, filter, alloc, range, hairpin, unsolicited, "
                  "strays, reuse, udp-lifetime, tcp-lifetime",
                  (int)key_len, item);
}

/* Axes that say nothing of each other's are checked only where both were written: --nat adds one
 * to whatever NAT it meets. */
static bool both(const bool seen[], const char *one, const char *other) {
  int found = 0;
  for (size_t i = 0; i < COUNT(axes); i++)
    found += seen[i] && (!strcmp(axes[i].key, one) || !strcmp(axes[i].key, other));
  return found == 2;
}

static int check_together(const sim_nat *nat, const bool seen[], ns_error *error) {
  unsigned ports = (unsigned)(nat->port_high - nat->port_low) + 1;
  if (nat->alloc == SIM_SEQUENTIAL && nat->step >= ports)
    return sim_fail(error, -1, "alloc=sequential:%u does not fit in range=%u-%u", nat->step,
                    nat->port_low, nat->port_high);
  if (both(seen, "filter", "unsolicited") && nat->filter == SIM_EI &&
      nat->unsolicited != SIM_UNSOLICITED_DROP)
    return sim_fail(error, -1, "filter=ei lets everything in: unsolicited=%s answers nothing",
                    unsolicited_names[nat->unsolicited]);
  if (both(seen, "map", "reuse") && nat->map == SIM_EI && !nat->reuse)
    return sim_fail(error, -1,
                    "map=ei has one mapping for all: no answer can leave by another, as "
                    "reuse=off wants");
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
    status = check_together(&result, seen, error);
  if (!status)
    *nat = result;
  return status;
}

/* ---- profiles -------------------------------------------------------------------------------- */

const char *sim_profile_source(size_t i) {
  return i < COUNT(profiles) ? profiles[i].source : NULL;
}

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
    out->translated = !(profiles[i].kind & ROUTED);
    out->ip6_only = profiles[i].kind & IP6_ONLY;
    out->carrier = profiles[i].kind & CARRIER;
    out->filters = profiles[i].kind & (ROUTED - 1);
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
  return 1;
}

int sim_carrier_axes(sim_nat *nat, const char *axes_text, ns_error *error) {
  *nat = sim_nat_default();
  return sim_nat_set(nat, axes_text ? axes_text : SIM_CARRIER_AXES, error);
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
  if (!status && out->carrier)
    status = sim_carrier_axes(&out->carrier_nat, NULL, error);
  if (!status && out->translated && changes && changes->nat)
    status = sim_nat_set(&out->nat, changes->nat, error);
  if (!status && out->carrier && changes && changes->nat)
    status = sim_nat_set(&out->carrier_nat, changes->nat, error);
  return status;
}
