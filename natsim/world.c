#include "natsim/world.h"

#include "natsim/rules.h"
#include "natsim/seed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Interface indexes: wan0 and eth0 are each the first of their namespace, lan0 the second. */
enum { OUTER = 2, INNER = 3, SERVER_INDEX = 10, FIRST_SITE_INDEX = 100 };

/* How long a veth may take to come up: it is ready within a millisecond or something is wrong. */
enum { LINK_LIMIT_MS = 2000 };

/* The addresses of a side: behind a NAT private ones, else documentation ones (RFC 5737). */
typedef struct side_row {
  const char *router_name, *host_name;
  const char *router_ip;   /* outside */
  const char *open_prefix; /* routed to this side when it has no NAT */
  const char *private_gateway, *private_host;
  const char *open_gateway, *open_host;
  int private_len, open_len;
} side_row;

static const side_row sides[SIM_SIDES] = {
    {"router-a", "a", "203.0.113.101", "192.0.2.0/25", "192.168.1.1", "192.168.1.2", "192.0.2.1",
     "192.0.2.2", 24, 25},
    {"router-b", "b", "203.0.113.102", "192.0.2.128/25", "192.168.2.1", "192.168.2.2",
     "192.0.2.129", "192.0.2.130", 24, 25},
};

/* The MAC addresses of a side. */
typedef struct side_macs {
  uint8_t wan[6], lan[6], host[6];
} side_macs;

static side_macs macs_of(uint64_t seed, int side) {
  side_macs macs;
  sim_mac(seed, side == SIM_A ? "router-a wan0" : "router-b wan0", macs.wan);
  sim_mac(seed, side == SIM_A ? "router-a lan0" : "router-b lan0", macs.lan);
  sim_mac(seed, side == SIM_A ? "a eth0" : "b eth0", macs.host);
  return macs;
}

static void add_address(ns_batch *batch, int index, const char *ip, int prefix_len) {
  char text[64];
  snprintf(text, sizeof text, "%s/%d", ip, prefix_len);
  ns_add_address(batch, index, text);
}

/* ---- the world ------------------------------------------------------------------------------- */

static ns_impairment one_way(const sim_options *options) {
  return (ns_impairment){.delay_ms = options->rtt_ms / 2,
                         .jitter_ms = options->jitter_ms,
                         .loss = options->loss_pct / 100,
                         .duplicate = options->duplicate_pct / 100,
                         .reorder = options->reorder_pct / 100,
                         .rate_mbit = options->rate_mbit};
}

static int build_server(sim_world *world, ns_error *error) {
  ns_batch batch;
  ns_begin(&batch, &world->fabric);
  ns_add_veth(&batch, "server", SERVER_INDEX, NULL, &world->server, SIM_WAN, OUTER,
              world->server_mac);
  ns_add_up(&batch, SERVER_INDEX);
  int status = ns_commit(&batch, error);
  if (status)
    return status;
  ns_begin(&batch, &world->server);
  ns_add_up(&batch, OUTER);
  ns_add_address(&batch, OUTER, SIM_SERVER_1 "/24");
  ns_add_address(&batch, OUTER, SIM_SERVER_2 "/24");
  for (int side = 0; side < SIM_SIDES; side++)
    ns_add_route(&batch, sides[side].open_prefix, sides[side].router_ip, OUTER);
  status = ns_commit(&batch, error);
  return status ? status : ns_link_wait(&world->fabric, SERVER_INDEX, LINK_LIMIT_MS, error);
}

int sim_world_open(sim_world *world, const sim_options *options, ns_error *error) {
  *world = (sim_world){.way = one_way(options), .next_index = FIRST_SITE_INDEX};
  sim_mac(options->seed, "server", world->server_mac);
  int status = ns_host_open(&world->fabric, "switch", error);
  if (!status)
    status = ns_host_open(&world->server, "server", error);
  if (!status)
    status = build_server(world, error);
  if (!status)
    status = ns_switch_open(&world->sw, &world->fabric, options->seed, error);
  if (status)
    return status;
  world->server_port = ns_switch_add_port(world->sw, SERVER_INDEX, error);
  return world->server_port < 0 ? world->server_port : 0;
}

void sim_world_close(sim_world *world) {
  ns_switch_close(world->sw);
  ns_host_close(&world->server);
  ns_host_close(&world->fabric);
  *world = (sim_world){.sw = NULL};
}

/* ---- the sites of a trial -------------------------------------------------------------------- */

/* Router and host with their links; addresses follow. */
static int build_links(sim_site *site, const side_macs *macs, int index, ns_error *error) {
  char name[NS_IFNAME];
  snprintf(name, sizeof name, "%s%d", sides[site->side].host_name, index);
  ns_batch batch;
  ns_begin(&batch, &site->world->fabric);
  ns_add_veth(&batch, name, index, NULL, &site->router, SIM_WAN, OUTER, macs->wan);
  ns_add_up(&batch, index);
  int status = ns_commit(&batch, error);
  if (status)
    return status;
  ns_begin(&batch, &site->router);
  ns_add_veth(&batch, SIM_LAN, INNER, macs->lan, &site->host, "eth0", OUTER, macs->host);
  ns_add_up(&batch, OUTER);
  ns_add_up(&batch, INNER);
  return ns_commit(&batch, error);
}

static int address_router(const sim_site *site, const sim_profile *profile,
                          const side_macs macs[SIM_SIDES], ns_error *error) {
  const side_row *own = &sides[site->side], *other = &sides[!site->side];
  ns_batch batch;
  ns_begin(&batch, &site->router);
  add_address(&batch, OUTER, own->router_ip, 24);
  ns_add_route(&batch, "198.51.100.0/24", NULL, OUTER);
  ns_add_route(&batch, other->open_prefix, other->router_ip, OUTER);
  ns_add_neighbour(&batch, SIM_SERVER_1, site->world->server_mac, OUTER);
  ns_add_neighbour(&batch, SIM_SERVER_2, site->world->server_mac, OUTER);
  ns_add_neighbour(&batch, other->router_ip, macs[!site->side].wan, OUTER);
  if (profile->translated)
    add_address(&batch, INNER, own->private_gateway, own->private_len);
  else
    add_address(&batch, INNER, own->open_gateway, own->open_len);
  ns_add_neighbour(&batch, profile->translated ? own->private_host : own->open_host,
                   macs[site->side].host, INNER);
  return ns_commit(&batch, error);
}

static int address_host(const sim_site *site, const sim_profile *profile, const side_macs *macs,
                        ns_error *error) {
  const side_row *own = &sides[site->side];
  const char *gateway = profile->translated ? own->private_gateway : own->open_gateway;
  ns_batch batch;
  ns_begin(&batch, &site->host);
  ns_add_up(&batch, OUTER);
  if (profile->translated)
    add_address(&batch, OUTER, own->private_host, own->private_len);
  else
    add_address(&batch, OUTER, own->open_host, own->open_len);
  ns_add_route(&batch, "0.0.0.0/0", gateway, OUTER);
  ns_add_neighbour(&batch, gateway, macs->lan, OUTER);
  return ns_commit(&batch, error);
}

static int build_site(sim_site *site, const sim_profile *profile, uint64_t seed,
                      const side_macs macs[SIM_SIDES], ns_error *error) {
  const side_row *own = &sides[site->side];
  int index = site->world->next_index++;
  int status = ns_host_open(&site->router, own->router_name, error);
  if (!status)
    status = ns_host_open(&site->host, own->host_name, error);
  if (!status)
    status = build_links(site, &macs[site->side], index, error);
  if (!status)
    status = address_router(site, profile, macs, error);
  if (!status)
    status = address_host(site, profile, &macs[site->side], error);
  if (!status)
    status = ns_sysctl(&site->router, "ipv4/ip_forward", "1", error);
  if (!status && profile->translated)
    status = sim_rules_load(&site->router, &profile->nat, own->router_ip,
                            sim_derive(seed, own->router_name), error);
  if (!status)
    status = ns_link_wait(&site->world->fabric, index, LINK_LIMIT_MS, error);
  if (!status)
    status = ns_link_wait(&site->router, INNER, LINK_LIMIT_MS, error);
  if (status)
    return status;
  site->port = ns_switch_add_port(site->world->sw, index, error);
  return site->port < 0 ? site->port : 0;
}

static void impair_both_ways(sim_world *world, int one, int other) {
  ns_switch_impair(world->sw, one, other, &world->way);
  ns_switch_impair(world->sw, other, one, &world->way);
}

int sim_sites_open(sim_world *world, const sim_trial *trial, sim_site sites[SIM_SIDES],
                   ns_error *error) {
  side_macs macs[SIM_SIDES];
  ns_batch batch;
  ns_begin(&batch, &world->server);
  for (int side = 0; side < SIM_SIDES; side++) {
    sites[side] = (sim_site){.world = world, .side = side, .port = -1};
    macs[side] = macs_of(trial->seed, side);
    ns_add_neighbour(&batch, sides[side].router_ip, macs[side].wan, OUTER);
  }
  int status = ns_commit(&batch, error);
  if (!status)
    status = build_site(&sites[SIM_A], trial->a, trial->seed, macs, error);
  if (!status)
    status = build_site(&sites[SIM_B], trial->b, trial->seed, macs, error);
  if (status)
    return status;
  impair_both_ways(world, world->server_port, sites[SIM_A].port);
  impair_both_ways(world, world->server_port, sites[SIM_B].port);
  impair_both_ways(world, sites[SIM_A].port, sites[SIM_B].port);
  ns_switch_seed(world->sw, sim_derive(trial->seed, "switch"));
  return 0;
}

void sim_sites_close(sim_site sites[SIM_SIDES]) {
  for (int side = 0; side < SIM_SIDES; side++) {
    if (!sites[side].world)
      continue;
    if (sites[side].port >= 0)
      ns_switch_remove_port(sites[side].world->sw, sites[side].port);
    ns_host_close(&sites[side].host);
    ns_host_close(&sites[side].router);
    sites[side].world = NULL;
  }
}

int sim_site_sent(const sim_site *site, uint64_t *out) {
  return ns_tx_packets(&site->host, OUTER, out);
}
