/* Opening a port by NAT-PMP, with a router on loopback that answers as the test says. UPnP needs
 * multicast and a web server: it is tested against a real one in the laboratory. */
#include "harness.h"

#include "driver_uv/router.h"

/* ---- a router -------------------------------------------------------------------------------- */

enum { UDP_OPCODE = 1, TCP_OPCODE = 2, PORT = 40123 };

typedef struct router {
  world *w;
  wg_udp *udp;
  warp_addr addr;
  bool silent, garbage;
  unsigned result; /* of mappings; RFC 6886 section 3.5 */
  uint16_t shift;  /* the port granted is so much higher */
  unsigned opened, removed;
  bool was_removed;
  uint8_t last_opcode;
  uint16_t last_inside;
} router;

static void put16(uint8_t *out, unsigned value) {
  out[0] = (uint8_t)(value >> 8);
  out[1] = (uint8_t)value;
}

static void on_request(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  router *r = arg;
  uint8_t answer[16] = {0, (uint8_t)(data[1] | 0x80)};
  if (r->silent)
    return;
  if (r->garbage) {
    memset(answer, 0xff, sizeof answer);
    r->w->ops->udp_send(r->udp, from, answer, 3);
    r->w->ops->udp_send(r->udp, from, answer, sizeof answer);
    return;
  }
  if (len == 2) {
    static const uint8_t external[] = {198, 51, 100, 7};
    memcpy(answer + 8, external, sizeof external);
    r->w->ops->udp_send(r->udp, from, answer, 12);
    return;
  }
  assert_int_equal(len, 12);
  uint32_t lifetime = (uint32_t)(data[8] << 24 | data[9] << 16 | data[10] << 8 | data[11]);
  r->last_opcode = data[1];
  r->last_inside = (uint16_t)(data[4] << 8 | data[5]);
  r->opened += lifetime > 0;
  r->removed += lifetime == 0;
  r->was_removed = r->removed > 0;
  put16(answer + 2, r->result);
  memcpy(answer + 8, data + 4, 8);
  put16(answer + 10, (unsigned)(data[6] << 8 | data[7]) + r->shift);
  r->w->ops->udp_send(r->udp, from, answer, sizeof answer);
}

static void router_up(router *r, world *w) {
  *r = (router){.w = w};
  warp_addr local = wg_addr_loopback(WARP_IP4, 0);
  assert_int_equal(w->ops->udp_open(w->env, &local, 0, on_request, r, &r->udp), WARP_OK);
  w->ops->udp_local(r->udp, &r->addr);
  wg_uv_env_set_gateway(w->env, &r->addr);
}

/* ---- answers --------------------------------------------------------------------------------- */

typedef struct client {
  world *w;
  wg_portmap *portmap;
  bool told, close_itself;
  int status;
  wg_portmap_grant grant;
} client;

static void on_grant(void *arg, int status, const wg_portmap_grant *grant) {
  client *c = arg;
  c->told = true;
  c->status = status;
  assert_int_equal(grant != NULL, status == WARP_OK);
  if (grant != NULL)
    c->grant = *grant;
  if (c->close_itself)
    c->w->ops->portmap_close(c->portmap);
}

static void open_port(client *c, world *w, warp_transport transport) {
  c->w = w;
  warp_addr local = wg_addr_loopback(WARP_IP4, PORT);
  assert_int_equal(w->ops->portmap_open(w->env, &local, transport, on_grant, c, &c->portmap),
                   WARP_OK);
  assert_false(c->told);
}

static void test_a_port_is_opened_and_removed(void **state) {
  world *w = *state;
  router r;
  client c = {0};
  router_up(&r, w);
  r.shift = 5;
  open_port(&c, w, WARP_TCP);
  run_until(w, &c.told);
  assert_int_equal(c.status, WARP_OK);
  warp_addr expected;
  assert_int_equal(warp_addr_parse("198.51.100.7", &expected), WARP_OK);
  expected.port = PORT + 5;
  assert_true(wg_addr_equal(&c.grant.external, &expected));
  assert_int_equal(c.grant.lifetime_s, 600);
  assert_string_equal(c.grant.protocol, "NAT-PMP");
  assert_int_equal(r.last_opcode, TCP_OPCODE);
  assert_int_equal(r.last_inside, PORT);
  w->ops->portmap_close(c.portmap);
  run_until(w, &r.was_removed);
  w->ops->udp_close(r.udp);
}

static void test_closed_in_its_callback(void **state) {
  world *w = *state;
  router r;
  client c = {.close_itself = true};
  router_up(&r, w);
  open_port(&c, w, WARP_UDP);
  run_until(w, &c.told);
  run_until(w, &r.was_removed);
  assert_int_equal(r.last_opcode, UDP_OPCODE);
  w->ops->udp_close(r.udp);
}

static void test_a_refusal(void **state) {
  world *w = *state;
  router r;
  client c = {0};
  router_up(&r, w);
  r.result = 2; /* not authorized */
  open_port(&c, w, WARP_UDP);
  run_until(w, &c.told);
  assert_int_equal(c.status, WARP_REFUSED);
  w->ops->portmap_close(c.portmap);
  w->ops->udp_close(r.udp);
}

/* The loop has nothing left to wait for: a few turns without waiting end it. */
static bool is_at_its_end(world *w) {
  for (int turn = 0; turn < 4; turn++) {
    if (uv_run(&w->uv, UV_RUN_NOWAIT) == 0)
      return true;
  }
  return false;
}

/* Nobody is there, or somebody who talks nonsense: that is said in time, and nothing is asked for.
 * A timer of the same loop is the measure, which is as late as the port's own on a busy machine. */
static void no_router(world *w, bool garbage) {
  router r;
  client c = {0};
  router_up(&r, w);
  r.silent = !garbage;
  r.garbage = garbage;
  open_port(&c, w, WARP_UDP);
  wg_timer limit = {0};
  bool late = false;
  wg_timer_start(w->env, &limit, UINT64_C(1000) * WG_PORTMAP_MS, harness_expire, &late);
  run_until(w, &c.told);
  assert_true(c.status == WARP_NOT_FOUND || (garbage && c.status == WARP_IO));
  assert_false(late);
  wg_timer_stop(w->env, &limit);
  assert_int_equal(r.opened, 0);
  w->ops->portmap_close(c.portmap);
  w->ops->udp_close(r.udp);
}

static void test_no_router(void **state) {
  no_router(*state, false);
}

static void test_nonsense(void **state) {
  no_router(*state, true);
}

/* What was not asked for yet has not to be removed: closing costs no time. */
static void test_closing_while_it_searches(void **state) {
  world *w = *state;
  router r;
  client c = {0};
  router_up(&r, w);
  r.silent = true;
  open_port(&c, w, WARP_TCP);
  run_for(w, 50);
  w->ops->portmap_close(c.portmap);
  w->ops->udp_close(r.udp);
  assert_true(is_at_its_end(w));
  assert_false(c.told);
}

/* A router that died in the meantime holds the end up for a while, not for ever. */
static void test_closing_with_a_dead_router(void **state) {
  world *w = *state;
  router r;
  client c = {0};
  router_up(&r, w);
  open_port(&c, w, WARP_TCP);
  run_until(w, &c.told);
  assert_int_equal(c.status, WARP_OK);
  r.silent = true;
  w->ops->portmap_close(c.portmap);
  run_for(w, WG_PORTMAP_CLOSE_MS);
  w->ops->udp_close(r.udp);
  assert_true(is_at_its_end(w));
}

/* Anybody in the LAN can answer a search, and a description may point anywhere. */
static void test_only_the_gateway_is_believed(void **state) {
  (void)state;
  warp_addr gateway;
  assert_int_equal(warp_addr_parse("192.168.1.1:5351", &gateway), WARP_OK);
  static const char *const good[] = {"http://192.168.1.1:5000/rootDesc.xml", "http://192.168.1.1/",
                                     "http://192.168.1.1"};
  static const char *const bad[] = {
      "",           "http://",          "http:///x",
      "http://:80", "192.168.1.1",      "http://192.168.1.10/x",
      "http://a/x", "http://192.168.1", "https://192.168.1.1/x",
      "file:///x",  "http://[::1]/x",   "http://192.168.1.1@10.0.0.1/x"};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
    assert_true(wg_igd_is_of(good[i], &gateway));
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_false(wg_igd_is_of(bad[i], &gateway));
  assert_false(wg_igd_is_of(NULL, &gateway));
  char longest[2 * WG_ROUTER_URL_LEN];
  memset(longest, '1', sizeof longest - 1);
  longest[sizeof longest - 1] = '\0';
  assert_false(wg_igd_is_of(longest, &gateway));
  memcpy(longest, "http://192.168.1.1/", 19);
  assert_false(wg_igd_is_of(longest, &gateway));
  memcpy(longest, "http://11111111111", 18);
  longest[WG_ROUTER_URL_LEN - 1] = '\0';
  assert_false(wg_igd_is_of(longest, &gateway));
}

static void test_ipv6_is_not_for_it(void **state) {
  world *w = *state;
  warp_addr local = wg_addr_loopback(WARP_IP6, PORT);
  wg_portmap *portmap;
  assert_int_equal(w->ops->portmap_open(w->env, &local, WARP_TCP, on_grant, NULL, &portmap),
                   WARP_UNSUPPORTED);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
  const struct CMUnitTest tests[] = {
      TEST(test_a_port_is_opened_and_removed),
      TEST(test_closed_in_its_callback),
      TEST(test_a_refusal),
      TEST(test_no_router),
      TEST(test_nonsense),
      TEST(test_closing_while_it_searches),
      TEST(test_closing_with_a_dead_router),
      TEST(test_ipv6_is_not_for_it),
      TEST(test_only_the_gateway_is_believed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
