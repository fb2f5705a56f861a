/* The NAT model: what maps, what passes, what is forgotten. Datagrams of one inside host to
 * observers outside, whose replies tell what came through. */
#include "testing.h"

enum { OBSERVERS = 3 };

typedef struct inbox {
  wg_env *env;
  wg_udp *udp;
  size_t count;
  warp_addr from;
} inbox;

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  inbox *box = arg;
  (void)data;
  (void)len;
  box->count++;
  box->from = *from;
}

static void open_box(inbox *box, sim_host *host, const char *local) {
  warp_addr addr = address(local);
  *box = (inbox){.env = sim_host_env(host)};
  assert_int_equal(box->env->ops->udp_open(box->env, &addr, 0, on_datagram, box, &box->udp),
                   WARP_OK);
}

/* One inside host behind the NAT, and observers at 203.0.113.1:1, 203.0.113.1:2, 203.0.113.2:1. */
typedef struct fixture {
  sim_world *world;
  sim_network *site;
  sim_host *inside;
  inbox box, observers[OBSERVERS];
} fixture;

static const char *const observer_addresses[OBSERVERS] = {"203.0.113.1:1", "203.0.113.1:2",
                                                          "203.0.113.2:1"};

static fixture *build(const sim_nat *nat, const char *local) {
  static fixture f;
  f = (fixture){.world = sim_world_new(3)};
  f.site = sim_network_new(f.world, "site", NULL);
  sim_network_set_nat(f.site, "192.0.2.1", nat);
  f.inside = sim_host_new(f.site, "inside", "10.0.0.2/24");
  sim_network *outside = sim_network_new(f.world, "outside", NULL);
  sim_host *host = sim_host_new(outside, "observer", "203.0.113.1/24");
  sim_host_add_address(host, "203.0.113.2/24");
  open_box(&f.box, f.inside, local);
  for (size_t i = 0; i < OBSERVERS; i++) {
    open_box(&f.observers[i], host, observer_addresses[i]);
  }
  return &f;
}

static fixture *build_profile(const char *profile, const char *local) {
  sim_nat nat;
  assert_int_equal(sim_nat_profile(profile, &nat), WARP_OK);
  return build(&nat, local);
}

static void finish(fixture *f) {
  f->box.env->ops->udp_close(f->box.udp);
  for (size_t i = 0; i < OBSERVERS; i++) {
    f->observers[i].env->ops->udp_close(f->observers[i].udp);
  }
  assert_int_equal(sim_world_free(f->world), 0);
}

static void send_from(inbox *box, const warp_addr *to) {
  assert_int_equal(box->env->ops->udp_send(box->udp, to, "x", 1), WARP_OK);
}

/* Sends to an observer; returns the external port it saw, 0 for none. */
static uint16_t seen_by(fixture *f, inbox *box, size_t observer) {
  warp_addr to = address(observer_addresses[observer]);
  size_t before = f->observers[observer].count;
  send_from(box, &to);
  assert_int_equal(sim_run_for(f->world, 100 * SIM_MS), WARP_OK);
  if (f->observers[observer].count == before) {
    return 0;
  }
  warp_addr external = wg_addr_with_port(&f->observers[observer].from, 0);
  assert_address(&external, "192.0.2.1");
  return f->observers[observer].from.port;
}

/* Whether an observer's datagram to an external port comes in. */
static bool passes(fixture *f, size_t observer, uint16_t port) {
  warp_addr to = address("192.0.2.1");
  size_t before = f->box.count;
  to.port = port;
  send_from(&f->observers[observer], &to);
  assert_int_equal(sim_run_for(f->world, 100 * SIM_MS), WARP_OK);
  return f->box.count > before;
}

static void test_mapping(void **state) {
  (void)state;
  static const struct {
    const char *profile;
    bool same_address, other_address; /* keeps the port to another port, to another address */
  } rows[] = {{"ei-ei", true, true},   {"ei-apd", true, true},   {"ad-ei", true, false},
              {"ad-apd", true, false}, {"apd-ei", false, false}, {"apd-apd", false, false}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    fixture *f = build_profile(rows[i].profile, "0.0.0.0:4000");
    uint16_t first = seen_by(f, &f->box, 0);
    assert_int_not_equal(first, 0);
    assert_int_equal(seen_by(f, &f->box, 1) == first, rows[i].same_address);
    assert_int_equal(seen_by(f, &f->box, 2) == first, rows[i].other_address);
    assert_int_equal(seen_by(f, &f->box, 0), first);
    finish(f);
  }
}

static void test_filtering(void **state) {
  (void)state;
  static const struct {
    const char *profile;
    bool same_address, other_address;
  } rows[] = {{"ei-ei", true, true},  {"ei-ad", true, false},  {"ei-apd", false, false},
              {"apd-ei", true, true}, {"apd-ad", true, false}, {"apd-apd", false, false}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    fixture *f = build_profile(rows[i].profile, "0.0.0.0:4000");
    assert_false(passes(f, 0, 4000));
    uint16_t port = seen_by(f, &f->box, 0);
    assert_true(passes(f, 0, port));
    assert_int_equal(passes(f, 1, port), rows[i].same_address);
    assert_int_equal(passes(f, 2, port), rows[i].other_address);
    finish(f);
  }
}

/* An answer to what came in leaves by the port where it came in, as with Linux; for others the
 * mapping stays what it is. */
static void test_answer_keeps_port(void **state) {
  (void)state;
  fixture *f = build_profile("apd-ei", "0.0.0.0:4000");
  uint16_t port = seen_by(f, &f->box, 0);
  assert_true(passes(f, 2, port));
  assert_int_equal(seen_by(f, &f->box, 2), port);
  assert_int_not_equal(seen_by(f, &f->box, 1), port);
  finish(f);
}

/* When the inside already talks to that remote through another port, the remote shows up a second
 * time, under a port of its own, and answers go to the right place. */
/* A strict one gives the answer the mapping of its destination. */
static void test_strict(void **state) {
  (void)state;
  static const struct {
    const char *profile;
    size_t from; /* whose packet comes in by the mapping towards observer 0 */
    bool keeps_port;
  } rows[] = {{"ei-ei+strict", 2, true},
              {"ad-ei+strict", 1, true},
              {"ad-ei+strict", 2, false},
              {"apd-ei+strict", 1, false},
              {"apd-ad+strict", 1, false}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    fixture *f = build_profile(rows[i].profile, "0.0.0.0:4000");
    uint16_t port = seen_by(f, &f->box, 0);
    assert_true(passes(f, rows[i].from, port));
    warp_addr from = address(observer_addresses[rows[i].from]);
    assert_int_equal(f->box.from.port, from.port);
    uint16_t answer = seen_by(f, &f->box, rows[i].from);
    assert_int_equal(answer == port, rows[i].keeps_port);
    /* From then on that is its port, and the old one lets it in all the same. */
    assert_int_equal(seen_by(f, &f->box, rows[i].from), answer);
    assert_true(passes(f, rows[i].from, port));
    assert_int_equal(f->box.from.port, from.port);
    finish(f);
  }
}

static void test_shown_apart(void **state) {
  (void)state;
  fixture *f = build_profile("apd-ei", "0.0.0.0:4000");
  uint16_t port = seen_by(f, &f->box, 0), other = seen_by(f, &f->box, 2);
  assert_int_not_equal(port, other);
  assert_true(passes(f, 2, other));
  assert_address(&f->box.from, observer_addresses[2]);
  assert_true(passes(f, 2, port));
  warp_addr shown = f->box.from, true_address = address(observer_addresses[2]);
  assert_true(wg_addr_same_ip(&shown, &true_address));
  assert_int_not_equal(shown.port, true_address.port);
  send_from(&f->box, &shown);
  assert_int_equal(sim_run_for(f->world, SIM_SECOND), WARP_OK);
  assert_int_equal(f->observers[2].from.port, port);
  finish(f);
}

static void test_preserving(void **state) {
  (void)state;
  fixture *f = build_profile("full-cone", "0.0.0.0:4000");
  inbox other;
  sim_host *neighbour = sim_host_new(f->site, "neighbour", "10.0.0.3/24");
  open_box(&other, neighbour, "0.0.0.0:4000");
  assert_int_equal(seen_by(f, &f->box, 0), 4000);
  uint16_t port = seen_by(f, &other, 0);
  assert_int_not_equal(port, 4000);
  assert_int_equal(seen_by(f, &other, 2), port);
  assert_int_equal(sim_network_mappings(f->site), 3);
  other.env->ops->udp_close(other.udp);
  finish(f);
}

static void test_sequential(void **state) {
  (void)state;
  sim_nat nat;
  assert_int_equal(sim_nat_profile("symmetric", &nat), WARP_OK);
  nat.allocation = WARP_ALLOC_SEQUENTIAL;
  nat.step = 3;
  fixture *f = build(&nat, "0.0.0.0:4000");
  uint16_t first = seen_by(f, &f->box, 0);
  assert_int_equal((seen_by(f, &f->box, 1) - first + 64512) % 64512, 3);
  assert_int_equal((seen_by(f, &f->box, 2) - first + 64512) % 64512, 6);
  finish(f);
}

static void test_lifetime(void **state) {
  (void)state;
  fixture *f = build_profile("ei-apd", "0.0.0.0:4000");
  uint16_t port = seen_by(f, &f->box, 0);
  assert_int_equal(sim_run_for(f->world, 119 * SIM_SECOND), WARP_OK);
  assert_true(passes(f, 0, port)); /* and refreshes */
  assert_int_equal(sim_run_for(f->world, 119 * SIM_SECOND), WARP_OK);
  assert_int_equal(sim_network_mappings(f->site), 1);
  assert_int_equal(seen_by(f, &f->box, 0), port);
  assert_int_equal(sim_run_for(f->world, 121 * SIM_SECOND), WARP_OK);
  assert_int_equal(sim_network_mappings(f->site), 0);
  assert_false(passes(f, 0, port));
  assert_int_not_equal(seen_by(f, &f->box, 0), port);
  finish(f);
}

static void test_reboot(void **state) {
  (void)state;
  fixture *f = build_profile("ei-apd", "0.0.0.0:4000");
  uint16_t port = seen_by(f, &f->box, 0);
  sim_network_reboot_nat(f->site);
  assert_false(passes(f, 0, port));
  assert_int_not_equal(seen_by(f, &f->box, 0), port);
  finish(f);
}

static void test_no_hairpin(void **state) {
  (void)state;
  fixture *f = build_profile("full-cone", "0.0.0.0:4000");
  inbox other;
  sim_host *neighbour = sim_host_new(f->site, "neighbour", "10.0.0.3/24");
  warp_addr external = address("192.0.2.1:4000");
  open_box(&other, neighbour, "0.0.0.0:5000");
  assert_int_equal(seen_by(f, &f->box, 0), 4000);
  send_from(&other, &external);
  assert_int_equal(sim_run_for(f->world, SIM_SECOND), WARP_OK);
  assert_int_equal(f->box.count, 0);
  warp_addr private_address = address("10.0.0.2:4000");
  send_from(&other, &private_address);
  send_from(&f->observers[0], &private_address); /* no way in from outside */
  assert_int_equal(sim_run_for(f->world, SIM_SECOND), WARP_OK);
  assert_int_equal(f->box.count, 1);
  assert_address(&f->box.from, "10.0.0.3:5000");
  other.env->ops->udp_close(other.udp);
  finish(f);
}

static void test_profiles(void **state) {
  (void)state;
  sim_nat nat;
  assert_int_equal(sim_nat_profile("restricted", &nat), WARP_OK);
  assert_int_equal(nat.mapping, WARP_NAT_ENDPOINT_INDEPENDENT);
  assert_int_equal(nat.filtering, WARP_NAT_ADDRESS_DEPENDENT);
  assert_int_equal(nat.allocation, WARP_ALLOC_PRESERVING);
  assert_int_equal(sim_nat_profile("ad-apd", &nat), WARP_OK);
  assert_int_equal(nat.mapping, WARP_NAT_ADDRESS_DEPENDENT);
  assert_int_equal(nat.filtering, WARP_NAT_ADDRESS_AND_PORT_DEPENDENT);
  assert_int_equal(nat.allocation, WARP_ALLOC_RANDOM);
  assert_int_equal(sim_nat_profile("open", &nat), WARP_OK);
  assert_int_equal(nat.mapping, WARP_NAT_UNKNOWN);
  assert_false(nat.resets);
  assert_int_equal(sim_nat_profile("ad-ei+sequential+reset", &nat), WARP_OK);
  assert_int_equal(nat.filtering, WARP_NAT_ENDPOINT_INDEPENDENT);
  assert_int_equal(nat.allocation, WARP_ALLOC_SEQUENTIAL);
  assert_true(nat.resets);
  assert_int_equal(sim_nat_profile("ad-ei+", &nat), WARP_NOT_FOUND);
  assert_int_equal(sim_nat_profile("ad-ei+resets", &nat), WARP_NOT_FOUND);
  assert_int_equal(sim_nat_profile("ei", &nat), WARP_NOT_FOUND);
  assert_int_equal(sim_nat_profile("ei-", &nat), WARP_NOT_FOUND);
  assert_int_equal(sim_nat_profile("", &nat), WARP_NOT_FOUND);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_mapping),     cmocka_unit_test(test_filtering),
      cmocka_unit_test(test_strict),      cmocka_unit_test(test_answer_keeps_port),
      cmocka_unit_test(test_shown_apart), cmocka_unit_test(test_preserving),
      cmocka_unit_test(test_sequential),  cmocka_unit_test(test_lifetime),
      cmocka_unit_test(test_reboot),      cmocka_unit_test(test_no_hairpin),
      cmocka_unit_test(test_profiles),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
