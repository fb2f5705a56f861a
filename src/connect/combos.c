/*
 * Which attempts an initiator's session has: every combination of plugin, transport, route type and
 * pair of endpoints, in the order of the phases. What the measured axes or the configuration rule
 * out never starts and says why.
 */
#include "connect/session.h"

#include "base/addr.h"
#include <stdio.h>
#include <string.h>

/* Where a combination was found: the numbers of its endpoints in the two records. */
typedef struct place {
  size_t self, peer;
} place;

/* ---- what rules a combination out ------------------------------------------------------------ */

static const warp_addr *external_of(const warp_endpoint *endpoint, unsigned transport) {
  return transport == WARP_TCP ? &endpoint->external_tcp : &endpoint->external_udp;
}

static const warp_nat_axes *axes_of(const warp_endpoint *endpoint, unsigned transport) {
  return transport == WARP_TCP ? &endpoint->tcp : &endpoint->udp;
}

/* A record may name an address that has become ours since: a node that ended, and we took its port.
 */
static bool is_our_own(const warp_combo *combo) {
  if (combo->route_type == WARP_NIC_BIND)
    return wg_addr_equal(&combo->peer->nic, &combo->self->nic);
  const warp_addr *theirs = external_of(combo->peer, combo->transport);
  return theirs->family != 0 && wg_addr_equal(theirs, external_of(combo->self, combo->transport));
}

/* Both behind one NAT that was seen not to send back in what is meant for its own outside (RFC 4787
 * section 6): nothing between the external addresses can arrive. */
static bool lacks_hairpin(const warp_combo *combo) {
  const warp_addr *ours = external_of(combo->self, combo->transport);
  const warp_addr *theirs = external_of(combo->peer, combo->transport);
  const warp_nat_axes *self = axes_of(combo->self, combo->transport);
  const warp_nat_axes *peer = axes_of(combo->peer, combo->transport);
  return ours->family != 0 && wg_addr_same_ip(ours, theirs) &&
         self->translation == WARP_TRANSLATION_NAT &&
         (self->hairpin == WARP_ABILITY_NO || peer->hairpin == WARP_ABILITY_NO);
}

/* On one link with addresses that are the external ones too, as with IPv6: packets between them are
 * the same for either route type, but they do not pass the firewalls that the axes tell of. */
static bool on_one_link(const warp_combo *combo) {
  const warp_endpoint *self = combo->self, *peer = combo->peer;
  return self->prefix_bits == peer->prefix_bits &&
         wg_addr_in_prefix(&self->nic, &peer->nic, self->prefix_bits) &&
         wg_addr_equal(&self->nic, external_of(self, combo->transport)) &&
         wg_addr_equal(&peer->nic, external_of(peer, combo->transport));
}

/* Interface addresses are of use only where both sides may share a network (over TCP the peer has
 * to prove it first, proof.h); a global interface address without a NAT is already the external
 * one. */
static int check_interfaces(const wg_session *session, const warp_combo *combo, char *why,
                            size_t room) {
  const wg_contact_self *self = &session->connect->self;
  const warp_addr *nic = &combo->peer->nic;
  if (wg_may_contact(self, &session->peer_record, WARP_UDP, nic) != WARP_OK) {
    snprintf(why, room, "not on the same network");
    return WARP_RULED_OUT;
  }
  if (!on_one_link(combo) && (wg_addr_equal(nic, &combo->peer->external_udp) ||
                              wg_addr_equal(nic, &combo->peer->external_tcp))) {
    snprintf(why, room, "the interface address is the external one");
    return WARP_RULED_OUT;
  }
  return WARP_OK;
}

static int check_route(const wg_session *session, const warp_plugin *plugin,
                       const warp_combo *combo, char *why, size_t room) {
  if (is_our_own(combo)) {
    snprintf(why, room, "its address is ours by now: the node it belonged to is gone");
    return WARP_RULED_OUT;
  }
  if (combo->route_type == WARP_NIC_BIND)
    return check_interfaces(session, combo, why, room);
  bool both = (plugin->route_types & session->route_types & WARP_NIC_BIND) != 0;
  if (both && on_one_link(combo)) {
    snprintf(why, room, "on the same network: the external address is the interface address");
    return WARP_RULED_OUT;
  }
  /* Whose external address has to be known, the plugin knows. */
  if (plugin->phase != WARP_PHASE_RELAY && lacks_hairpin(combo)) {
    snprintf(why, room, "both are behind one NAT, and it does not hairpin (RFC 4787 section 6)");
    return WARP_RULED_OUT;
  }
  return WARP_OK;
}

bool wg_plugin_allowed(const wg_connect *connect, const warp_plugin *plugin) {
  return !connect->config.no_punching ||
         (plugin->phase != WARP_PHASE_PUNCH && plugin->phase != WARP_PHASE_SPRAY);
}

static int judge(const wg_session *session, const warp_plugin *plugin, const warp_combo *combo,
                 char *why, size_t room) {
  if (!wg_plugin_allowed(session->connect, plugin)) {
    snprintf(why, room, "punching is switched off (enable_punching)");
    return WARP_RULED_OUT;
  }
  int status = check_route(session, plugin, combo, why, room);
  if (status != WARP_OK || plugin->check == NULL)
    return status;
  status = plugin->check(combo, why, room);
  if (status == WARP_OK || status == WARP_RULED_OUT)
    return status;
  snprintf(why, room, "the plugin's check returned %d, which it may not", status);
  return WARP_RULED_OUT;
}

/* ---- listing --------------------------------------------------------------------------------- */

/* Many interfaces on both sides make more combinations than a session takes. Then those of the
 * later phases are left out, never those of the relay, and first of all what is ruled out anyway.
 */
static bool has_room(const wg_session *session, const warp_plugin *plugin, bool ruled_out) {
  if (ruled_out)
    return session->attempt_count < WG_ATTEMPTS_MAX / 2;
  size_t reserved = plugin->phase == WARP_PHASE_RELAY ? 0 : WG_ATTEMPTS_RELAY;
  return session->attempt_count < WG_ATTEMPTS_MAX - reserved;
}

/* The addresses decide: how old a measurement is changes with every record. */
bool wg_endpoint_same(const warp_endpoint *a, const warp_endpoint *b) {
  return wg_addr_equal(&a->nic, &b->nic) && wg_addr_equal(&a->external_udp, &b->external_udp) &&
         wg_addr_equal(&a->external_tcp, &b->external_tcp);
}

bool wg_attempt_is_for(const warp_attempt *attempt, const warp_plugin *plugin,
                       const warp_combo *combo) {
  return attempt->plugin == plugin && attempt->combo.route_type == combo->route_type &&
         attempt->combo.transport == combo->transport &&
         wg_endpoint_same(&attempt->self, combo->self) &&
         wg_endpoint_same(&attempt->peer, combo->peer);
}

/* Is there an attempt for this already? One that was ruled out counts only while it would be again.
 */
static bool is_listed(const wg_session *session, const warp_plugin *plugin, const warp_combo *combo,
                      bool ruled_out) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    const warp_attempt *attempt = session->attempts[i];
    if (attempt->number > session->first_number && wg_attempt_is_for(attempt, plugin, combo) &&
        (ruled_out || attempt->state != WG_ATTEMPT_RULED_OUT))
      return true;
  }
  return false;
}

static int add_combo(wg_session *session, const warp_plugin *plugin, const warp_combo *combo,
                     place at) {
  char why[WARP_DETAIL_LEN] = "";
  int status = judge(session, plugin, combo, why, sizeof why);
  if (is_listed(session, plugin, combo, status != WARP_OK) ||
      !has_room(session, plugin, status != WARP_OK))
    return WARP_OK;
  warp_attempt *attempt = wg_attempt_add(session, plugin, ++session->last_number, combo);
  if (attempt == NULL)
    return WARP_NOMEM;
  attempt->self_index = (uint8_t)at.self;
  attempt->peer_index = (uint8_t)at.peer;
  if (status != WARP_OK) {
    attempt->state = WG_ATTEMPT_RULED_OUT;
    attempt->row.status = status;
    memcpy(attempt->row.detail, why, sizeof why);
  }
  return WARP_OK;
}

static bool has_relay(const wg_connect *connect, int family) {
  for (size_t i = 0; i < connect->config.relay_count; i++) {
    if (connect->config.relays[i].addr.family == family)
      return true;
  }
  return false;
}

static bool has_family(const wg_record *record, int family) {
  for (size_t i = 0; i < record->endpoint_count; i++) {
    if (record->endpoints[i].family == family)
      return true;
  }
  return false;
}

/* Of different families, only where both sides have none in common that a relay has too:
 * REQUESTED-ADDRESS-FAMILY (RFC 8656 section 18.8) is for that. */
static bool may_relay(const wg_session *session, const warp_endpoint *self,
                      const warp_endpoint *peer) {
  static const int families[] = {WARP_IP4, WARP_IP6};
  const wg_connect *connect = session->connect;
  if (self->family == peer->family)
    return true;
  for (size_t i = 0; i < 2; i++) {
    if (has_relay(connect, families[i]) && has_family(&connect->record, families[i]) &&
        has_family(&session->peer_record, families[i]))
      return false;
  }
  return has_relay(connect, self->family);
}

/* The one attempt of a relay between two endpoints. */
static int add_relayed(wg_session *session, const warp_plugin *plugin, place at) {
  const warp_endpoint *self = &session->connect->record.endpoints[at.self];
  const warp_endpoint *peer = &session->peer_record.endpoints[at.peer];
  unsigned transports = plugin->transports & session->options.transports;
  if (transports == 0 || (plugin->route_types & session->route_types & WARP_EXT_BIND) == 0 ||
      (session->family != 0 && session->family != peer->family) || !may_relay(session, self, peer))
    return WARP_OK;
  warp_combo combo = {.family = peer->family,
                      .route_type = WARP_EXT_BIND,
                      .transport = (uint8_t)transports,
                      .self = self,
                      .peer = peer};
  return add_combo(session, plugin, &combo, at);
}

/* All route types and transports of one plugin between two endpoints. */
static int add_pair(wg_session *session, const warp_plugin *plugin, place at) {
  const warp_endpoint *self = &session->connect->record.endpoints[at.self];
  const warp_endpoint *peer = &session->peer_record.endpoints[at.peer];
  unsigned transports = plugin->transports & session->options.transports;
  unsigned routes = plugin->route_types & session->route_types;
  if (self->family != peer->family || (session->family != 0 && session->family != self->family))
    return WARP_OK;
  for (unsigned transport = WARP_TCP; transport <= WARP_UDP; transport++) {
    for (unsigned route = WARP_NIC_BIND; route <= WARP_EXT_BIND; route++) {
      if ((transports & transport) == 0 || (routes & route) == 0)
        continue;
      warp_combo combo = {.family = self->family,
                          .route_type = (uint8_t)route,
                          .transport = (uint8_t)transport,
                          .self = self,
                          .peer = peer};
      int status = add_combo(session, plugin, &combo, at);
      if (status != WARP_OK)
        return status;
    }
  }
  return WARP_OK;
}

static int add_plugin(wg_session *session, const warp_plugin *plugin) {
  int status = WARP_OK;
  for (size_t i = 0; status == WARP_OK && i < session->connect->record.endpoint_count; i++) {
    for (size_t j = 0; status == WARP_OK && j < session->peer_record.endpoint_count; j++) {
      place at = {.self = i, .peer = j};
      status = plugin->relays ? add_relayed(session, plugin, at) : add_pair(session, plugin, at);
    }
  }
  return status;
}

int wg_race_build(wg_session *session) {
  wg_plugin_list plugins = session->connect->config.plugins;
  int status = wg_ask_build(session);
  if (session->asking != NULL || session->expired)
    return status;
  for (int phase = WARP_PHASE_NONE; phase <= WARP_PHASE_RELAY; phase++) {
    for (size_t i = 0; status == WARP_OK && plugins[i] != NULL; i++) {
      if ((int)plugins[i]->phase == phase && wg_plugin_selected(session->plugins, plugins[i]) &&
          plugins[i] != session->renewer &&
          !(session->options.no_relay && phase == WARP_PHASE_RELAY))
        status = add_plugin(session, plugins[i]);
    }
  }
  return status;
}
