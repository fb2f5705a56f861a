#include "natsim/world.h"

#include "natsim/neighbours.h"
#include "natsim/rules.h"
#include "natsim/seed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Interface indexes of the server site. */
enum { OUTER = 2, SERVER_INDEX = 10, FIRST_SITE_INDEX = 100 };

/* How long a veth may take to come up: it is ready within a millisecond or something is wrong. */
enum { LINK_LIMIT_MS = 60000 };

/* ---- links ----------------------------------------------------------------------------------- */

static bool is_plain(const ns_impairment *way) {
  return way->delay_ms <= 0 && way->jitter_ms <= 0 && way->loss <= 0 && way->duplicate <= 0 &&
         way->reorder <= 0 && way->rate_mbit <= 0;
}

/* Of a bridge: what leaves by the port, that is, what its site receives. */
static int impair_port(const sim_world *world, int index, const char *name, uint64_t seed,
                       ns_error *error) {
  char purpose[48];
  snprintf(purpose, sizeof purpose, "netem %s", name);
  if (is_plain(&world->way)) /* nothing that a kernel would need netem for */
    return 0;
  return ns_netem(&world->fabric, index, &world->way, sim_derive(seed, purpose), error);
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

static int build_server(sim_world *world, bool bridge, ns_error *error) {
  ns_batch batch;
  ns_begin(&batch, &world->fabric);
  if (bridge) {
    ns_add_bridge(&batch, "bridge", SIM_FABRIC_BRIDGE);
    ns_add_up(&batch, SIM_FABRIC_BRIDGE);
  }
  ns_add_veth(&batch, "server", SERVER_INDEX, NULL, &world->server, SIM_WAN, OUTER,
              world->server_mac);
  if (bridge)
    ns_add_master(&batch, SERVER_INDEX, SIM_FABRIC_BRIDGE);
  ns_add_up(&batch, SERVER_INDEX);
  int status = ns_commit(&batch, error);
  if (status)
    return status;
  ns_begin(&batch, &world->server);
  ns_add_up(&batch, OUTER);
  ns_add_address(&batch, OUTER, SIM_SERVER_1 "/24");
  ns_add_address(&batch, OUTER, SIM_SERVER_2 "/24");
  ns_add_address(&batch, OUTER, SIM_SERVER6_1 "/48");
  ns_add_address(&batch, OUTER, SIM_SERVER6_2 "/48");
  ns_add_route(&batch, SIM_LOOKS_PUBLIC, NULL, OUTER);
  status = ns_commit(&batch, error);
  if (!status)
    status = ns_cut_datagrams(&world->server, "lo", error);
  if (!status)
    status = ns_cut_datagrams(&world->server, SIM_WAN, error);
  if (!status)
    status = ns_link_wait(&world->fabric, SERVER_INDEX, LINK_LIMIT_MS, error);
  if (!status)
    status = ns_address_wait(&world->server, SIM_SERVER6_1, LINK_LIMIT_MS, error);
  return status ? status : ns_address_wait(&world->server, SIM_SERVER6_2, LINK_LIMIT_MS, error);
}

int sim_world_open(sim_world *world, const sim_options *options, ns_error *error) {
  *world = (sim_world){.way = one_way(options), .server_port = -1, .next_index = FIRST_SITE_INDEX};
  world->neighbours = options->neighbour_flows || options->neighbour_rate > 0;
  bool netem = options->link && !strcmp(options->link, "netem");
  sim_mac(options->seed, "server", world->server_mac);
  int status = ns_host_open(&world->fabric, "switch", error);
  if (!status)
    status = ns_host_open(&world->server, "server", error);
  if (!status)
    status = build_server(world, netem, error);
  if (netem) /* a kernel without it is found out before anything else is started */
    return status ? status : impair_port(world, SERVER_INDEX, "server", options->seed, error);
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

static int impair_bridge(const sim_world *world, uint64_t seed, ns_error *error) {
  const sim_built *built = &world->built;
  int status = impair_port(world, SERVER_INDEX, "server", seed, error);
  for (int n = 0; !status && n < built->topology.node_count; n++)
    if (built->spokes[n])
      status = impair_port(world, built->spokes[n], built->topology.nodes[n].name, seed, error);
  return status;
}

static void impair_switch(sim_world *world, uint64_t seed) {
  int ports[SIM_NODES_MAX + 1] = {world->server_port}, count = 1;
  for (int n = 0; n < world->built.topology.node_count; n++)
    if (world->built.ports[n] >= 0)
      ports[count++] = world->built.ports[n];
  for (int from = 0; from < count; from++)
    for (int to = 0; to < count; to++)
      if (from != to)
        ns_switch_impair(world->sw, ports[from], ports[to], &world->way);
  ns_switch_seed(world->sw, sim_derive(seed, "switch"));
}

static int make_topology(const sim_world *world, const sim_trial *trial, sim_topology *out,
                         ns_error *error) {
  sim_place two_sites;
  const sim_place *place = trial->place;
  if (!place && sim_place_load(NULL, &two_sites, error))
    return -1;
  int status = sim_topology_make(place ? place : &two_sites, trial->a, trial->b, out, error);
  if (!status && world->neighbours)
    sim_neighbours_add(out);
  return status;
}

int sim_sites_open(sim_world *world, const sim_trial *trial, sim_site sites[SIM_SIDES],
                   ns_error *error) {
  sim_topology topology;
  for (int side = 0; side < SIM_SIDES; side++)
    sites[side] = (sim_site){.side = side, .port = -1};
  if (make_topology(world, trial, &topology, error))
    return -EINVAL;
  sim_backbone backbone = {&world->fabric, &world->server,    world->sw,
                           OUTER,          world->server_mac, &world->next_index};
  int status = sim_build(&world->built, &topology, trial->seed, &backbone, error);
  for (int side = 0; side < SIM_SIDES; side++)
    sites[side] = (sim_site){.world = world,
                             .side = side,
                             .router = world->built.hosts[topology.router[side]],
                             .host = world->built.hosts[topology.host[side]],
                             .port = world->built.ports[topology.router[side]]};
  if (status)
    return status;
  if (!world->sw)
    return impair_bridge(world, trial->seed, error);
  impair_switch(world, trial->seed);
  return 0;
}

void sim_sites_close(sim_site sites[SIM_SIDES]) {
  if (sites[SIM_A].world)
    sim_unbuild(&sites[SIM_A].world->built, sites[SIM_A].world->sw);
  for (int side = 0; side < SIM_SIDES; side++)
    sites[side] = (sim_site){.port = -1};
}

const ns_host *sim_world_find(const sim_world *world, const char *name) {
  if (!strcmp(name, "server"))
    return &world->server;
  int node = sim_topology_find(&world->built.topology, name);
  return node < 0 ? NULL : &world->built.hosts[node];
}

int sim_site_host(const sim_site *site) {
  return site->world->built.topology.host[site->side];
}

int sim_site_router(const sim_site *site) {
  return site->world->built.topology.router[site->side];
}

int sim_site_sent(const sim_site *site, uint64_t *out) {
  const sim_node *node = &site->world->built.topology.nodes[sim_site_host(site)];
  *out = 0;
  for (int l = 0; l < node->link_count; l++) {
    uint64_t sent;
    int status = ns_tx_packets(&site->host, SIM_FIRST_INDEX + l, &sent);
    if (status)
      return status;
    *out += sent;
  }
  return 0;
}
