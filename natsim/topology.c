#include "natsim/topology.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The address plan. Documentation ranges (RFC 5737, RFC 3849) outside, private ones (RFC 1918)
 * inside a NAT, the carriers' shared space (RFC 6598) between the two NATs of a customer. Networks
 * inside are numbered: 1 and 2 are those of a and b, 3 and 4 their second uplinks. */
enum { LANS = 4 };
/* The last number of a router's address outside; carriers stand higher up. */
enum { ROUTER_NUMBER = 100, CARRIER_NUMBER = 111 };

/* A LAN whose addresses are seen outside: gateway's number, prefix length. */
static const struct {
  const char *base; /* the first three numbers */
  int first, len;
} public_lans[LANS + 1] = {{"", 0, 0},
                           {"192.0.2", 0, 25},
                           {"192.0.2", 128, 25},
                           {"203.0.113", 192, 28},
                           {"203.0.113", 208, 28}};

/* What is under construction. */
typedef struct drawing {
  sim_topology *t;
  const sim_place *place;
  const sim_profile *profiles[SIM_SIDES];
  bool ip6; /* somebody has no IPv4: all others get IPv6 too */
} drawing;

static void put(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void put(char *out, size_t size, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(out, size, format, args);
  va_end(args);
}

static int add_net(sim_topology *t, const char *name) {
  put(t->nets[t->net_count], sizeof t->nets[0], "%s", name);
  return t->net_count++;
}

static int add_node(sim_topology *t, const char *name, bool router) {
  sim_node *node = &t->nodes[t->node_count];
  put(node->name, sizeof node->name, "%s", name);
  node->router = router;
  return t->node_count++;
}

static sim_link *add_link(sim_topology *t, int node, int net, const char *name) {
  sim_node *n = &t->nodes[node];
  sim_link *link = &n->links[n->link_count++];
  link->net = net;
  put(link->name, sizeof link->name, "%s", name);
  return link;
}

static void add_route(sim_topology *t, int net, const char *via, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void add_route(sim_topology *t, int net, const char *via, const char *format, ...) {
  sim_route *route = &t->routes[t->route_count++];
  route->net = net;
  va_list args;
  va_start(args, format);
  vsnprintf(route->prefix, sizeof route->prefix, format, args);
  va_end(args);
  put(route->via, sizeof route->via, "%s", via);
}

#define IP4(link, ...) put((link)->ip4, sizeof(link)->ip4, __VA_ARGS__)
#define IP6(link, ...) put((link)->ip6, sizeof(link)->ip6, __VA_ARGS__)

/* ---- the way out ----------------------------------------------------------------------------- */

/* A router's link on the internet. miniupnpd refuses documentation addresses as those of its
 * outside, so its router has one that looks public. */
static sim_link *link_internet(sim_topology *t, int node, int number, bool ip4, bool ip6,
                               bool looks_public) {
  sim_link *wan = add_link(t, node, SIM_INTERNET, "wan0");
  if (ip4) {
    IP4(wan, "%s.%d", looks_public ? "45.0.0" : "203.0.113", number);
    wan->len4 = 24;
  }
  if (ip6) {
    IP6(wan, "2001:db8::%d", number);
    wan->len6 = 48;
  }
  return wan;
}

/* A router's link to its carrier. The carriers' own networks may well be numbered alike. */
static sim_link *link_carrier(sim_topology *t, int node, int number, int net, bool ip6,
                              const char *carrier_ip6) {
  sim_link *wan = add_link(t, node, net, "wan0");
  IP4(wan, "100.64.0.%d", number);
  wan->len4 = 24;
  put(wan->gateway4, sizeof wan->gateway4, "100.64.0.1");
  if (ip6) {
    IP6(wan, "2001:db8:%d::%d", 64 + net, number);
    wan->len6 = 64;
    put(wan->gateway6, sizeof wan->gateway6, "%s", carrier_ip6);
  }
  return wan;
}

/* A carrier: a router whose inside is the network `net` of its customers. IPv6 is routed. */
static int draw_carrier(drawing *d, const char *name, const sim_nat *nat, int index, bool ip6,
                        int *net) {
  sim_topology *t = d->t;
  *net = add_net(t, name);
  int node = add_node(t, name, true);
  const sim_link *wan = link_internet(t, node, CARRIER_NUMBER + index, true, ip6, false);
  sim_link *inside = add_link(t, node, *net, "lan0");
  IP4(inside, "100.64.0.1");
  inside->len4 = 24;
  if (ip6) {
    IP6(inside, "2001:db8:%d::1", 64 + *net);
    inside->len6 = 64;
    add_route(t, SIM_INTERNET, wan->ip6, "2001:db8:%d::/64", 64 + *net);
  }
  t->nodes[node].gate = (sim_gate){.translated = true, .nat = *nat};
  return node;
}

/* ---- inside ---------------------------------------------------------------------------------- */

/* What a LAN is made for. */
typedef struct lan_plan {
  int number; /* of the address plan */
  int router, net;
  bool ip4, ip6;
  int carrier; /* the node before the router, or -1 */
} lan_plan;

/* The address of the LAN's n-th machine; the first is the router. */
static void lan_ip4(const drawing *d, const lan_plan *lan, int n, sim_link *link) {
  const sim_gate *gate = &d->t->nodes[lan->router].gate;
  if (gate->translated)
    IP4(link, "192.168.%d.%d", lan->number, n);
  else if (lan->carrier >= 0)
    IP4(link, "100.64.%d.%d", lan->number, n);
  else
    IP4(link, "%s.%d", public_lans[lan->number].base, public_lans[lan->number].first + n);
  link->len4 = gate->translated || lan->carrier >= 0 ? 24 : public_lans[lan->number].len;
}

static void lan_addresses(const drawing *d, const lan_plan *lan, int n, sim_link *link) {
  if (lan->ip4)
    lan_ip4(d, lan, n, link);
  if (lan->ip6) {
    IP6(link, "2001:db8:%d::%d", lan->number, n);
    link->len6 = 64;
  }
}

/* Who is outside learns the way to what the router does not translate. */
static void lan_routes(const drawing *d, const lan_plan *lan) {
  sim_topology *t = d->t;
  const sim_node *router = &t->nodes[lan->router];
  const sim_link *wan = &router->links[0];
  if (lan->ip4 && !router->gate.translated && lan->carrier >= 0)
    add_route(t, wan->net, wan->ip4, "100.64.%d.0/24", lan->number);
  else if (lan->ip4 && !router->gate.translated)
    add_route(t, wan->net, wan->ip4, "%s.%d/%d", public_lans[lan->number].base,
              public_lans[lan->number].first, public_lans[lan->number].len);
  if (lan->ip6)
    add_route(t, wan->net, wan->ip6, "2001:db8:%d::/64", lan->number);
  if (lan->ip6 && lan->carrier >= 0)
    add_route(t, SIM_INTERNET, t->nodes[lan->carrier].links[0].ip6, "2001:db8:%d::/64",
              lan->number);
}

/* The router's link to a new LAN. */
static lan_plan draw_lan(const drawing *d, const char *name, int number, int router, int carrier,
                         bool ip4, bool ip6) {
  sim_topology *t = d->t;
  lan_plan lan = {number, router, add_net(t, name), ip4, ip6, carrier};
  char link_name[NS_IFNAME];
  put(link_name, sizeof link_name, "lan%d", t->nodes[router].link_count - 1);
  lan_addresses(d, &lan, 1, add_link(t, router, lan.net, link_name));
  lan_routes(d, &lan);
  return lan;
}

static void attach_host(const drawing *d, int host, const lan_plan *lan, int n) {
  sim_topology *t = d->t;
  char name[NS_IFNAME];
  put(name, sizeof name, "eth%d", t->nodes[host].link_count);
  sim_link *link = add_link(t, host, lan->net, name);
  lan_addresses(d, lan, n, link);
  sim_link gateway = {.net = lan->net};
  lan_addresses(d, lan, 1, &gateway);
  memcpy(link->gateway4, gateway.ip4, sizeof link->gateway4);
  memcpy(link->gateway6, gateway.ip6, sizeof link->gateway6);
}

/* ---- a site ---------------------------------------------------------------------------------- */

typedef struct site_plan {
  const sim_place_site *site;
  const sim_profile *profile;
  int side; /* whose profile it is */
  bool ip4, ip6;
  int carrier, carrier_net; /* -1: none */
} site_plan;

static sim_gate gate_of(const site_plan *s) {
  sim_gate gate = {.translated = s->profile->translated && s->ip4,
                   .nat = s->profile->nat,
                   .filters = s->profile->filters | s->site->filters};
  gate.nat.hairpin |= s->site->hairpin;
  if (s->ip6 && s->profile->translated)
    gate.filters |= SIM_FIREWALL6;
  if (s->site->isolated)
    gate.filters |= SIM_ISOLATED;
  return gate;
}

/* The router of a side's first or second uplink. */
static int draw_router(const drawing *d, const site_plan *s, bool second) {
  sim_topology *t = d->t;
  char name[24];
  put(name, sizeof name, "router-%c%s", "ab"[s->side], second ? "2" : "");
  int node = add_node(t, name, true), number = ROUTER_NUMBER + s->side + 1 + (second ? 2 : 0);
  t->nodes[node].gate = gate_of(s);
  if (second && s->site->own_second_nat)
    t->nodes[node].gate.nat = s->site->second_nat;
  bool looks_public = t->nodes[node].gate.filters & SIM_UPNP;
  if (s->carrier < 0)
    link_internet(t, node, number, s->ip4, s->ip6, looks_public);
  else
    link_carrier(t, node, number, s->carrier_net, s->ip6, t->nodes[s->carrier].links[1].ip6);
  return node;
}

static void draw_hosts(const drawing *d, const site_plan *s, int router) {
  sim_topology *t = d->t;
  static const char *const lan_names[] = {"lan-a", "lan-b"}, *const host_names[] = {"a", "b"};
  lan_plan lan = draw_lan(d, lan_names[s->side], s->side + 1, router, s->carrier, s->ip4, s->ip6);
  t->host[s->side] = add_node(t, host_names[s->side], false);
  t->router[s->side] = router;
  attach_host(d, t->host[s->side], &lan, 2);
  if (s->site->hosts <= SIM_ONLY_B)
    return;
  t->router[SIM_B] = router;
  if (s->site->hosts == SIM_ONE_HOST) {
    t->host[SIM_B] = t->host[SIM_A];
    return;
  }
  if (s->site->isolated)
    lan = draw_lan(d, lan_names[SIM_B], SIM_B + 1, router, s->carrier, s->ip4, s->ip6);
  t->host[SIM_B] = add_node(t, host_names[SIM_B], false);
  attach_host(d, t->host[SIM_B], &lan, s->site->isolated ? 2 : 3);
}

static void draw_site(drawing *d, const sim_place_site *site, const int carriers[],
                      const int carrier_nets[]) {
  int side = site->hosts == SIM_ONLY_B ? SIM_B : SIM_A;
  const sim_profile *profile = d->profiles[side];
  site_plan s = {.site = site,
                 .profile = profile,
                 .side = side,
                 .ip4 = !profile->ip6_only && !site->no_ip4,
                 .ip6 = d->ip6 || site->ip6,
                 .carrier = site->carrier < 0 ? -1 : carriers[site->carrier],
                 .carrier_net = site->carrier < 0 ? -1 : carrier_nets[site->carrier]};
  if (profile->carrier) {
    char name[24];
    put(name, sizeof name, "carrier-%c", "ab"[side]);
    s.carrier = draw_carrier(d, name, &profile->carrier_nat, SIM_CARRIERS_MAX + side, s.ip6,
                             &s.carrier_net);
  }
  int router = draw_router(d, &s, false);
  draw_hosts(d, &s, router);
  if (site->second_uplink) {
    int second = draw_router(d, &s, true);
    char name[24];
    put(name, sizeof name, "lan-%c2", "ab"[side]);
    lan_plan lan = draw_lan(d, name, side + 3, second, s.carrier, s.ip4, s.ip6);
    attach_host(d, d->t->host[side], &lan, 2);
  }
}

/* ---- what excludes each other ---------------------------------------------------------------- */

static int check_site(const sim_place *place, const sim_place_site *site,
                      const sim_profile *profile, ns_error *error) {
  const char *why = NULL;
  unsigned upnp = (profile->filters | site->filters) & SIM_UPNP;
  if (site->no_ip4 && profile->translated)
    why = "it has no IPv4, which the profile's NAT translates: take firewall6 or open";
  else if (site->carrier >= 0 && profile->carrier)
    why = "it has a carrier, and the profile brings another";
  else if (site->carrier >= 0 && profile->ip6_only)
    why = "its carrier translates IPv4, which the profile has not";
  else if (site->second_uplink && profile->carrier)
    why = "its second uplink leads to the internet, not to a carrier";
  else if (site->hairpin && !profile->translated)
    why = "hairpin needs a NAT, and the profile has none";
  else if (upnp && !profile->translated)
    why = "upnp needs a NAT, and the profile has none";
  else if (upnp && (site->carrier >= 0 || profile->carrier))
    why = "upnp behind a carrier announces an address that is not on the internet: a router "
          "refuses that";
  if (why)
    return sim_fail(error, -1, "place %s and profile %s exclude each other: %s", place->name,
                    profile->name, why);
  return 0;
}

static int check(const drawing *d, ns_error *error) {
  const sim_place *place = d->place;
  if (sim_place_shared(place) && strcmp(d->profiles[SIM_A]->name, d->profiles[SIM_B]->name) != 0)
    return sim_fail(error, -1, "place %s has one router for both: --a and --b must be the same",
                    place->name);
  for (int i = 0; i < place->site_count; i++) {
    int side = place->sites[i].hosts == SIM_ONLY_B ? SIM_B : SIM_A;
    if (check_site(place, &place->sites[i], d->profiles[side], error))
      return -1;
  }
  return 0;
}

int sim_topology_make(const sim_place *place, const sim_profile *a, const sim_profile *b,
                      sim_topology *out, ns_error *error) {
  *out = (sim_topology){.net_count = 0};
  drawing d = {.t = out, .place = place, .profiles = {a, b}};
  if (check(&d, error))
    return -1;
  add_net(out, "internet");
  for (int i = 0; i < place->site_count; i++)
    d.ip6 |= place->sites[i].no_ip4;
  d.ip6 |= a->ip6_only || b->ip6_only;
  bool carriers_ip6 = d.ip6;
  for (int i = 0; i < place->site_count; i++)
    carriers_ip6 |= place->sites[i].ip6;
  int carriers[SIM_CARRIERS_MAX], nets[SIM_CARRIERS_MAX];
  for (int i = 0; i < place->carrier_count; i++)
    carriers[i] = draw_carrier(&d, place->carriers[i].name, &place->carriers[i].nat, i,
                               carriers_ip6, &nets[i]);
  for (int i = 0; i < place->site_count; i++)
    draw_site(&d, &place->sites[i], carriers, nets);
  return 0;
}

/* ---- looking things up ----------------------------------------------------------------------- */

int sim_net_members(const sim_topology *topology, int net) {
  int members = 0;
  for (int n = 0; n < topology->node_count; n++)
    for (int l = 0; l < topology->nodes[n].link_count; l++)
      members += topology->nodes[n].links[l].net == net;
  return members;
}

const char *sim_node_ip(const sim_node *node, int family) {
  for (int l = 0; l < node->link_count; l++) {
    const char *ip = family == 4 ? node->links[l].ip4 : node->links[l].ip6;
    if (*ip)
      return ip;
  }
  return "";
}

int sim_topology_find(const sim_topology *topology, const char *name) {
  for (int n = 0; n < topology->node_count; n++)
    if (!strcmp(topology->nodes[n].name, name))
      return n;
  return -1;
}
