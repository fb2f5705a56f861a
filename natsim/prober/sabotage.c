/* Another NAT than declared, one axis off: so that the prober can be seen to notice. */
#include "natsim/prober/verify.h"

#include <stdio.h>
#include <string.h>

/* For each axis a value and, where the NAT has that one, another. */
static const struct {
  const char *axis, *value, *instead;
} swaps[] = {
    {"map", "map=ei", "map=apd"},
    {"filter", "filter=ei", "filter=apd"},
    {"alloc", "alloc=random", "alloc=sequential"},
    {"range", "range=30000-31999", "range=40000-41999"},
    {"hairpin", "hairpin=on", "hairpin=off"},
    {"unsolicited", "unsolicited=icmp", "unsolicited=drop"},
    {"strays", "strays=reject", "strays=drop"},
    {"reuse", "reuse=off", "reuse=on"},
    {"udp-lifetime", "udp-lifetime=77", "udp-lifetime=88"},
    {"tcp-lifetime", "tcp-lifetime=77", "tcp-lifetime=88"},
};

/* True when the axis has this value already. */
static bool has(const sim_nat *nat, const char *pair) {
  char text[SIM_NAT_STRLEN];
  sim_nat_format(nat, text);
  size_t len = strlen(pair);
  const char *at = strstr(text, pair);
  return at && (at == text || at[-1] == ',') && (!at[len] || at[len] == ',' || at[len] == ':');
}

int sim_sabotage(sim_profile *profile, const char *axis, ns_error *error) {
  if (!strcmp(axis, "outbound")) {
    profile->filters ^= SIM_BLOCK_UDP;
    return 0;
  }
  if (!strcmp(axis, "filter") && !profile->translated) {
    profile->filters ^= SIM_FIREWALL6;
    return 0;
  }
  if (!strcmp(axis, "clash") && profile->translated)
    return 0;
  sim_nat *nat = profile->carrier ? &profile->carrier_nat : &profile->nat;
  for (size_t i = 0; i < sizeof swaps / sizeof *swaps; i++)
    if (!strcmp(axis, swaps[i].axis) && profile->translated)
      return sim_nat_set(nat, has(nat, swaps[i].value) ? swaps[i].instead : swaps[i].value, error);
  return sim_fail(error, -1, "%s has no axis '%s' to build otherwise", profile->name, axis);
}
