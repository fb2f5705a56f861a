/* What is drawn for neighbours, and where they live. */
#include "natsim/neighbours.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { FLOWS = 400 };

static void flows_come_in_order_from_everywhere_to_everywhere(void **state) {
  (void)state;
  const sim_options options = {.neighbour_flows = FLOWS};
  unsigned neighbours[SIM_NEIGHBOURS] = {0}, sinks[SIM_SINKS] = {0}, servers[2] = {0}, tcp = 0;
  double last_ms = -1;
  for (unsigned i = 0; i < FLOWS; i++) {
    sim_flow flow = sim_flow_draw(&options, 11, SIM_A, i);
    assert_true(flow.at_ms > last_ms && flow.at_ms < SIM_NEIGHBOURS_MS);
    assert_in_range(flow.port, 32768, 60999); /* Linux's ip_local_port_range */
    last_ms = flow.at_ms;
    neighbours[flow.neighbour]++;
    sinks[flow.server_port]++;
    servers[flow.server]++;
    tcp += flow.tcp;
  }
  for (int i = 0; i < SIM_NEIGHBOURS; i++)
    assert_in_range(neighbours[i], FLOWS / 8, FLOWS / 2);
  for (int i = 0; i < SIM_SINKS; i++)
    assert_in_range(sinks[i], FLOWS / 10, FLOWS / 2);
  assert_in_range(servers[0], FLOWS / 3, 2 * FLOWS / 3);
  assert_in_range(tcp, FLOWS / 3, 2 * FLOWS / 3);
}

static bool same(const sim_flow *one, const sim_flow *other) {
  return one->at_ms == other->at_ms && one->port == other->port && one->tcp == other->tcp &&
         one->neighbour == other->neighbour && one->server == other->server &&
         one->server_port == other->server_port;
}

static void a_seed_decides_them_and_sides_differ(void **state) {
  (void)state;
  const sim_options options = {.neighbour_flows = FLOWS};
  unsigned alike = 0;
  for (unsigned i = 0; i < FLOWS; i++) {
    sim_flow one = sim_flow_draw(&options, 11, SIM_A, i);
    sim_flow again = sim_flow_draw(&options, 11, SIM_A, i);
    sim_flow other_side = sim_flow_draw(&options, 11, SIM_B, i);
    sim_flow other_seed = sim_flow_draw(&options, 12, SIM_A, i);
    assert_true(same(&one, &again));
    alike += same(&one, &other_side) + same(&one, &other_seed);
  }
  assert_int_equal(alike, 0);
}

static void a_rate_is_kept(void **state) {
  (void)state;
  const sim_options options = {.neighbour_rate = 50};
  for (unsigned i = 0; i < FLOWS; i++) {
    double at_ms = sim_flow_draw(&options, 3, SIM_A, i).at_ms;
    assert_true(at_ms >= i * 20 && at_ms < (i + 1) * 20);
  }
}

static void topology(const char *place_name, const char *profile, sim_topology *out) {
  ns_error error;
  sim_place place;
  sim_profile p;
  if (sim_place_load(place_name, &place, &error) || sim_profile_parse(profile, NULL, &p, &error) ||
      sim_topology_make(&place, &p, &p, out, &error))
    fail_msg("%s", error.text);
  sim_neighbours_add(out);
}

static unsigned neighbours_of(const sim_topology *t) {
  unsigned count = 0;
  for (int n = 0; n < t->node_count; n++)
    count += sim_is_neighbour(&t->nodes[n]);
  return count;
}

static void they_live_behind_every_router_of_a_side(void **state) {
  (void)state;
  sim_topology t;
  topology(NULL, "full-cone", &t);
  assert_int_equal(neighbours_of(&t), 2);
  const sim_node *node = &t.nodes[sim_topology_find(&t, "neighbours-b")];
  char ip[SIM_IP_STRLEN];
  assert_string_equal(node->links[0].ip4, "192.168.2.9");
  assert_string_equal(node->links[0].gateway4, "192.168.2.1");
  sim_neighbour_ip(node, SIM_NEIGHBOURS - 1, ip);
  assert_string_equal(ip, "192.168.2.12");
  assert_int_equal(node->links[0].net, t.nodes[t.host[SIM_B]].links[0].net);
  const char *const shared[] = {"same-lan", "same-host"};
  for (size_t i = 0; i < 2; i++) {
    topology(shared[i], "full-cone", &t);
    assert_int_equal(neighbours_of(&t), 1);
  }
}

static void every_place_has_room_for_them(void **state) {
  (void)state;
  const char *lines, *summary, *name;
  for (size_t i = 0; (name = sim_place_name(i, &lines, &summary)); i++) {
    const char *const profiles[] = {"full-cone", "open", "cgnat", "firewall6"};
    for (size_t p = 0; p < 4; p++) {
      ns_error error;
      sim_place place;
      sim_profile profile;
      sim_topology t;
      assert_int_equal(sim_place_load(name, &place, &error), 0);
      assert_int_equal(sim_profile_parse(profiles[p], NULL, &profile, &error), 0);
      if (sim_topology_make(&place, &profile, &profile, &t, &error))
        continue; /* they exclude each other */
      unsigned routers = t.router[SIM_A] == t.router[SIM_B] ? 1 : 2, with_ip4 = 0;
      for (int side = 0; side < SIM_SIDES; side++)
        with_ip4 += *t.nodes[t.router[side]].links[1].ip4 != 0;
      sim_neighbours_add(&t);
      assert_int_equal(neighbours_of(&t), with_ip4 == 2 ? routers : with_ip4);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(flows_come_in_order_from_everywhere_to_everywhere),
      cmocka_unit_test(a_seed_decides_them_and_sides_differ),
      cmocka_unit_test(a_rate_is_kept),
      cmocka_unit_test(they_live_behind_every_router_of_a_side),
      cmocka_unit_test(every_place_has_room_for_them),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
