#include "cli/outlook.h"

#include "nat/names.h"
#include "nat/plan.h"
#include "nat/verdict.h"

#include <stdio.h>

/* What random probing does unless it is told otherwise. */
enum { OPEN_PORTS = 256, PROBES_PER_S = 100, PROBES_MAX = 2048, PORTS = 64512 };

static const struct {
  const char *peer, *axes;
} typical[CLI_OUTLOOKS] = {
    {"open", "none/ei"},
    {"full-cone", "ei/ei, preserving"},
    {"restricted", "ei/ad, preserving"},
    {"port-restricted", "ei/apd, preserving"},
    {"symmetric", "apd/apd, random"},
    {"symmetric-seq", "apd/apd, sequential:1"},
};

const char *cli_way_name(cli_way way) {
  static const char *const names[] = {"unknown", "direct", "punch", "probe", "relay"};
  return names[way];
}

/* How long it takes until every second connect has hit. */
static double median_seconds(const warp_nat_axes *axes) {
  unsigned range = axes->port_high > axes->port_low ? (unsigned)(axes->port_high - axes->port_low)
                                                    : (unsigned)PORTS;
  unsigned probes = 1;
  while (probes < PROBES_MAX && probes < range &&
         wg_birthday_chance(OPEN_PORTS < range ? OPEN_PORTS : range, probes, range) < 0.5) {
    probes++;
  }
  return (double)probes / PROBES_PER_S;
}

static bool is_unmeasured(const warp_nat_axes *axes) {
  return axes->filtering == WARP_NAT_UNKNOWN ||
         (axes->mapping == WARP_NAT_UNKNOWN && axes->translation != WARP_TRANSLATION_NONE);
}

/* Of one transport. */
static cli_outlook look(const warp_endpoint *self, const warp_endpoint *peer,
                        warp_transport transport) {
  const warp_nat_axes *here = transport == WARP_TCP ? &self->tcp : &self->udp;
  const warp_nat_axes *there = transport == WARP_TCP ? &peer->tcp : &peer->udp;
  cli_outlook out = {.transport = transport};
  char ignored[CLI_OUTLOOK_LEN];
  if (is_unmeasured(here)) {
    snprintf(out.why, sizeof out.why, "not measured");
    return out;
  }
  if (transport == WARP_TCP &&
      wg_nat_reachable(self, transport, "we", ignored, sizeof ignored) == WG_VERDICT_YES) {
    out.way = CLI_WAY_DIRECT;
    snprintf(out.why, sizeof out.why, "the peer can dial us");
    return out;
  }
  if (transport == WARP_TCP &&
      wg_nat_reachable(peer, transport, "the peer", ignored, sizeof ignored) == WG_VERDICT_YES) {
    out.way = CLI_WAY_DIRECT;
    snprintf(out.why, sizeof out.why, "we can dial the peer");
    return out;
  }
  wg_plan plan = wg_nat_plan(self, peer, transport, true, out.why, sizeof out.why);
  switch (plan.strategy) {
  case WG_STRATEGY_NONE:
    out.way = CLI_WAY_RELAY;
    break;
  case WG_STRATEGY_BIRTHDAY:
    out.way = CLI_WAY_PROBE;
    out.seconds = median_seconds(plan.role == WG_ROLE_OPENER ? here : there);
    break;
  default:
    out.way = CLI_WAY_PUNCH;
  }
  return out;
}

void cli_outlook_make(const warp_endpoint *self, cli_outlook out[CLI_OUTLOOKS]) {
  for (size_t i = 0; i < CLI_OUTLOOKS; i++) {
    warp_endpoint peer = {.family = self->family};
    (void)wg_axes_parse(typical[i].axes, &peer.udp);
    peer.udp.reuse = WARP_ABILITY_YES; /* as nearly all NATs do */
    peer.tcp = peer.udp;
    cli_outlook tcp = look(self, &peer, WARP_TCP), udp = look(self, &peer, WARP_UDP);
    bool tcp_wins = udp.way == CLI_WAY_UNKNOWN || (tcp.way != CLI_WAY_UNKNOWN && tcp.way < udp.way);
    out[i] = tcp_wins ? tcp : udp;
    out[i].peer = typical[i].peer;
    out[i].axes = typical[i].axes;
  }
}
