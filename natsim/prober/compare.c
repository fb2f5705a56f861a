#include "natsim/prober/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is declared ------------------------------------------------------------------------ */

/* The value of `key` in "key=value,key=value"; "" when it is not there. */
static const char *value_of(const sim_nat *nat, const char *key, char buf[SIM_MEASURED_LEN]) {
  char text[SIM_NAT_STRLEN];
  sim_nat_format(nat, text);
  size_t key_len = strlen(key);
  buf[0] = 0;
  for (const char *item = text; item; item = strchr(item, ',')) {
    item += *item == ',';
    if (!strncmp(item, key, key_len) && item[key_len] == '=') {
      const char *value = item + key_len + 1;
      snprintf(buf, SIM_MEASURED_LEN, "%.*s", (int)strcspn(value, ","), value);
    }
  }
  return buf;
}

static int strictness(const char *dependence) {
  return !strcmp(dependence, "apd") ? 2 : !strcmp(dependence, "ad");
}

/* Of two NATs in a row. */
static const char *of_both(const char *axis, const sim_nat *home, const sim_nat *carrier,
                           char buf[SIM_MEASURED_LEN]) {
  char inner[SIM_MEASURED_LEN];
  value_of(home, axis, inner);
  value_of(carrier, axis, buf);
  bool take_inner = false;
  if (!strcmp(axis, "map") || !strcmp(axis, "filter"))
    take_inner = strictness(inner) > strictness(buf);
  else if (strstr(axis, "lifetime"))
    take_inner = atoi(inner) < atoi(buf);
  if (take_inner)
    memcpy(buf, inner, SIM_MEASURED_LEN);
  return buf;
}

static const char *outbound(const sim_profile *profile, bool udp) {
  bool blocked = udp && profile->filters & (SIM_BLOCK_UDP | SIM_WEB_ONLY);
  return blocked ? "blocked" : "passes";
}

/* Without a NAT. */
static const char *routed(const sim_profile *profile, const char *axis) {
  bool firewall = profile->filters & SIM_FIREWALL6;
  if (!strcmp(axis, "map"))
    return "none";
  if (!strcmp(axis, "filter"))
    return firewall ? "apd" : "none";
  return !strcmp(axis, "unsolicited") && firewall ? "drop" : NULL;
}

const char *sim_declared(const sim_profile *profile, const sim_finding *finding,
                         char buf[SIM_MEASURED_LEN]) {
  const char *axis = finding->axis;
  bool udp = !strcmp(finding->transport, "udp");
  if (!strcmp(axis, "outbound"))
    return outbound(profile, udp);
  if (!profile->translated)
    return routed(profile, axis);
  if (!strcmp(axis, "clash"))
    return "separate";
  if (!strcmp(axis, "reuse") && !udp)
    return "on";
  if (profile->carrier)
    of_both(axis, &profile->nat, &profile->carrier_nat, buf);
  else
    value_of(&profile->nat, axis, buf);
  if (!strcmp(axis, "unsolicited") && udp && !strcmp(buf, "reset"))
    return "drop";
  return *buf ? buf : NULL;
}

/* ---- whether it agrees ----------------------------------------------------------------------- */

/* Some 20 random ports span less than a quarter of their range once in 10^10 times. */
enum { RANDOM_SPAN = 4, LOWEST_END = 1024, HIGHEST_END = 65535 };

static bool range_agrees(const char *declared, const char *measured, const char *alloc) {
  unsigned low, high, seen_low, seen_high;
  if (sscanf(declared, "%u-%u", &low, &high) != 2 ||
      sscanf(measured, "%u-%u", &seen_low, &seen_high) != 2 || seen_low < low || seen_high > high)
    return false;
  if (!strcmp(alloc, "random"))
    return (seen_high - seen_low) >= (high - low) / RANDOM_SPAN;
  if (!strcmp(alloc, "preserving") && low <= LOWEST_END && high == HIGHEST_END)
    return seen_low <= LOWEST_END && seen_high == HIGHEST_END;
  return true;
}

static bool lifetime_agrees(const char *declared, const char *measured) {
  char *end;
  long seconds = strtol(measured, &end, 10), promised = strtol(declared, NULL, 10);
  return !*end && seconds <= promised && seconds >= promised - 1;
}

bool sim_agrees(const sim_profile *profile, const sim_finding *finding, const char *declared) {
  const char *axis = finding->axis, *measured = finding->measured;
  char alloc[SIM_MEASURED_LEN];
  if (!declared || !strcmp(measured, "hidden"))
    return true;
  if (!strcmp(axis, "range"))
    return range_agrees(
        declared, measured,
        value_of(profile->carrier ? &profile->carrier_nat : &profile->nat, "alloc", alloc));
  if (strstr(axis, "lifetime"))
    return lifetime_agrees(declared, measured);
  if (!strcmp(measured, "answered"))
    return !strcmp(declared, "reject") || !strcmp(declared, "accept");
  return !strcmp(declared, measured);
}
