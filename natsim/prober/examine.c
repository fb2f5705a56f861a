#include "natsim/prober/examine.h"

#include "natsim/prober/lifetime.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* All routers between the host of side a and the internet. */
static size_t routers_of(const sim_world *world, const ns_host *out[SIM_ROUTERS_MAX]) {
  const sim_topology *t = &world->built.topology;
  size_t count = 0;
  for (int n = 0; n < t->node_count; n++)
    if (t->nodes[n].router && n != t->router[SIM_B] && count < SIM_ROUTERS_MAX)
      out[count++] = &world->built.hosts[n];
  return count;
}

/* The second inside host gets nothing out. */
static int spoil_clash(const ns_host *router, const sim_bench *bench, ns_error *error) {
  char ip[INET_ADDRSTRLEN], rules[256];
  inet_ntop(AF_INET, &bench->host[1].in4.sin_addr, ip, sizeof ip);
  snprintf(rules, sizeof rules,
           "table ip spoiled { chain forward { type filter hook forward priority -300; "
           "policy accept; ip saddr %s drop; }; }",
           ip);
  return ns_nft(router, rules, error);
}

static int measure_all(const sim_world *world, const sim_profile *profile, sim_bench *bench,
                       sim_findings *out, ns_error *error) {
  const ns_host *routers[SIM_ROUTERS_MAX];
  size_t count = routers_of(world, routers);
  sim_measure(bench, SOCK_DGRAM, out);
  sim_measure(bench, SOCK_STREAM, out);
  return profile->translated ? sim_measure_lifetimes(bench, routers, count, out, error) : 0;
}

int sim_examine(sim_world *world, const sim_profile *profile, uint64_t seed, const char *spoil,
                sim_findings *out, ns_error *error) {
  static sim_bench bench; /* large */
  sim_profile open;
  sim_site sites[SIM_SIDES];
  out->count = 0;
  if (sim_profile_parse("open", NULL, &open, error))
    return -1;
  sim_trial trial = {.a = profile, .b = &open, .trial = 1, .seed = seed};
  int status = sim_sites_open(world, &trial, sites, error);
  if (!status) {
    int family = profile->ip6_only ? AF_INET6 : AF_INET;
    status = sim_bench_open(&bench, &sites[SIM_A].host, &world->server, family, error);
    if (!status && spoil && !strcmp(spoil, "clash"))
      status = spoil_clash(&sites[SIM_A].router, &bench, error);
    if (!status)
      status = measure_all(world, profile, &bench, out, error);
    sim_bench_close(&bench);
  }
  sim_sites_close(sites);
  return status;
}
