/* A simulated internet with two real name servers and two hosts that use them. */
#ifndef NAMES_RIG_H
#define NAMES_RIG_H

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

static inline void start_server(real_server *server, sim_host *host) {
  name_service_config config = {.quota_v4 = 2,
                                .quota_v6 = 2,
                                .quota_v6_site = 2,
                                .rate_per_s = NAME_RATE_DEFAULT,
                                .lifetime_max_s = 7200,
                                .secret = {9}};
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

static inline void stop_server(real_server *server) {
  name_server_close(server->server);
  name_service_free(server->service);
  name_store_close(server->store);
}

static inline wg_names *open_names(sim_host *host, const wg_identity *identity,
                                   const char *const *servers) {
  wg_names *names = NULL;
  wg_names_options options = {.env = sim_host_env(host),
                              .identity = identity,
                              .servers = servers,
                              .timeout_ms = TIMEOUT_MS};
  assert_int_equal(wg_names_open(&options, &names), WARP_OK);
  return names;
}

static inline int set_up(void **state) {
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

static inline int tear_down(void **state) {
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

static inline void on_result(void *arg, int status, const uint8_t *record, size_t len) {
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
static inline int wait_for(result *out) {
  assert_false(out->done); /* never from inside the starting call */
  assert_int_equal(sim_run_until_set(w.world, &out->done, 60 * SECOND_US), WARP_OK);
  assert_int_equal(out->calls, 1);
  return out->status;
}

static inline size_t make_record(const wg_identity *identity, uint64_t sequence,
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

static inline int do_register(wg_names *names, const wg_identity *identity, const char *name,
                              uint64_t sequence) {
  uint8_t record[WARP_RECORD_MAX];
  size_t len = make_record(identity, sequence, record);
  result out = {0};
  int status = wg_names_register(names, name, record, len, on_result, &out);
  return status == WARP_OK ? wait_for(&out) : status;
}

static inline int do_lookup(wg_names *names, const char *name, result *out) {
  *out = (result){0};
  int status = wg_names_lookup(names, name, on_result, out);
  return status == WARP_OK ? wait_for(out) : status;
}

static inline int do_delete(wg_names *names, const char *name) {
  result out = {0};
  int status = wg_names_delete(names, name, on_result, &out);
  return status == WARP_OK ? wait_for(&out) : status;
}

static inline uint64_t sequence_of(const result *found) {
  wg_record record;
  size_t signed_len;
  uint8_t signature[WG_SIGNATURE_LEN];
  assert_int_equal(wg_record_decode(found->record, found->len, &record, &signed_len, signature),
                   WARP_OK);
  return record.sequence;
}

/* What a server has under a name: its record's sequence, or 0. */
static inline uint64_t stored(const real_server *server, const char *name) {
  name_row row;
  wg_env *env = sim_host_env(server->host);
  if (name_store_get(server->store, name, &row) != WARP_OK || row.record_len == 0 ||
      row.expires_ms <= env->ops->wall_ms(env)) {
    return 0;
  }
  return row.sequence;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
