/* The way of a packet: host, NAT, link, core, link, NAT, host. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static const sim_link default_link = {.latency_us = SIM_LATENCY_US};

sim_network *sim_network_new(sim_world *world, const char *name, const sim_link *link) {
  sim_network *network = sim_alloc(sizeof *network);
  network->world = world;
  network->name = sim_copy_string(name);
  network->up = true;
  sim_network_set_link(network, link);
  sim_rng(world, "link", name, &network->rng);
  wg_list_push(&world->networks, &network->item);
  return network;
}

void sim_network_set_link(sim_network *network, const sim_link *link) {
  network->link = link != NULL ? *link : default_link;
}

void sim_network_set_up(sim_network *network, bool up) {
  network->up = up;
}

void sim_network_set_nat(sim_network *network, const char *external, const sim_nat *nat) {
  sim_nat_free(network->nat);
  network->nat = NULL;
  if (nat->mapping == WARP_NAT_UNKNOWN) {
    return;
  }
  warp_addr addr = sim_parse_address(external, NULL);
  if (addr.family != WARP_IP4) {
    sim_fail("the NAT of %s needs an IPv4 address", network->name);
  }
  network->nat = sim_nat_new(network->world, network->name, &addr, nat);
}

void sim_network_reboot_nat(sim_network *network) {
  if (network->nat != NULL) {
    sim_nat_flush(network->nat);
  }
}

size_t sim_network_mappings(sim_network *network) {
  return network->nat != NULL ? sim_nat_count(network->nat, network->world->now_us) : 0;
}

void sim_network_set_router(sim_network *network, const sim_router *router) {
  network->router = router != NULL ? *router : (sim_router){0};
  const wg_list *hosts = &network->world->hosts;
  for (wg_list *item = hosts->next; item != hosts; item = item->next) {
    sim_host *host = WG_CONTAINER(item, sim_host, item);
    sim_portmaps_ask(host, network);
  }
}

size_t sim_network_openings(const sim_network *network) {
  return network->nat != NULL ? sim_nat_openings(network->nat) : 0;
}

void sim_networks_free(sim_world *world) {
  while (!wg_list_empty(&world->networks)) {
    sim_network *network = WG_CONTAINER(world->networks.next, sim_network, item);
    wg_list_remove(&network->item);
    sim_nat_free(network->nat);
    free(network->name);
    free(network);
  }
}

/* ---- trace ----------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
  return hash ^ (hash >> 29);
}

static uint64_t mix_bytes(uint64_t hash, const uint8_t *bytes, size_t len) {
  hash = mix(hash, len);
  for (size_t i = 0; i < len; i++) {
    hash = mix(hash, bytes[i]);
  }
  return hash;
}

static void print_packet(const sim_packet *packet, const char *fate) {
  char src[WARP_ADDR_STRLEN], dst[WARP_ADDR_STRLEN];
  uint8_t flags = packet->segment.flags;
  sim_print(packet->world, "%s %s -> %s%s%s%s%s%s, %u bytes: %s",
            packet->proto == WARP_UDP ? "udp" : "tcp", warp_addr_format(&packet->src, src),
            warp_addr_format(&packet->dst, dst), flags & SIM_SYN ? " SYN" : "",
            flags & SIM_FIN ? " FIN" : "", flags & SIM_RST ? " RST" : "",
            flags & SIM_PROBE ? " PROBE" : "", flags & SIM_ACK ? " ACK" : "", (unsigned)packet->len,
            fate);
}

/* Every packet is recorded when it is sent, and again with its fate. */
static void record(const sim_packet *packet, const char *fate) {
  sim_trace *trace = &packet->world->trace;
  trace->flow = mix(trace->flow, packet->world->now_us);
  trace->flow = mix(trace->flow, packet->proto * 256U + packet->segment.flags);
  trace->flow = mix(trace->flow, wg_addr_hash(&packet->src, 0));
  trace->flow = mix(trace->flow, wg_addr_hash(&packet->dst, 0));
  trace->flow = mix(trace->flow, wg_hash_string(fate));
  trace->content = mix_bytes(trace->content, packet->data, packet->len);
  if (packet->world->stream != NULL) {
    print_packet(packet, fate);
  }
}

/* ---- arriving -------------------------------------------------------------------------------- */

static void free_packet(sim_packet *packet) {
  wg_list_remove(&packet->item);
  free(packet);
}

void sim_packets_free(sim_world *world) {
  while (!wg_list_empty(&world->packets)) {
    free_packet(WG_CONTAINER(world->packets.next, sim_packet, item));
  }
}

static void hand_over(sim_host *host, const sim_packet *packet) {
  record(packet, host->name);
  if (packet->proto == WARP_UDP) {
    sim_udp_input(host, packet);
  } else {
    sim_tcp_input(host, packet);
  }
}

/* The host of a network that has an address. */
static sim_host *find_host(const sim_network *network, const warp_addr *addr) {
  const wg_list *hosts = &network->world->hosts;
  for (wg_list *item = hosts->next; item != hosts; item = item->next) {
    sim_host *host = WG_CONTAINER(item, sim_host, item);
    if (sim_host_has(host, addr) && sim_host_network(host, addr) == network) {
      return host;
    }
  }
  return NULL;
}

static bool behind_nat(const sim_network *network, const warp_addr *addr) {
  return network->nat != NULL && addr->family == WARP_IP4;
}

static void answer_with_reset(const sim_packet *packet, sim_network *from);

static void arrive(void *arg) {
  sim_packet *packet = arg;
  sim_network *to = packet->to;
  sim_world *world = packet->world;
  sim_host *host = NULL;
  if (!to->up) {
    world->trace.lost++;
    record(packet, "lost: network down");
  } else if (behind_nat(to, &packet->dst) &&
             !sim_nat_in(to->nat, world->now_us, packet->proto, &packet->src, &packet->dst)) {
    world->trace.filtered++;
    record(packet, "filtered");
    answer_with_reset(packet, to);
  } else if ((host = find_host(to, &packet->dst)) == NULL) {
    world->trace.lost++;
    record(packet, "lost: no such host");
  } else {
    hand_over(host, packet);
  }
  free_packet(packet);
}

static void arrive_near(void *arg) {
  sim_packet *packet = arg;
  hand_over(packet->near, packet);
  free_packet(packet);
}

/* ---- leaving --------------------------------------------------------------------------------- */

/* The network through which the core reaches an address. */
static sim_network *find_network(sim_world *world, const warp_addr *addr) {
  for (wg_list *item = world->networks.next; item != &world->networks; item = item->next) {
    sim_network *network = WG_CONTAINER(item, sim_network, item);
    if (behind_nat(network, addr) ? wg_addr_same_ip(sim_nat_external(network->nat), addr)
                                  : find_host(network, addr) != NULL) {
      return network;
    }
  }
  return NULL;
}

static uint64_t link_delay_us(sim_network *network) {
  uint64_t jitter_us = wg_rng_below(&network->rng, network->link.jitter_us + 1);
  return network->link.latency_us + jitter_us;
}

static bool happens(sim_network *network, double probability) {
  return probability > 0 && wg_rng_unit(&network->rng) < probability;
}

static void schedule(sim_packet *packet, uint64_t delay_us, uint64_t *order, wg_timer_cb cb) {
  uint64_t at_us = packet->world->now_us + delay_us;
  if (order != NULL) {
    at_us = at_us < *order ? *order : at_us;
    *order = at_us;
  }
  wg_timers_start(&packet->world->events, &packet->event, at_us, cb, packet);
}

static sim_packet *copy_packet(const sim_packet *packet) {
  sim_packet *copy = sim_alloc(sizeof *copy + packet->len);
  memcpy(copy, packet, sizeof *copy + packet->len);
  copy->event = (wg_timer){0};
  wg_list_push(&copy->world->packets, &copy->item);
  return copy;
}

/* Over the two links. Frees the packet when it is lost. */
static void cross(sim_packet *packet, sim_network *from, sim_network *to, uint64_t *order) {
  packet->to = to;
  bool lost = happens(from, from->link.loss);
  lost = happens(to, to->link.loss) || lost;
  if (lost) {
    packet->world->trace.lost++;
    record(packet, "lost");
    free_packet(packet);
    return;
  }
  bool doubled = happens(from, from->link.duplicate);
  doubled = happens(to, to->link.duplicate) || doubled;
  if (doubled) {
    schedule(copy_packet(packet), link_delay_us(from) + link_delay_us(to), order, arrive);
  }
  record(packet, "sent");
  schedule(packet, link_delay_us(from) + link_delay_us(to), order, arrive);
}

static void drop(sim_packet *packet, const char *fate) {
  packet->world->trace.lost++;
  record(packet, fate);
  free_packet(packet);
}

/* Out of the sender's network into the core. */
static void leave(sim_packet *packet, sim_network *from, uint64_t *order) {
  sim_world *world = packet->world;
  if (!from->up) {
    drop(packet, "lost: network down");
    return;
  }
  if (behind_nat(from, &packet->dst)) {
    if (wg_addr_same_ip(&packet->dst, sim_nat_external(from->nat))) {
      drop(packet, "lost: no hairpin");
      return;
    }
    if (!sim_nat_out(from->nat, world->now_us, packet->proto, &packet->src, &packet->dst)) {
      drop(packet, "lost: the NAT lets it not out");
      return;
    }
  }
  sim_network *to = find_network(world, &packet->dst);
  if (to == NULL || to == from) {
    drop(packet, "lost: no route");
    return;
  }
  cross(packet, from, to, order);
}

/* What a NAT sends for a SYN that it let not in. */
static void answer_with_reset(const sim_packet *packet, sim_network *from) {
  sim_network *to = find_network(packet->world, &packet->src);
  if (!sim_nat_resets(from->nat) || packet->proto != WARP_TCP || packet->segment.flags != SIM_SYN ||
      to == NULL) {
    return;
  }
  sim_packet *reset = copy_packet(packet);
  reset->src = packet->dst;
  reset->dst = packet->src;
  reset->segment = (sim_segment){.flags = SIM_RST | SIM_ACK, .ack = packet->segment.seq + 1};
  reset->world->trace.packets++;
  cross(reset, from, to, NULL);
}

void sim_send(sim_host *host, uint8_t proto, const warp_addr *src, const warp_addr *dst,
              const sim_segment *segment, const void *data, size_t len, uint64_t *order) {
  sim_world *world = host->world;
  sim_packet *packet = sim_alloc(sizeof *packet + len);
  packet->world = world;
  packet->proto = proto;
  packet->src = *src;
  packet->dst = *dst;
  packet->len = len;
  if (segment != NULL) {
    packet->segment = *segment;
  }
  if (len > 0) {
    memcpy(packet->data, data, len);
  }
  wg_list_push(&world->packets, &packet->item);
  world->trace.packets++;
  if (!sim_host_owns(host, src)) {
    drop(packet, "lost: its address is gone");
    return;
  }
  sim_network *from = sim_host_network(host, src);
  packet->near = sim_host_owns(host, dst) ? host : find_host(from, dst);
  if (packet->near == NULL) {
    leave(packet, from, order);
    return;
  }
  record(packet, "sent");
  schedule(packet, packet->near == host ? SIM_LOOPBACK_US : SIM_LAN_US, order, arrive_near);
}
