/* The client against the real server, both in the simulated internet. */
#include "names_rig.h"

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
      TEST(test_limit),
      TEST(test_close_cancels),
      TEST(test_close_in_callback),
      TEST(test_no_start_while_closing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
