#include "natsim/build.h"

#include "natsim/firewall.h"
#include "natsim/rules.h"
#include "natsim/seed.h"
#include "natsim/world.h"

#include <stdio.h>
#include <string.h>

/* How long a veth may take to come up: it is ready within a millisecond or something is wrong. */
enum { READY_LIMIT_MS = 60000 };
/* Interfaces of a bridge's namespace: the bridge itself, then its ports. */
enum { BRIDGE_INDEX = 2, FIRST_PORT_INDEX = 10 };
/* Routing tables of the second and later uplinks of a host. */
enum { FIRST_TABLE = 100 };

/* Which member of a network comes first is drawn as in the topology. */
typedef struct member {
  int node, link;
} member;

static const sim_link *link_of(const sim_built *built, member m) {
  return &built->topology.nodes[m.node].links[m.link];
}

static const uint8_t *mac_of(const sim_built *built, member m) {
  return built->macs[m.node][m.link];
}

/* Fills `out` with the network's members and returns how many there are. */
static int members_of(const sim_topology *t, int net, member out[SIM_NODES_MAX]) {
  int count = 0;
  for (int n = 0; n < t->node_count; n++)
    for (int l = 0; l < t->nodes[n].link_count; l++)
      if (t->nodes[n].links[l].net == net && count < SIM_NODES_MAX)
        out[count++] = (member){n, l};
  return count;
}

static void draw_macs(sim_built *built) {
  const sim_topology *t = &built->topology;
  for (int n = 0; n < t->node_count; n++)
    for (int l = 0; l < t->nodes[n].link_count; l++) {
      char purpose[48];
      snprintf(purpose, sizeof purpose, "%s %s", t->nodes[n].name, t->nodes[n].links[l].name);
      sim_mac(built->seed, purpose, built->macs[n][l]);
    }
}

/* ---- links ----------------------------------------------------------------------------------- */

/* A link between a new interface of `hub` and the member. */
static void add_spoke(ns_batch *batch, const sim_built *built, const char *name, int index,
                      member m) {
  ns_add_veth(batch, name, index, NULL, &built->hosts[m.node], link_of(built, m)->name,
              SIM_FIRST_INDEX + m.link, mac_of(built, m));
}

static int link_internet(sim_built *built, const sim_backbone *b, ns_error *error) {
  member members[SIM_NODES_MAX];
  int count = members_of(&built->topology, SIM_INTERNET, members);
  ns_batch batch;
  ns_begin(&batch, b->fabric);
  for (int i = 0; i < count; i++) {
    int index = built->spokes[members[i].node] = (*b->next_index)++;
    char name[NS_IFNAME];
    snprintf(name, sizeof name, "port%d", index);
    add_spoke(&batch, built, name, index, members[i]);
    if (!b->sw)
      ns_add_master(&batch, index, SIM_FABRIC_BRIDGE);
    ns_add_up(&batch, index);
  }
  return ns_commit(&batch, error);
}

static int link_pair(const sim_built *built, const member members[2], ns_error *error) {
  member one = members[0];
  ns_batch batch;
  ns_begin(&batch, &built->hosts[one.node]);
  ns_add_veth(&batch, link_of(built, one)->name, SIM_FIRST_INDEX + one.link, mac_of(built, one),
              &built->hosts[members[1].node], link_of(built, members[1])->name,
              SIM_FIRST_INDEX + members[1].link, mac_of(built, members[1]));
  return ns_commit(&batch, error);
}

static int link_bridge(sim_built *built, int net, const member members[], int count,
                       ns_error *error) {
  int status = ns_host_open(&built->bridges[net], built->topology.nets[net], error);
  if (status)
    return status;
  ns_batch batch;
  ns_begin(&batch, &built->bridges[net]);
  ns_add_bridge(&batch, "bridge", BRIDGE_INDEX);
  ns_add_up(&batch, BRIDGE_INDEX);
  for (int i = 0; i < count; i++) {
    int index = FIRST_PORT_INDEX + i;
    char name[NS_IFNAME];
    snprintf(name, sizeof name, "port%d", index);
    add_spoke(&batch, built, name, index, members[i]);
    ns_add_master(&batch, index, BRIDGE_INDEX);
    ns_add_up(&batch, index);
  }
  return ns_commit(&batch, error);
}

static int link_all(sim_built *built, const sim_backbone *b, ns_error *error) {
  int status = link_internet(built, b, error);
  for (int net = SIM_INTERNET + 1; !status && net < built->topology.net_count; net++) {
    member members[SIM_NODES_MAX];
    int count = members_of(&built->topology, net, members);
    status = count == 2 ? link_pair(built, members, error)
                        : link_bridge(built, net, members, count, error);
  }
  return status;
}

static int cut_datagrams(const sim_built *built, ns_error *error) {
  int status = 0;
  for (int n = 0; !status && n < built->topology.node_count; n++) {
    status = ns_cut_datagrams(&built->hosts[n], "lo", error);
    for (int l = 0; !status && l < built->topology.nodes[n].link_count; l++)
      status = ns_cut_datagrams(&built->hosts[n], built->topology.nodes[n].links[l].name, error);
  }
  return status;
}

/* ---- addresses, routes, neighbours ----------------------------------------------------------- */

static void add_address(ns_batch *batch, int index, const char *ip, int prefix_len) {
  char text[SIM_IP_STRLEN + 4];
  snprintf(text, sizeof text, "%s/%d", ip, prefix_len);
  if (*ip)
    ns_add_address(batch, index, text);
}

static void add_neighbour(ns_batch *batch, const char *ip, const uint8_t *mac, int index) {
  if (*ip)
    ns_add_neighbour(batch, ip, mac, index);
}

/* The first uplink has the default route; what is sent from another one's address leaves there. */
static void add_gateway(ns_batch *batch, const sim_node *node, int link, const char *gateway,
                        const char *own) {
  if (!*gateway)
    return;
  bool first = true;
  for (int l = 0; l < link; l++)
    first &= !*node->links[l].gateway4 && !*node->links[l].gateway6;
  if (first)
    ns_add_route(batch, strchr(gateway, ':') ? "::/0" : "0.0.0.0/0", gateway,
                 SIM_FIRST_INDEX + link);
  else
    ns_add_source_route(batch, own, gateway, SIM_FIRST_INDEX + link, FIRST_TABLE + link);
}

/* All there is on the internet without a gateway. */
static void add_internet(ns_batch *batch, const sim_link *link, int index,
                         const uint8_t *server_mac) {
  static const char *const nets[] = {"203.0.113.0/24", "198.51.100.0/24", SIM_LOOKS_PUBLIC};
  static const char *const servers4[] = {SIM_SERVER_1, SIM_SERVER_2};
  static const char *const servers6[] = {SIM_SERVER6_1, SIM_SERVER6_2};
  for (int i = 0; *link->ip4 && i < 3; i++) /* its own network is there with its address */
    if (strncmp(nets[i], link->ip4, strcspn(nets[i], "/") - 2) != 0)
      ns_add_route(batch, nets[i], NULL, index);
  for (int i = 0; i < 2; i++) {
    if (*link->ip4)
      ns_add_neighbour(batch, servers4[i], server_mac, index);
    if (*link->ip6)
      ns_add_neighbour(batch, servers6[i], server_mac, index);
  }
}

static void add_routes(ns_batch *batch, const sim_topology *t, int net, const char *own4,
                       const char *own6, int index) {
  for (int r = 0; r < t->route_count; r++) {
    const sim_route *route = &t->routes[r];
    bool six = strchr(route->via, ':') != NULL;
    const char *own = six ? own6 : own4;
    if (route->net == net && *own && strcmp(route->via, own) != 0)
      ns_put_route(batch, route->prefix, route->via, index);
  }
}

static int address_node(const sim_built *built, int n, const sim_backbone *b, ns_error *error) {
  const sim_topology *t = &built->topology;
  const sim_node *node = &t->nodes[n];
  ns_batch batch;
  ns_begin(&batch, &built->hosts[n]);
  for (int l = 0; l < node->link_count; l++) {
    const sim_link *link = &node->links[l];
    int index = SIM_FIRST_INDEX + l;
    ns_add_up(&batch, index);
    add_address(&batch, index, link->ip4, link->len4);
    add_address(&batch, index, link->ip6, link->len6);
    if (link->net == SIM_INTERNET)
      add_internet(&batch, link, index, b->server_mac);
    add_gateway(&batch, node, l, link->gateway4, link->ip4);
    add_gateway(&batch, node, l, link->gateway6, link->ip6);
    if (!*link->gateway4 && !*link->gateway6)
      add_routes(&batch, t, link->net, link->ip4, link->ip6, index);
    member members[SIM_NODES_MAX];
    int count = members_of(t, link->net, members);
    for (int i = 0; i < count; i++) {
      if (members[i].node == n)
        continue;
      add_neighbour(&batch, link_of(built, members[i])->ip4, mac_of(built, members[i]), index);
      add_neighbour(&batch, link_of(built, members[i])->ip6, mac_of(built, members[i]), index);
    }
  }
  return ns_commit(&batch, error);
}

/* The server site stays from trial to trial: what it knew of the last one is replaced. */
static int tell_server(const sim_built *built, const sim_backbone *b, ns_error *error) {
  member members[SIM_NODES_MAX];
  int count = members_of(&built->topology, SIM_INTERNET, members);
  ns_batch batch;
  ns_begin(&batch, b->server);
  for (int i = 0; i < count; i++) {
    add_neighbour(&batch, link_of(built, members[i])->ip4, mac_of(built, members[i]),
                  b->server_index);
    add_neighbour(&batch, link_of(built, members[i])->ip6, mac_of(built, members[i]),
                  b->server_index);
  }
  add_routes(&batch, &built->topology, SIM_INTERNET, SIM_SERVER_1, SIM_SERVER6_1, b->server_index);
  return ns_commit(&batch, error);
}

/* ---- routers --------------------------------------------------------------------------------- */

int sim_router_load(sim_built *built, int node, const sim_gate *gate, ns_error *error) {
  const sim_node *router = &built->topology.nodes[node];
  const ns_host *host = &built->hosts[node];
  bool replace = built->loaded[node];
  int status = sim_firewall_load(host, gate->filters, replace, error);
  built->loaded[node] = true;
  if (!status && gate->translated)
    status = sim_rules_load(host, &gate->nat, router->links[0].ip4,
                            sim_derive(built->seed, router->name), replace, error);
  return status;
}

static int set_up_router(sim_built *built, int n, ns_error *error) {
  const sim_node *router = &built->topology.nodes[n];
  int status = 0;
  if (*router->links[0].ip4)
    status = ns_sysctl(&built->hosts[n], "ipv4/ip_forward", "1", error);
  if (!status && *router->links[0].ip6)
    status = ns_sysctl(&built->hosts[n], "ipv6/conf/all/forwarding", "1", error);
  return status ? status : sim_router_load(built, n, &router->gate, error);
}

/* A host on the router's first LAN. */
static const ns_host *inside_of(const sim_built *built, int router) {
  member members[SIM_NODES_MAX];
  int count = members_of(&built->topology, built->topology.nodes[router].links[1].net, members);
  for (int i = 0; i < count; i++)
    if (members[i].node != router)
      return &built->hosts[members[i].node];
  return NULL;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int await_node(const sim_built *built, int n, ns_error *error) {
  const sim_node *node = &built->topology.nodes[n];
  int status = 0;
  for (int l = 0; !status && l < node->link_count; l++) {
    status = ns_link_wait(&built->hosts[n], SIM_FIRST_INDEX + l, READY_LIMIT_MS, error);
    if (!status && *node->links[l].ip6)
      status = ns_address_wait(&built->hosts[n], node->links[l].ip6, READY_LIMIT_MS, error);
  }
  return status;
}

/* A bridge forwards from a port when that port is up at the bridge's end. */
static int await_bridge(const sim_built *built, int net, ns_error *error) {
  int members = sim_net_members(&built->topology, net);
  int status = ns_link_wait(&built->bridges[net], BRIDGE_INDEX, READY_LIMIT_MS, error);
  for (int i = 0; !status && i < members; i++)
    status = ns_link_wait(&built->bridges[net], FIRST_PORT_INDEX + i, READY_LIMIT_MS, error);
  return status;
}

static int await_bridges(const sim_built *built, ns_error *error) {
  int status = 0;
  for (int net = 1; !status && net < built->topology.net_count; net++)
    if (built->bridges[net].ns_fd > 0)
      status = await_bridge(built, net, error);
  return status;
}

/* The interfaces of the internet become ports of the switch. */
static int plug_in(sim_built *built, const sim_backbone *b, ns_error *error) {
  int status = 0;
  for (int n = 0; !status && n < built->topology.node_count; n++) {
    if (!built->spokes[n])
      continue;
    status = ns_link_wait(b->fabric, built->spokes[n], READY_LIMIT_MS, error);
    if (!status && b->sw &&
        (built->ports[n] = ns_switch_add_port(b->sw, built->spokes[n], error)) < 0)
      status = built->ports[n];
  }
  return status;
}

int sim_build(sim_built *built, const sim_topology *topology, uint64_t seed,
              const sim_backbone *backbone, ns_error *error) {
  *built = (sim_built){.topology = *topology, .seed = seed};
  const sim_topology *t = &built->topology;
  int status = 0;
  for (int n = 0; n < SIM_NODES_MAX; n++)
    built->ports[n] = -1;
  draw_macs(built);
  for (int n = 0; !status && n < t->node_count; n++)
    status = ns_host_open(&built->hosts[n], t->nodes[n].name, error);
  if (!status)
    status = link_all(built, backbone, error);
  if (!status)
    status = cut_datagrams(built, error);
  for (int n = 0; !status && n < t->node_count; n++)
    status = address_node(built, n, backbone, error);
  if (!status)
    status = tell_server(built, backbone, error);
  for (int n = 0; !status && n < t->node_count; n++)
    if (t->nodes[n].router)
      status = set_up_router(built, n, error);
  if (!status)
    status = plug_in(built, backbone, error);
  if (!status)
    status = await_bridges(built, error);
  for (int n = 0; !status && n < t->node_count; n++)
    status = await_node(built, n, error);
  for (int n = 0; !status && n < t->node_count; n++)
    if (t->nodes[n].gate.filters & SIM_UPNP)
      status = sim_upnp_start(&built->upnp[n], &built->hosts[n], &t->nodes[n], inside_of(built, n),
                              error);
  return status;
}

void sim_unbuild(sim_built *built, ns_switch *sw) {
  for (int n = 0; n < built->topology.node_count; n++) {
    sim_upnp_stop(&built->upnp[n]);
    if (built->ports[n] >= 0)
      ns_switch_remove_port(sw, built->ports[n]);
    ns_host_close(&built->hosts[n]);
  }
  for (int net = 0; net < built->topology.net_count; net++)
    ns_host_close(&built->bridges[net]);
  *built = (sim_built){.seed = 0};
}
