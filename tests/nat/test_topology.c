/* Places as text, and the topologies they are drawn out into. */
#include "natsim/topology.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void expect_refused(const char *lines, const char *reason) {
  sim_place place;
  ns_error error = {.text = ""};
  assert_int_equal(sim_place_parse("test", lines, &place, &error), -1);
  if (!strstr(error.text, reason) || strchr(error.text, '\n'))
    fail_msg("'%s' gave '%s', not '%s'", lines, error.text, reason);
}

static void draw(const char *place_text, const char *a_text, const char *b_text,
                 sim_topology *out) {
  sim_place place;
  sim_profile a, b;
  ns_error error = {.text = ""};
  if (sim_place_load(place_text, &place, &error) || sim_profile_parse(a_text, NULL, &a, &error) ||
      sim_profile_parse(b_text, NULL, &b, &error) || sim_topology_make(&place, &a, &b, out, &error))
    fail_msg("%s %s %s: %s", place_text, a_text, b_text, error.text);
}

static void expect_impossible(const char *place_text, const char *a_text, const char *b_text,
                              const char *reason) {
  sim_place place;
  sim_profile a, b;
  sim_topology topology;
  ns_error error = {.text = ""};
  assert_int_equal(sim_place_load(place_text, &place, NULL), 0);
  assert_int_equal(sim_profile_parse(a_text, NULL, &a, NULL), 0);
  assert_int_equal(sim_profile_parse(b_text, NULL, &b, NULL), 0);
  assert_int_equal(sim_topology_make(&place, &a, &b, &topology, &error), -1);
  if (!strstr(error.text, reason))
    fail_msg("%s %s %s: '%s', not '%s'", place_text, a_text, b_text, error.text, reason);
}

static void nonsense_is_refused_with_its_reason(void **state) {
  (void)state;
  expect_refused("", "host a is in no site");
  expect_refused("site a on internet", "host b is in no site");
  expect_refused("site a on internet; site a,b on internet", "host a is in two sites");
  expect_refused("site a on internet; site b on internet; site b on internet", "no third site");
  expect_refused("site c on internet", "hosts of a site are");
  expect_refused("site a at internet", "it is: site HOSTS on NET");
  expect_refused("site a", "it is: site HOSTS on NET");
  expect_refused("site a on mars", "there is no network 'mars'");
  expect_refused("site a on internet blue", "unknown word 'blue'");
  expect_refused("router a", "lines begin with carrier or site");
  expect_refused("carrier", "it is: carrier NAME");
  expect_refused("carrier internet", "short plain name of its own");
  expect_refused("carrier x; carrier x", "short plain name of its own");
  expect_refused("carrier a/b", "short plain name of its own");
  expect_refused("carrier x; carrier y; carrier z", "room for two carriers");
  expect_refused("carrier x map=blue", "map takes");
  expect_refused("carrier x; site a,b on internet", "carrier x has no customer");
  expect_refused("site a on internet isolated; site b on internet", "isolated is for two hosts");
  expect_refused("site a,b on internet second-uplink", "alone in its site");
  expect_refused("site a on internet second-uplink=map=x; site b on internet", "map");
  expect_refused("carrier x; site a on x second-uplink; site b on x", "not to a carrier");
  expect_refused("site a,b on internet dual-stack ipv6-only", "exclude each other");
  expect_refused("site a,b on internet ipv6-only upnp", "are of IPv4");
  expect_refused("carrier x; site a,b on x ipv6-only", "nothing for a carrier's NAT");
  expect_refused("carrier x; site a,b on x upnp", "a router refuses that");
}

static void lines_and_comments_are_read(void **state) {
  (void)state;
  sim_place place;
  assert_int_equal(sim_place_parse("mine",
                                   "# two homes\n\ncarrier isp map=apd,alloc=random # a bad one\n"
                                   "  site a on isp hairpin\tupnp-less",
                                   &place, NULL),
                   -1);
  assert_int_equal(sim_place_parse("mine",
                                   "# two homes; and more\n\ncarrier isp map=apd # a bad one\n"
                                   "  site a\ton isp hairpin\nsite b on internet udp-blocked\n",
                                   &place, NULL),
                   0);
  assert_int_equal(place.carrier_count, 1);
  assert_int_equal(place.carriers[0].nat.map, SIM_APD);
  assert_int_equal(place.sites[0].carrier, 0);
  assert_true(place.sites[0].hairpin);
  assert_int_equal(place.sites[1].carrier, -1);
  assert_int_equal(place.sites[1].filters, SIM_BLOCK_UDP);
  assert_false(sim_place_shared(&place));
}

static void every_listed_place_can_be_drawn(void **state) {
  (void)state;
  const char *name, *lines, *summary;
  size_t count = 0;
  for (; (name = sim_place_name(count, &lines, &summary)); count++) {
    sim_topology t;
    bool six = !strcmp(name, "ipv6-only") || !strcmp(name, "same-lan6");
    draw(name, six ? "firewall6" : "symmetric", six ? "firewall6" : "symmetric", &t);
    assert_true(*summary && t.node_count >= 2 && t.net_count >= 2);
    assert_true(t.node_count <= SIM_NODES_MAX && t.net_count <= SIM_NETS_MAX &&
                t.route_count <= SIM_ROUTES_MAX);
  }
  assert_int_equal(count, 15);
  sim_place place;
  assert_int_equal(sim_place_load("nowhere", &place, NULL), -1);
  assert_int_equal(sim_place_load(NULL, &place, NULL), 0);
  assert_string_equal(place.name, "two-sites");
}

/* No address is given twice on a network, and every way out has its gateway on the same one. */
static void check_addresses(const sim_topology *t) {
  for (int n = 0; n < t->node_count; n++)
    for (int l = 0; l < t->nodes[n].link_count; l++) {
      const sim_link *link = &t->nodes[n].links[l];
      bool gateway4 = !*link->gateway4, gateway6 = !*link->gateway6;
      assert_true(*link->ip4 || *link->ip6);
      for (int m = 0; m < t->node_count; m++)
        for (int k = 0; k < t->nodes[m].link_count; k++) {
          const sim_link *other = &t->nodes[m].links[k];
          if (other->net != link->net || other == link)
            continue;
          assert_true(!*link->ip4 || strcmp(link->ip4, other->ip4) != 0);
          assert_true(!*link->ip6 || strcmp(link->ip6, other->ip6) != 0);
          gateway4 |= !strcmp(link->gateway4, other->ip4);
          gateway6 |= !strcmp(link->gateway6, other->ip6);
        }
      assert_true(gateway4 && gateway6);
    }
}

static void addresses_make_sense_everywhere(void **state) {
  (void)state;
  static const char *const profiles[] = {"open", "symmetric", "cgnat",
                                         "upnp", "firewall6", "udp-blocked"};
  const char *name, *lines, *summary;
  int drawn = 0;
  for (size_t p = 0; (name = sim_place_name(p, &lines, &summary)); p++)
    for (size_t i = 0; i < 36; i++) {
      sim_place place;
      sim_profile a, b;
      sim_topology t;
      assert_int_equal(sim_place_load(name, &place, NULL), 0);
      assert_int_equal(sim_profile_parse(profiles[i / 6], NULL, &a, NULL), 0);
      assert_int_equal(sim_profile_parse(profiles[i % 6], NULL, &b, NULL), 0);
      if (sim_topology_make(&place, &a, &b, &t, NULL))
        continue;
      check_addresses(&t);
      drawn++;
    }
  assert_in_range(drawn, 150, 36 * 13);
}

static void sides_share_what_the_place_says(void **state) {
  (void)state;
  sim_topology t;
  draw("two-sites", "open", "symmetric", &t);
  assert_true(t.host[SIM_A] != t.host[SIM_B] && t.router[SIM_A] != t.router[SIM_B]);
  draw("same-lan", "symmetric", "symmetric", &t);
  assert_true(t.host[SIM_A] != t.host[SIM_B] && t.router[SIM_A] == t.router[SIM_B]);
  assert_int_equal(sim_net_members(&t, t.nodes[t.host[SIM_A]].links[0].net), 3);
  draw("same-host", "symmetric", "symmetric", &t);
  assert_true(t.host[SIM_A] == t.host[SIM_B]);
  draw("one-nat-hairpin", "symmetric", "symmetric", &t);
  assert_true(t.nodes[t.router[SIM_A]].gate.nat.hairpin);
  assert_true(t.nodes[t.router[SIM_A]].gate.filters & SIM_ISOLATED);
  assert_int_not_equal(t.nodes[t.host[SIM_A]].links[0].net, t.nodes[t.host[SIM_B]].links[0].net);
}

static void families_are_as_asked(void **state) {
  (void)state;
  sim_topology t;
  draw("two-sites", "symmetric", "symmetric", &t);
  assert_string_equal(sim_node_ip(&t.nodes[t.host[SIM_A]], 6), "");
  draw("two-sites", "firewall6", "symmetric", &t);
  assert_string_equal(sim_node_ip(&t.nodes[t.host[SIM_A]], 4), "");
  assert_string_equal(sim_node_ip(&t.nodes[t.host[SIM_B]], 4), "192.168.2.2");
  assert_string_equal(sim_node_ip(&t.nodes[t.host[SIM_B]], 6), "2001:db8:2::2");
  assert_true(t.nodes[t.router[SIM_B]].gate.filters & SIM_FIREWALL6);
  draw("two-sites", "firewall6", "open", &t);
  assert_false(t.nodes[t.router[SIM_B]].gate.filters & SIM_FIREWALL6);
  draw("two-sites", "upnp", "symmetric", &t);
  assert_string_equal(t.nodes[t.router[SIM_A]].links[0].ip4, "45.0.0.101");
  assert_int_equal(sim_topology_find(&t, "router-b"), t.router[SIM_B]);
  draw("better-uplink", "symmetric", "symmetric", &t);
  assert_int_equal(t.nodes[t.router[SIM_A]].gate.nat.map, SIM_APD);
  assert_int_equal(t.nodes[sim_topology_find(&t, "router-a2")].gate.nat.map, SIM_EI);
  assert_int_equal(sim_topology_find(&t, "router-c"), -1);
}

static void what_excludes_each_other_is_told(void **state) {
  (void)state;
  expect_impossible("same-lan", "open", "symmetric", "--a and --b must be the same");
  expect_impossible("ipv6-only", "symmetric", "open", "take firewall6 or open");
  expect_impossible("one-carrier", "open", "cgnat", "the profile brings another");
  expect_impossible("one-carrier", "firewall6", "open", "translates IPv4");
  expect_impossible("one-carrier", "upnp", "open", "a router refuses that");
  expect_impossible("one-nat-hairpin", "open", "open", "hairpin needs a NAT");
  expect_impossible("upnp", "open", "symmetric", "upnp needs a NAT");
  expect_impossible("two-uplinks", "cgnat", "symmetric", "not to a carrier");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nonsense_is_refused_with_its_reason),
      cmocka_unit_test(lines_and_comments_are_read),
      cmocka_unit_test(every_listed_place_can_be_drawn),
      cmocka_unit_test(addresses_make_sense_everywhere),
      cmocka_unit_test(sides_share_what_the_place_says),
      cmocka_unit_test(families_are_as_asked),
      cmocka_unit_test(what_excludes_each_other_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
