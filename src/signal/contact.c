/*
 * The address filter: what may be contacted on a peer's word.
 *
 * A record says of itself what it likes. Somebody who is not in our network must not be able to
 * have us send packets to our router, our printer or the services of our loopback by naming them.
 */
#include "base/addr.h"
#include "signal/router.h"

/* Below 1024 are services of systems, not of people's programs; the two ports of the web are where
 * a node may stand that has to look like one to get through a firewall. */
static bool port_allowed(uint16_t port) {
  return port >= 1024 || port == 80 || port == 443;
}

/* The all-ones address of an interface's IPv4 network (RFC 919 section 7). */
static bool is_broadcast_of(const warp_endpoint *own, const warp_addr *to) {
  if (to->family != WARP_IP4 || own->prefix_bits >= 31 ||
      !wg_addr_in_prefix(&own->nic, to, own->prefix_bits)) {
    return false;
  }
  for (unsigned bit = own->prefix_bits; bit < 32; bit++) {
    if ((to->ip[bit / 8] & 0x80 >> bit % 8) == 0) {
      return false;
    }
  }
  return true;
}

static bool is_own_broadcast(const wg_record *own, const warp_addr *to) {
  for (size_t i = 0; i < own->endpoint_count; i++) {
    if (is_broadcast_of(&own->endpoints[i], to)) {
      return true;
    }
  }
  return false;
}

static bool is_interface_of(const wg_record *record, const warp_addr *to) {
  for (size_t i = 0; i < record->endpoint_count; i++) {
    if (wg_addr_same_ip(&record->endpoints[i].nic, to)) {
      return true;
    }
  }
  return false;
}

/* The peer's tag shows that it knows our machine's id, which no record tells. */
static bool same_machine(const wg_contact_self *self, const wg_record *peer) {
  uint8_t tag[WG_MACHINE_ID_LEN];
  wg_machine_tag(self->machine, &peer->key, tag);
  return wg_bytes_equal_ct(tag, peer->machine, sizeof tag);
}

/* ---- our own network ------------------------------------------------------------------------- */

static bool known_and_same(const warp_addr *a, const warp_addr *b) {
  return a->family != 0 && wg_addr_same_ip(a, b);
}

/* Behind the same NAT: the outside sees both under one address. */
static bool same_outside(const warp_endpoint *own, const warp_endpoint *peer) {
  return known_and_same(&own->external_udp, &peer->external_udp) ||
         known_and_same(&own->external_tcp, &peer->external_tcp);
}

static bool translated(const warp_endpoint *endpoint) {
  return endpoint->udp.translation != WARP_TRANSLATION_NONE;
}

static bool same_network(const warp_endpoint *own, const warp_endpoint *peer) {
  return own->prefix_bits == peer->prefix_bits &&
         wg_addr_in_prefix(&own->nic, &peer->nic, own->prefix_bits);
}

/* Is `to` an interface of the peer's that stands in our own network? */
static bool is_neighbour(const wg_record *own, const wg_record *peer, const warp_addr *to) {
  for (size_t i = 0; i < own->endpoint_count; i++) {
    const warp_endpoint *ours = &own->endpoints[i];
    if (!wg_addr_in_prefix(&ours->nic, to, ours->prefix_bits)) {
      continue;
    }
    for (size_t j = 0; j < peer->endpoint_count; j++) {
      const warp_endpoint *theirs = &peer->endpoints[j];
      if (!wg_addr_same_ip(&theirs->nic, to)) {
        continue;
      }
      if (same_outside(ours, theirs) ||
          (!translated(ours) && !translated(theirs) && same_network(ours, theirs))) {
        return true;
      }
    }
  }
  return false;
}

/* ---- the filter ------------------------------------------------------------------------------ */

int wg_may_contact(const wg_contact_self *self, const wg_record *peer, warp_transport transport,
                   const warp_addr *to) {
  const wg_record *own = self->record;
  warp_addr addr = wg_addr_unmap(to);
  wg_addr_scope scope = wg_addr_get_scope(&addr);
  bool allowed = false;
  switch (scope) {
  case WG_SCOPE_INVALID:
    break;
  case WG_SCOPE_LOOPBACK:
    allowed = self->loopback_only || same_machine(self, peer);
    break;
  case WG_SCOPE_GLOBAL:
    allowed = !self->loopback_only;
    break;
  case WG_SCOPE_LINK:
  case WG_SCOPE_SHARED:
  case WG_SCOPE_PRIVATE:
    allowed = !self->loopback_only && ((transport == WARP_UDP && is_neighbour(own, peer, &addr)) ||
                                       (same_machine(self, peer) && is_interface_of(own, &addr)));
    break;
  }
  return allowed && port_allowed(addr.port) && !is_own_broadcast(own, &addr) ? WARP_OK
                                                                             : WARP_UNTRUSTED;
}
