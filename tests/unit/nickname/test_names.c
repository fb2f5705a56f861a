/*
 * The client against the real server, both in the simulated internet, and against servers that
 * answer what the test tells them to.
 */
#include "identity/identity.h"
#include "nickname/names.h"
#include "server.h"
#include "sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"

enum { PORT = 5300, TIMEOUT_MS = 3000 };
static const uint64_t SECOND_US = 1000000;

/* ---- the world ------------------------------------------------------------------------------- */

typedef struct result {
  bool done;
  unsigned calls;
  int status;
  uint64_t at_us;
  size_t len;
  uint8_t record[WARP_RECORD_MAX];
} result;

typedef struct real_server {
  sim_host *host;
  name_store *store;
  name_service *service;
  name_server *server;
} real_server;

/* A server that does what the test wants. */
typedef struct liar {
  wg_env *env;
  wg_udp *udp;
  wg_name_reply reply;
  bool wrong_nonce, wrong_source;
  unsigned asked;
} liar;

static struct {
  sim_world *world;
  sim_network *home, *site_one, *site_two;
  sim_host *a, *b;
  real_server one, two;
  wg_identity *alice, *bob;
  wg_names *names, *others;
} w;

static const char *const ONE[] = {"203.0.113.10:5300", NULL};
static const char *const BOTH[] = {"names.example:5300", "198.51.100.20:5300", NULL};
static const char *const LIAR[] = {"203.0.113.10:5301", NULL};
static const char *const LIAR_AND_ONE[] = {"203.0.113.10:5301", "203.0.113.10:5300", NULL};

static void start_server(real_server *server, sim_host *host) {
  name_service_config config = {
      .quota_v4 = 2, .quota_v6 = 2, .lifetime_max_s = 7200, .secret = {9}};
  char why[NAME_STORE_WHY];
  size_t failed;
  warp_addr listen = wg_addr_any(WARP_IP4, PORT);
  server->host = host;
  assert_int_equal(name_store_open(":memory:", &server->store, why), WARP_OK);
  assert_int_equal(name_service_new(&config, server->store, &server->service), WARP_OK);
  name_server_options options = {.env = sim_host_env(host),
                                 .service = server->service,
                                 .store = server->store,
                                 .listen = &listen,
                                 .listen_count = 1};
  assert_int_equal(name_server_open(&options, &server->server, &failed), WARP_OK);
}

static void stop_server(real_server *server) {
  name_server_close(server->server);
  name_service_free(server->service);
  name_store_close(server->store);
}

static wg_names *open_names(sim_host *host, const wg_identity *identity,
                            const char *const *servers) {
  wg_names *names = NULL;
  wg_names_options options = {.env = sim_host_env(host),
                              .identity = identity,
                              .servers = servers,
                              .timeout_ms = TIMEOUT_MS};
  assert_int_equal(wg_names_open(&options, &names), WARP_OK);
  return names;
}

static int set_up(void **state) {
  (void)state;
  memset(&w, 0, sizeof w);
  w.world = sim_world_new(7);
  w.home = sim_network_new(w.world, "home", NULL);
  w.site_one = sim_network_new(w.world, "one", NULL);
  w.site_two = sim_network_new(w.world, "two", NULL);
  w.a = sim_host_new(w.home, "a", "192.0.2.2/24");
  w.b = sim_host_new(w.home, "b", "192.0.2.3/24");
  start_server(&w.one, sim_host_new(w.site_one, "one", "203.0.113.10/24"));
  start_server(&w.two, sim_host_new(w.site_two, "two", "198.51.100.20/24"));
  sim_add_name(w.world, "names.example", "203.0.113.10");
  sim_add_name(w.world, "dead.example", NULL);
  assert_int_equal(wg_identity_generate(&w.alice), WARP_OK);
  assert_int_equal(wg_identity_generate(&w.bob), WARP_OK);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  wg_names_close(w.names);
  wg_names_close(w.others);
  stop_server(&w.one);
  stop_server(&w.two);
  size_t leaked = sim_world_free(w.world);
  wg_identity_free(w.alice);
  wg_identity_free(w.bob);
  return leaked == 0 ? 0 : -1;
}

static void on_result(void *arg, int status, const uint8_t *record, size_t len) {
  result *out = arg;
  out->done = true;
  out->calls++;
  out->status = status;
  out->at_us = sim_now_us(w.world);
  out->len = len;
  if (record != NULL) {
    memcpy(out->record, record, len);
  }
}

/* Runs until the result is there; returns its status. */
static int wait_for(result *out) {
  assert_false(out->done); /* never from inside the starting call */
  assert_int_equal(sim_run_until_set(w.world, &out->done, 60 * SECOND_US), WARP_OK);
  assert_int_equal(out->calls, 1);
  return out->status;
}

static size_t make_record(const wg_identity *identity, uint64_t sequence,
                          uint8_t out[WARP_RECORD_MAX]) {
  wg_env *env = sim_host_env(w.a);
  int64_t now_ms = env->ops->wall_ms(env);
  wg_record record = {.key = *wg_identity_key(identity),
                      .sequence = sequence,
                      .issued_ms = now_ms,
                      .expires_ms = now_ms + INT64_C(7) * 86400000};
  int len = wg_record_sign(identity, &record, out, WARP_RECORD_MAX);
  assert_true(len > 0);
  return (size_t)len;
}

static int do_register(wg_names *names, const wg_identity *identity, const char *name,
                       uint64_t sequence) {
  uint8_t record[WARP_RECORD_MAX];
  size_t len = make_record(identity, sequence, record);
  result out = {0};
  int status = wg_names_register(names, name, record, len, on_result, &out);
  return status == WARP_OK ? wait_for(&out) : status;
}

static int do_lookup(wg_names *names, const char *name, result *out) {
  *out = (result){0};
  int status = wg_names_lookup(names, name, on_result, out);
  return status == WARP_OK ? wait_for(out) : status;
}

static int do_delete(wg_names *names, const char *name) {
  result out = {0};
  int status = wg_names_delete(names, name, on_result, &out);
  return status == WARP_OK ? wait_for(&out) : status;
}

static uint64_t sequence_of(const result *found) {
  wg_record record;
  size_t signed_len;
  uint8_t signature[WG_SIGNATURE_LEN];
  assert_int_equal(wg_record_decode(found->record, found->len, &record, &signed_len, signature),
                   WARP_OK);
  return record.sequence;
}

/* What a server has under a name: its record's sequence, or 0. */
static uint64_t stored(const real_server *server, const char *name) {
  name_row row;
  wg_env *env = sim_host_env(server->host);
  if (name_store_get(server->store, name, &row) != WARP_OK || row.record_len == 0 ||
      row.expires_ms <= env->ops->wall_ms(env)) {
    return 0;
  }
  return row.sequence;
}

/* ---- the usual way --------------------------------------------------------------------------- */

static void test_register_and_lookup(void **state) {
  (void)state;
  result found;
  w.names = open_names(w.a, w.alice, ONE);
  w.others = open_names(w.b, w.bob, ONE);
  assert_int_equal(do_lookup(w.others, "alice", &found), WARP_NOT_FOUND);
  uint64_t begun_us = sim_now_us(w.world);
  assert_int_equal(do_register(w.names, w.alice, "Alice.p2p", 5), WARP_OK);
  /* two round trips of 80 ms: the cookie comes first */
  assert_in_range(sim_now_us(w.world) - begun_us, 160000, 165000);
  begun_us = sim_now_us(w.world);
  assert_int_equal(do_lookup(w.others, "alice", &found), WARP_OK);
  assert_in_range(sim_now_us(w.world) - begun_us, 80000, 85000);
  assert_int_equal(sequence_of(&found), 5);
  begun_us = sim_now_us(w.world);
  assert_int_equal(do_register(w.names, w.alice, "alice", 6), WARP_OK); /* the cookie is known */
  assert_in_range(sim_now_us(w.world) - begun_us, 80000, 85000);
  assert_int_equal(stored(&w.one, "alice"), 6);
}

static void test_refusals(void **state) {
  (void)state;
  w.names = open_names(w.a, w.alice, ONE);
  w.others = open_names(w.b, w.bob, ONE);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  assert_int_equal(do_register(w.others, w.bob, "alice", 9), WARP_NAME_TAKEN);
  assert_int_equal(do_register(w.names, w.alice, "alice", 4), WARP_REPLAY);
  assert_int_equal(do_register(w.names, w.alice, "second", 1), WARP_OK);
  assert_int_equal(do_register(w.names, w.alice, "third", 1), WARP_QUOTA);
  char derived[WARP_NAME_MAX + 1];
  wg_name_derive(wg_identity_key(w.alice), derived);
  assert_int_equal(do_register(w.others, w.bob, derived, 1), WARP_NAME_TAKEN);
}

static void test_invalid(void **state) {
  (void)state;
  uint8_t record[WARP_RECORD_MAX];
  size_t len = make_record(w.bob, 1, record);
  w.names = open_names(w.a, w.alice, ONE);
  result out = {0};
  assert_int_equal(wg_names_register(w.names, "alice", record, len, on_result, &out),
                   WARP_INVALID); /* somebody else's */
  assert_int_equal(wg_names_update(w.names, record, len), WARP_INVALID);
  assert_int_equal(wg_names_register(w.names, "alice", record, 3, on_result, &out), WARP_INVALID);
  assert_int_equal(wg_names_lookup(w.names, "no name", on_result, &out), WARP_INVALID);
  assert_int_equal(wg_names_delete(w.names, "-", on_result, &out), WARP_INVALID);
  static const char *const bad[] = {"203.0.113.10:5300", "nonsense", NULL};
  wg_names_options options = {.env = sim_host_env(w.a), .identity = w.alice, .servers = bad};
  wg_names *names;
  assert_int_equal(wg_names_open(&options, &names), WARP_INVALID);
  assert_false(out.done);
}

static void test_delete(void **state) {
  (void)state;
  result found;
  w.names = open_names(w.a, w.alice, BOTH);
  w.others = open_names(w.b, w.bob, BOTH);
  assert_int_equal(do_delete(w.names, "alice"), WARP_NOT_FOUND);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  assert_int_equal(do_delete(w.others, "alice"), WARP_NAME_TAKEN);
  assert_int_equal(do_delete(w.names, "alice"), WARP_OK);
  assert_int_equal(stored(&w.one, "alice") + stored(&w.two, "alice"), 0);
  /* it is not kept either */
  assert_int_equal(sim_run_for(w.world, 8000 * SECOND_US), WARP_OK);
  assert_int_equal(stored(&w.one, "alice"), 0);
  /* a client that did not register the name itself asks what there is to delete */
  assert_int_equal(do_register(w.names, w.alice, "alice", 6), WARP_OK);
  wg_names_close(w.names);
  w.names = open_names(w.a, w.alice, BOTH);
  assert_int_equal(do_delete(w.names, "alice"), WARP_OK);
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_NOT_FOUND);
}

/* ---- staying registered ---------------------------------------------------------------------- */

static void test_renewal(void **state) {
  (void)state;
  w.names = open_names(w.a, w.alice, ONE);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  for (int hour = 0; hour < 5; hour++) {
    assert_int_equal(sim_run_for(w.world, 3600 * SECOND_US), WARP_OK);
    assert_int_equal(stored(&w.one, "alice"), 5);
  }
  wg_names_close(w.names);
  w.names = NULL;
  assert_int_equal(sim_run_for(w.world, 7201 * SECOND_US), WARP_OK);
  assert_int_equal(stored(&w.one, "alice"), 0);
}

static void test_update(void **state) {
  (void)state;
  uint8_t record[WARP_RECORD_MAX];
  w.names = open_names(w.a, w.alice, BOTH);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  assert_int_equal(do_register(w.names, w.alice, "alice-too", 5), WARP_OK);
  size_t len = make_record(w.alice, 8, record);
  assert_int_equal(wg_names_update(w.names, record, len), WARP_OK);
  assert_int_equal(sim_run_for(w.world, SECOND_US), WARP_OK);
  assert_int_equal(stored(&w.one, "alice"), 8);
  assert_int_equal(stored(&w.two, "alice-too"), 8);
  assert_int_equal(sim_run_for(w.world, 10000 * SECOND_US), WARP_OK);
  assert_int_equal(stored(&w.one, "alice"), 8);
}

/* A server that was away learns the name soon after it is back, not at half life. */
static void test_server_comes_back(void **state) {
  (void)state;
  w.names = open_names(w.a, w.alice, BOTH);
  sim_network_set_up(w.site_one, false);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  assert_int_equal(stored(&w.two, "alice"), 5);
  assert_int_equal(sim_run_for(w.world, 10 * SECOND_US), WARP_OK);
  sim_network_set_up(w.site_one, true);
  assert_int_equal(sim_run_for(w.world, 15 * SECOND_US), WARP_OK);
  assert_int_equal(stored(&w.one, "alice"), 5);
}

static void test_registers_once_somebody_answers(void **state) {
  (void)state;
  w.names = open_names(w.a, w.alice, ONE);
  sim_network_set_up(w.site_one, false);
  uint64_t begun_us = sim_now_us(w.world);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_TIMEOUT);
  assert_int_equal(sim_now_us(w.world) - begun_us, TIMEOUT_MS * 1000);
  sim_network_set_up(w.site_one, true);
  assert_int_equal(sim_run_for(w.world, 16 * SECOND_US), WARP_OK);
  assert_int_equal(stored(&w.one, "alice"), 5);
}

/* What was refused is given up: a server is not asked the same thing for ever. */
static void test_refused_is_not_kept(void **state) {
  (void)state;
  w.names = open_names(w.a, w.alice, ONE);
  w.others = open_names(w.b, w.bob, ONE);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  assert_int_equal(do_register(w.others, w.bob, "alice", 5), WARP_NAME_TAKEN);
  assert_int_equal(do_delete(w.names, "alice"), WARP_OK);
  assert_int_equal(sim_run_for(w.world, 20000 * SECOND_US), WARP_OK);
  assert_int_equal(stored(&w.one, "alice"), 0);
}

/* ---- networks that do not work --------------------------------------------------------------- */

static void test_loss(void **state) {
  (void)state;
  sim_link link = {.latency_us = 20000, .jitter_us = 10000, .loss = 0.25, .duplicate = 0.2};
  sim_network_set_link(w.home, &link);
  w.names = open_names(w.a, w.alice, ONE);
  w.others = open_names(w.b, w.bob, ONE);
  result found;
  for (uint64_t i = 1; i <= 20; i++) {
    assert_int_equal(do_register(w.names, w.alice, "alice", i), WARP_OK);
    assert_int_equal(do_lookup(w.others, "alice", &found), WARP_OK);
    assert_int_equal(sequence_of(&found), i);
  }
}

static int drop_udp(wg_udp *udp, const warp_addr *to, const void *data, size_t len) {
  (void)udp;
  (void)to;
  (void)data;
  (void)len;
  return WARP_OK;
}

static void test_tcp_where_udp_does_not_pass(void **state) {
  (void)state;
  wg_env *env = sim_host_env(w.a);
  const wg_env_ops *before = env->ops;
  wg_env_ops no_udp = *before;
  no_udp.udp_send = drop_udp;
  env->ops = &no_udp;
  w.names = open_names(w.a, w.alice, ONE);
  uint64_t begun_us = sim_now_us(w.world);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  /* a third of the timeout, the connection, the cookie, the answer */
  assert_in_range(sim_now_us(w.world) - begun_us, 1240000, 1250000);
  result found;
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_OK);
  assert_int_equal(sequence_of(&found), 5);
  wg_names_close(w.names);
  w.names = NULL;
  env->ops = before;
}

static void test_nobody_there(void **state) {
  (void)state;
  static const char *const closed[] = {"203.0.113.10:9", NULL};
  static const char *const unknown[] = {"unknown.example:5300", NULL};
  static const char *const none[] = {NULL};
  result found;
  w.names = open_names(w.a, w.alice, closed);
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_TIMEOUT);
  wg_names_close(w.names);
  w.names = open_names(w.a, w.alice, unknown);
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_NO_SERVER);
  wg_names_close(w.names);
  w.names = open_names(w.a, w.alice, none);
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_NO_SERVER);
  assert_int_equal(do_register(w.names, w.alice, "alice", 1), WARP_NO_SERVER);
  wg_names_close(w.names);
  w.names = open_names(w.a, w.alice, NULL);
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_NO_SERVER);
}

static void test_dead_resolver(void **state) {
  (void)state;
  static const char *const dead[] = {"dead.example:5300", "198.51.100.20:5300", NULL};
  result found;
  w.names = open_names(w.a, w.alice, dead);
  uint64_t begun_us = sim_now_us(w.world);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  assert_true(sim_now_us(w.world) - begun_us < SECOND_US);
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_OK);
  assert_int_equal(do_lookup(w.names, "bob", &found), WARP_NOT_FOUND);
}

/* The name moved to another address: found out by asking again. */
static void test_server_moves(void **state) {
  (void)state;
  static const char *const by_name[] = {"names.example:5300", NULL};
  result found;
  w.names = open_names(w.a, w.alice, by_name);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  sim_network_set_up(w.site_one, false);
  sim_add_name(w.world, "names.example", "198.51.100.20");
  (void)do_lookup(w.names, "alice", &found);
  assert_int_equal(do_register(w.names, w.alice, "alice", 6), WARP_OK);
  assert_int_equal(stored(&w.two, "alice"), 6);
}

/* ---- servers that lie ------------------------------------------------------------------------ */

static void liar_answers(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  liar *self = arg;
  wg_name_request request;
  size_t signed_len;
  uint8_t signature[WG_SIGNATURE_LEN], bytes[WG_NAME_REPLY_MAX];
  assert_int_equal(wg_name_request_decode(data, len, &request, &signed_len, signature), WARP_OK);
  self->asked++;
  wg_name_reply reply = self->reply;
  memcpy(reply.nonce, request.nonce, sizeof reply.nonce);
  reply.nonce[0] ^= self->wrong_nonce;
  int reply_len = wg_name_reply_encode(&reply, bytes, sizeof bytes);
  assert_true(reply_len > 0);
  wg_udp *udp = self->udp;
  if (self->wrong_source) {
    warp_addr any = wg_addr_any(WARP_IP4, 0);
    assert_int_equal(self->env->ops->udp_open(self->env, &any, 0, liar_answers, self, &udp),
                     WARP_OK);
  }
  self->env->ops->udp_send(udp, from, bytes, (size_t)reply_len);
  if (self->wrong_source) {
    self->env->ops->udp_close(udp);
  }
}

static void start_liar(liar *self, uint8_t status) {
  *self = (liar){.env = sim_host_env(w.one.host), .reply = {.status = status}};
  warp_addr any = wg_addr_any(WARP_IP4, PORT + 1);
  assert_int_equal(self->env->ops->udp_open(self->env, &any, 0, liar_answers, self, &self->udp),
                   WARP_OK);
}

static void stop_liar(liar *self) {
  self->env->ops->udp_close(self->udp);
}

static void test_bad_records(void **state) {
  (void)state;
  uint8_t good[WARP_RECORD_MAX], bad[WARP_RECORD_MAX], foreign[WARP_RECORD_MAX];
  liar self;
  result found;
  size_t len = make_record(w.alice, 5, good);
  memcpy(bad, good, len);
  bad[len - 1] ^= 1;
  start_liar(&self, WG_NAME_OK);
  w.names = open_names(w.a, w.alice, LIAR);
  self.reply.record = bad;
  self.reply.record_len = len;
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_BAD_SIGNATURE);
  assert_int_equal(found.len, 0);
  self.reply.record = (const uint8_t *)"nonsense";
  self.reply.record_len = 8;
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_MALFORMED);
  self.reply.record_len = 0;
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_MALFORMED);
  /* Somebody's good record under a name that only Alice's key can have */
  char derived[WARP_NAME_MAX + 1];
  wg_name_derive(wg_identity_key(w.alice), derived);
  self.reply.record_len = make_record(w.bob, 5, foreign);
  self.reply.record = foreign;
  assert_int_equal(do_lookup(w.names, derived, &found), WARP_UNTRUSTED);
  /* and a server that is honest beside it wins */
  w.others = open_names(w.b, w.alice, LIAR_AND_ONE);
  self.reply.record = bad;
  self.reply.record_len = len;
  assert_int_equal(do_lookup(w.others, "alice", &found), WARP_NOT_FOUND);
  wg_names_close(w.names);
  w.names = open_names(w.a, w.alice, ONE);
  assert_int_equal(do_register(w.names, w.alice, "alice", 5), WARP_OK);
  assert_int_equal(do_lookup(w.others, "alice", &found), WARP_OK);
  stop_liar(&self);
}

static void test_forged_replies(void **state) {
  (void)state;
  liar self;
  result found;
  start_liar(&self, WG_NAME_NOT_FOUND);
  w.names = open_names(w.a, w.alice, LIAR);
  self.wrong_nonce = true;
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_TIMEOUT);
  assert_in_range(self.asked, 4, 5); /* at 0, 250, 750 and 1750 ms */
  self.wrong_nonce = false;
  self.wrong_source = true;
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_TIMEOUT);
  self.wrong_source = false;
  assert_int_equal(do_lookup(w.names, "alice", &found), WARP_NOT_FOUND);
  stop_liar(&self);
}

static void test_statuses(void **state) {
  (void)state;
  static const struct {
    uint8_t status;
    int expected;
  } cases[] = {
      {WG_NAME_FAILED, WARP_IO},         {WG_NAME_BUSY, WARP_LIMIT},
      {WG_NAME_COOKIE, WARP_IO},         {200, WARP_IO},
      {WG_NAME_TOO_SHORT, WARP_TIMEOUT}, /* no TCP there */
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    liar self;
    result found;
    start_liar(&self, cases[i].status);
    self.reply.has_cookie = true;
    w.names = open_names(w.a, w.alice, LIAR);
    assert_int_equal(do_lookup(w.names, "alice", &found), cases[i].expected);
    assert_in_range(self.asked, 1, 8);
    wg_names_close(w.names);
    w.names = NULL;
    stop_liar(&self);
  }
}

/* ---- limits and endings ---------------------------------------------------------------------- */

static void test_limit(void **state) {
  (void)state;
  result out[WG_NAME_REQUESTS + 1];
  memset(out, 0, sizeof out);
  w.names = open_names(w.a, w.alice, ONE);
  for (size_t i = 0; i < WG_NAME_REQUESTS; i++) {
    assert_int_equal(wg_names_lookup(w.names, "alice", on_result, &out[i]), WARP_OK);
  }
  uint8_t record[WARP_RECORD_MAX];
  size_t len = make_record(w.alice, 1, record);
  result *last = &out[WG_NAME_REQUESTS];
  assert_int_equal(wg_names_lookup(w.names, "alice", on_result, last), WARP_LIMIT);
  assert_int_equal(wg_names_register(w.names, "alice", record, len, on_result, last), WARP_LIMIT);
  assert_int_equal(sim_run_for(w.world, 30 * SECOND_US), WARP_OK);
  for (size_t i = 0; i < WG_NAME_REQUESTS; i++) {
    assert_int_equal(out[i].calls, 1);
    assert_int_equal(out[i].status, WARP_NOT_FOUND);
  }
  assert_int_equal(last->calls, 0);
  assert_int_equal(stored(&w.one, "alice"), 0); /* nor was it kept for later */
}

static void test_close_cancels(void **state) {
  (void)state;
  uint8_t record[WARP_RECORD_MAX];
  size_t len = make_record(w.alice, 5, record);
  for (uint64_t wait_us = 0; wait_us < 2 * SECOND_US; wait_us += 37000) {
    result out[3] = {{0}};
    w.names = open_names(w.a, w.alice, wait_us % 2 == 0 ? BOTH : LIAR);
    assert_int_equal(wg_names_register(w.names, "alice", record, len, on_result, &out[0]), WARP_OK);
    assert_int_equal(wg_names_lookup(w.names, "bob", on_result, &out[1]), WARP_OK);
    assert_int_equal(wg_names_delete(w.names, "carol", on_result, &out[2]), WARP_OK);
    assert_int_equal(sim_run_for(w.world, wait_us), WARP_OK);
    bool before[3] = {out[0].done, out[1].done, out[2].done};
    wg_names_close(w.names);
    for (size_t i = 0; i < 3; i++) {
      assert_int_equal(out[i].calls, 1);
      assert_true(before[i] || out[i].status == WARP_CANCELED);
    }
    w.names = NULL;
    assert_int_equal(sim_host_handles(w.a), 0);
  }
  wg_names_close(NULL);
}

typedef struct closer {
  bool done;
  int status, again;
} closer;

static void on_close(void *arg, int status, const uint8_t *record, size_t len) {
  closer *self = arg;
  (void)record;
  (void)len;
  self->status = status;
  self->done = true;
  if (w.names != NULL) {
    wg_names *names = w.names;
    w.names = NULL;
    wg_names_close(names);
  }
}

static void test_close_in_callback(void **state) {
  (void)state;
  uint8_t record[WARP_RECORD_MAX];
  size_t len = make_record(w.alice, 5, record);
  closer closers[3] = {{0}};
  w.names = open_names(w.a, w.alice, BOTH);
  assert_int_equal(wg_names_register(w.names, "alice", record, len, on_close, &closers[0]),
                   WARP_OK);
  assert_int_equal(wg_names_lookup(w.names, "alice", on_close, &closers[1]), WARP_OK);
  assert_int_equal(wg_names_delete(w.names, "bob", on_close, &closers[2]), WARP_OK);
  assert_int_equal(sim_run_until_set(w.world, &closers[1].done, 10 * SECOND_US), WARP_OK);
  for (size_t i = 0; i < 3; i++) {
    assert_true(closers[i].done);
  }
  assert_int_equal(sim_host_handles(w.a), 0);
}

static void on_canceled(void *arg, int status, const uint8_t *record, size_t len) {
  closer *self = arg;
  (void)record;
  (void)len;
  self->status = status;
  self->again = wg_names_lookup(w.names, "again", on_canceled, self);
  wg_names_close(w.names); /* of no effect while it closes */
}

static void test_no_start_while_closing(void **state) {
  (void)state;
  closer self = {0};
  w.names = open_names(w.a, w.alice, ONE);
  assert_int_equal(wg_names_lookup(w.names, "alice", on_canceled, &self), WARP_OK);
  wg_names_close(w.names);
  w.names = NULL;
  assert_int_equal(self.status, WARP_CANCELED);
  assert_int_equal(self.again, WARP_STATE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_register_and_lookup),
      TEST(test_refusals),
      TEST(test_invalid),
      TEST(test_delete),
      TEST(test_renewal),
      TEST(test_update),
      TEST(test_server_comes_back),
      TEST(test_registers_once_somebody_answers),
      TEST(test_refused_is_not_kept),
      TEST(test_loss),
      TEST(test_tcp_where_udp_does_not_pass),
      TEST(test_nobody_there),
      TEST(test_dead_resolver),
      TEST(test_server_moves),
      TEST(test_bad_records),
      TEST(test_forged_replies),
      TEST(test_statuses),
      TEST(test_limit),
      TEST(test_close_cancels),
      TEST(test_close_in_callback),
      TEST(test_no_start_while_closing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
