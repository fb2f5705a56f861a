#include "internal.h"

enum {
  RTT_MS = 40,
  BROKER_PORT = 1883,
  STUN_PORT = 3478,
  OTHER_STUN_PORT = 3479,
  TURN_PORT = 3480,
  NTP_PORT = 123, /* and the next two */
};

typedef struct site_plan {
  const char *name, *inside, *open, *external;
} site_plan;

static sim_host *new_site(sim_world *world, const site_plan *plan, const char *profile,
                          const sim_link *link, sim_network **network) {
  sim_nat nat;
  profile = profile != NULL ? profile : "open";
  if (sim_nat_profile(profile, &nat) != WARP_OK) {
    sim_fail("no NAT profile %s", profile);
  }
  bool translated = nat.mapping != WARP_NAT_UNKNOWN;
  *network = sim_network_new(world, plan->name, link);
  sim_network_set_nat(*network, plan->external, &nat);
  return sim_host_new(*network, plan->name, translated ? plan->inside : plan->open);
}

void sim_topology_new(const sim_topology_options *options, sim_topology *out) {
  static const site_plan plan_a = {"a", "10.0.1.2/24", "192.0.2.2/25", "192.0.2.2"};
  static const site_plan plan_b = {"b", "10.0.2.2/24", "192.0.2.130/25", "192.0.2.130"};
  uint32_t rtt_ms = options->rtt_ms != 0 ? options->rtt_ms : RTT_MS;
  /* A round trip between two networks passes a link four times. */
  sim_link link = {.latency_us = rtt_ms * 1000 / 4,
                   .jitter_us = options->jitter_ms * 1000,
                   .loss = options->loss};
  sim_world *world = sim_world_new(options->seed);
  *out = (sim_topology){
      .world = world,
      .brokers = {"203.0.113.10:1883"},
      .ntp_servers = {"203.0.113.10", "203.0.113.10:124", "203.0.113.10:125"},
      .stun_servers = {"203.0.113.10:3478", "198.51.100.10:3478"},
      .turn_servers = {"user:password@203.0.113.10:3480"},
  };
  out->site_server = sim_network_new(world, "server", &link);
  out->server = sim_host_new(out->site_server, "server", "203.0.113.10/24");
  sim_host_add_address(out->server, "198.51.100.10/24");
  out->broker = sim_broker_start(out->server, BROKER_PORT);
  out->stun = sim_stun_start(out->server, STUN_PORT, OTHER_STUN_PORT);
  out->turn = sim_turn_start(out->server, TURN_PORT, "user", "password");
  for (unsigned i = 0; i < SIM_NTP_SERVERS; i++) {
    out->ntp[i] = sim_ntp_start(out->server, (uint16_t)(NTP_PORT + i));
  }
  out->a = new_site(world, &plan_a, options->profile_a, &link, &out->site_a);
  out->b = new_site(world, &plan_b, options->profile_b, &link, &out->site_b);
}
