#include "natsim/deed.h"

#include "natsim/firewall.h"
#include "natsim/rules.h"
#include "natsim/seed.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tables of our own beside the router's rules; making one first lets the deletion always succeed.
 */
#define WITHOUT_TABLE(name) "table inet " name "\ndelete table inet " name "\n"

/* Before connections are looked up (raw priority, -300), so that nothing is remembered of what is
 * dropped. */
static const char standstill[] = WITHOUT_TABLE(
    "standstill") "table inet standstill { chain incoming { type filter hook prerouting "
                  "priority -400; drop; }; }\n";
static const char no_standstill[] = WITHOUT_TABLE("standstill");

static const char uplink_down[] = WITHOUT_TABLE(
    "uplink") "table inet uplink {\n"
              "  chain in { type filter hook prerouting priority -400; iifname \"" SIM_WAN
              "\" drop; }\n"
              "  chain through { type filter hook forward priority -400; oifname \"" SIM_WAN
              "\" drop; }\n"
              "  chain out { type filter hook output priority -400; oifname \"" SIM_WAN
              "\" drop; }\n"
              "}\n";
static const char uplink_up[] = WITHOUT_TABLE("uplink");

/* What miniupnpd opened. It looks into these chains itself before it says what is open. */
static const char close_opened[] = "flush chain inet " SIM_UPNP_TABLE " miniupnpd\n"
                                   "flush chain inet " SIM_UPNP_TABLE " prerouting_miniupnpd\n"
                                   "flush chain inet " SIM_UPNP_TABLE " postrouting_miniupnpd\n";

/* A router, or a host, and what is known of it. */
typedef struct place_of_deed {
  sim_world *world;
  int node;
  sim_node *drawn;
  const ns_host *host;
} place_of_deed;

static place_of_deed find(sim_world *world, int node) {
  return (place_of_deed){world, node, &world->built.topology.nodes[node],
                         &world->built.hosts[node]};
}

/* ---- mappings -------------------------------------------------------------------------------- */

/* The name of the set or map that the line declares, "" if it declares none that rules fill. */
static void read_declaration(const char *line, size_t len, char kind[4], char name[32]) {
  char text[256];
  snprintf(text, sizeof text, "%.*s", (int)len, line);
  if (sscanf(text, " %3s %31s {", kind, name) != 2 ||
      (strcmp(kind, "set") && strcmp(kind, "map")) || !strstr(text, "flags dynamic"))
    name[0] = 0;
}

/* The nftables text that empties every set that the rules fill as they run, by the rules' own text.
 * Allocated; NULL when out of memory. */
static char *forget_text(const char *rules) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  if (!out)
    return NULL;
  while (*rules) {
    char kind[4] = "", name[32] = "";
    size_t len = strcspn(rules, "\n");
    read_declaration(rules, len, kind, name);
    if (*name)
      fprintf(out, "flush %s ip " SIM_NFT_TABLE " %s\n", kind, name);
    rules += len + (rules[len] == '\n');
  }
  if (fclose(out)) {
    free(text);
    return NULL;
  }
  return text;
}

static int forget_mappings(const place_of_deed *p, ns_error *error) {
  const sim_built *built = &p->world->built;
  char *rules = sim_rules_text(&p->drawn->gate.nat, p->drawn->links[0].ip4, built->seed, false);
  char *text = rules ? forget_text(rules) : NULL;
  int status = text ? ns_nft(p->host, text, error) : sim_fail(error, -ENOMEM, "out of memory");
  free(text);
  free(rules);
  return status;
}

static int expire(const place_of_deed *p, ns_error *error) {
  int status = p->drawn->gate.translated ? forget_mappings(p, error) : 0;
  return status ? status : ns_conntrack_flush(p->host, error);
}

/* A router that starts again draws other ports than before. */
static int start_again(const place_of_deed *p, ns_error *error) {
  sim_built *built = &p->world->built;
  built->seed = sim_derive(built->seed, "started again");
  int status = sim_router_load(built, p->node, &p->drawn->gate, error);
  if (!status && p->drawn->gate.filters & SIM_UPNP)
    status = ns_nft(p->host, close_opened, error);
  return status ? status : ns_conntrack_flush(p->host, error);
}

/* Nothing may pass meanwhile: it would be remembered by one half of what forgets. */
static int at_standstill(const place_of_deed *p, int (*deed)(const place_of_deed *, ns_error *),
                         ns_error *error) {
  int status = ns_nft(p->host, standstill, error);
  if (status)
    return status;
  status = deed(p, error);
  int resumed = ns_nft(p->host, no_standstill, status ? NULL : error);
  return status ? status : resumed;
}

/* ---- another address ------------------------------------------------------------------------- */

/* The number of an address of a router or host is below this, and that of a moved one not. */
enum { MOVED_FROM = 121, MOVE = 20 };

static void next_address(const char *old, char out[SIM_IP_STRLEN]) {
  size_t len = (size_t)(strrchr(old, '.') - old) + 1;
  int number = atoi(old + len);
  snprintf(out, SIM_IP_STRLEN, "%.*s%d", (int)len, old,
           number < MOVED_FROM + MOVE ? number + MOVE : number - MOVE);
}

/* Those on the network of its first link (a router's is the one outside) learn where the new
 * address is. */
static int tell_others(const place_of_deed *p, const char *ip, ns_error *error) {
  const sim_built *built = &p->world->built;
  const sim_topology *t = &built->topology;
  const uint8_t *mac = built->macs[p->node][0];
  ns_batch batch;
  int status = 0;
  for (int n = 0; !status && n < t->node_count; n++)
    for (int l = 0; !status && n != p->node && l < t->nodes[n].link_count; l++) {
      if (t->nodes[n].links[l].net != p->drawn->links[0].net)
        continue;
      ns_begin(&batch, &built->hosts[n]);
      ns_add_neighbour(&batch, ip, mac, SIM_FIRST_INDEX + l);
      status = ns_commit(&batch, error);
    }
  if (status || p->drawn->links[0].net != SIM_INTERNET)
    return status;
  ns_begin(&batch, &p->world->server);
  ns_add_neighbour(&batch, ip, mac, SIM_FIRST_INDEX);
  return ns_commit(&batch, error);
}

/* The first link's address is another one from now on, in its network. */
static int renumber(const place_of_deed *p, ns_error *error) {
  sim_link *link = &p->drawn->links[0];
  char ip[SIM_IP_STRLEN], old[SIM_IP_STRLEN + 4], new[SIM_IP_STRLEN + 4];
  next_address(link->ip4, ip);
  snprintf(old, sizeof old, "%s/%d", link->ip4, link->len4);
  snprintf(new, sizeof new, "%s/%d", ip, link->len4);
  /* Else the new address, and with it every route, would go when the old one does. */
  int status = ns_sysctl(p->host, "ipv4/conf/all/promote_secondaries", "1", error);
  ns_batch batch;
  ns_begin(&batch, p->host);
  ns_add_address(&batch, SIM_FIRST_INDEX, new);
  ns_delete_address(&batch, SIM_FIRST_INDEX, old);
  if (!status)
    status = ns_commit(&batch, error);
  if (!status)
    status = tell_others(p, ip, error);
  if (!status)
    memcpy(link->ip4, ip, sizeof link->ip4);
  return status;
}

static int move(const place_of_deed *p, ns_error *error) {
  int status = renumber(p, error);
  return status ? status : start_again(p, error);
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* A filter stays when the router starts again. */
static int block_udp(const place_of_deed *p, ns_error *error) {
  p->drawn->gate.filters |= SIM_BLOCK_UDP;
  return sim_firewall_load(p->host, p->drawn->gate.filters, true, error);
}

int sim_deed_check(const sim_event *event, const sim_topology *topology, ns_error *error) {
  const sim_node *router = &topology->nodes[topology->router[event->side]];
  if (event->deed == SIM_ADDRESS && !router->gate.translated)
    return sim_fail(error, -1,
                    "--event %s: %s has no NAT, so that its hosts' addresses are seen outside",
                    event->text, router->name);
  const sim_node *host = &topology->nodes[topology->host[event->side]];
  if (event->deed == SIM_READDRESS && !*host->links[0].ip4)
    return sim_fail(error, -1, "--event %s: %s has no IPv4 address", event->text, host->name);
  return 0;
}

int sim_deed_do(const sim_event *event, sim_world *world, sim_servers *servers, ns_error *error) {
  const sim_topology *t = &world->built.topology;
  place_of_deed p = find(world, t->router[event->side]), site = find(world, t->host[event->side]);
  switch (event->deed) {
  case SIM_REBOOT:
    return at_standstill(&p, start_again, error);
  case SIM_EXPIRE:
    return at_standstill(&p, expire, error);
  case SIM_UPLINK_DOWN:
    return ns_nft(p.host, uplink_down, error);
  case SIM_UPLINK_UP:
    return ns_nft(p.host, uplink_up, error);
  case SIM_ADDRESS:
    return at_standstill(&p, move, error);
  case SIM_READDRESS:
    return renumber(&site, error);
  case SIM_BLOCK:
    return block_udp(&p, error);
  case SIM_STOP:
    sim_servers_kill(servers, event->server);
    return 0;
  case SIM_START:
    return sim_servers_revive(servers, event->server, error);
  }
  return -EINVAL;
}

/* ---- without waiting ------------------------------------------------------------------------- */

static void *do_it(void *arg) {
  sim_doing *d = arg;
  d->status = sim_deed_do(d->event, d->world, d->servers, &d->error);
  return NULL;
}

/* Servers belong to the thread that starts them: they would end with another. */
int sim_deed_begin(sim_doing *doing, const sim_event *event, sim_world *world, sim_servers *servers,
                   ns_error *error) {
  int status = sim_deed_finish(doing, error);
  if (status)
    return status;
  if (event->server)
    return sim_deed_do(event, world, servers, error);
  *doing = (sim_doing){.event = event, .world = world, .servers = servers};
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int err = pthread_create(&doing->thread, NULL, do_it, doing);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  doing->running = !err;
  return err ? sim_deed_do(event, world, servers, error) : 0;
}

int sim_deed_finish(sim_doing *doing, ns_error *error) {
  if (!doing->running)
    return 0;
  pthread_join(doing->thread, NULL);
  doing->running = false;
  if (doing->status && error)
    *error = doing->error;
  return doing->status;
}
