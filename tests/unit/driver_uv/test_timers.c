#include "harness.h"

typedef struct probe {
  world *w;
  wg_timer timer;
  int id;
  unsigned left; /* restarts */
  uint64_t fired_us;
  bool fired;
} probe;

static int order[8];
static size_t order_len;

static int reset_order(void **state) {
  order_len = 0;
  return world_up(state);
}

static void on_fire(void *arg) {
  probe *p = arg;
  p->fired = true;
  p->fired_us = wg_now_us(p->w->env);
  if (order_len < 8) {
    order[order_len++] = p->id;
  }
}

static void test_fire_in_order_of_deadline(void **state) {
  world *w = *state;
  probe p[4] = {{w, .id = 0}, {w, .id = 1}, {w, .id = 2}, {w, .id = 3}};
  uint64_t start_us = wg_now_us(w->env);
  wg_timer_start(w->env, &p[0].timer, 30000, on_fire, &p[0]);
  wg_timer_start(w->env, &p[1].timer, 10000, on_fire, &p[1]);
  wg_timer_start(w->env, &p[2].timer, 20000, on_fire, &p[2]);
  wg_timer_start(w->env, &p[3].timer, 0, on_fire, &p[3]);
  assert_int_equal(order_len, 0);
  uv_run(&w->uv, UV_RUN_DEFAULT); /* ends by itself: nothing is active after the last one */
  assert_int_equal(order_len, 4);
  /* That of 3, 1, 2, 0, unless this process stood still between the calls above. */
  for (size_t i = 1; i < 4; i++)
    assert_true(p[order[i - 1]].timer.deadline_us <= p[order[i]].timer.deadline_us);
  for (size_t i = 0; i < 3; i++) { /* never early */
    uint64_t delay_us[] = {30000, 10000, 20000};
    assert_true(p[i].fired_us - start_us >= delay_us[i]);
  }
}

static void test_stopped_and_restarted(void **state) {
  world *w = *state;
  probe stopped = {w, .id = 1}, moved = {w, .id = 2}, last = {w, .id = 3};
  wg_timer_start(w->env, &stopped.timer, 5000, on_fire, &stopped);
  wg_timer_start(w->env, &moved.timer, 5000, on_fire, &moved);
  wg_timer_start(w->env, &last.timer, 15000, on_fire, &last);
  wg_timer_start(w->env, &moved.timer, 25000, on_fire, &moved);
  wg_timer_stop(w->env, &stopped.timer);
  uv_run(&w->uv, UV_RUN_DEFAULT);
  assert_false(stopped.fired);
  assert_int_equal(order_len, 2);
  assert_int_equal(order[0], 3);
  assert_int_equal(order[1], 2);
}

static void test_a_sooner_one_started_later(void **state) {
  world *w = *state;
  probe late = {w, .id = 1}, soon = {w, .id = 2};
  wg_timer_start(w->env, &late.timer, 3600ULL * 1000 * 1000, on_fire, &late);
  wg_timer_start(w->env, &soon.timer, 2000, on_fire, &soon);
  run_until(w, &soon.fired);
  assert_false(late.fired);
  wg_timer_stop(w->env, &late.timer);
  uv_run(&w->uv, UV_RUN_DEFAULT); /* the far deadline no longer holds the loop */
}

static void test_a_deadline_that_never_comes(void **state) {
  world *w = *state;
  probe never = {w, .id = 1};
  wg_timer_start(w->env, &never.timer, UINT64_MAX, on_fire, &never);
  uv_run(&w->uv, UV_RUN_DEFAULT); /* does not keep the loop running */
  assert_false(never.fired);
  wg_timer_stop(w->env, &never.timer);
}

static void again(void *arg) {
  probe *p = arg;
  p->left--;
  if (p->left > 0) {
    wg_timer_start(p->w->env, &p->timer, 0, again, p);
  } else {
    p->fired = true;
  }
}

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  (void)data;
  (void)len;
  (void)from;
  probe *p = arg;
  p->left = 1; /* the timer comes to its end */
}

/* A timer that restarts itself without delay leaves room for sockets. */
static void test_zero_delays_do_not_starve_sockets(void **state) {
  world *w = *state;
  probe p = {w, .left = UINT32_MAX};
  wg_udp *udp;
  warp_addr local = wg_addr_loopback(WARP_IP4, 0);
  assert_int_equal(w->ops->udp_open(w->env, &local, 0, on_datagram, &p, &udp), WARP_OK);
  w->ops->udp_local(udp, &local);
  wg_timer_start(w->env, &p.timer, 0, again, &p);
  assert_int_equal(w->ops->udp_send(udp, &local, "x", 1), WARP_OK);
  run_until(w, &p.fired);
  w->ops->udp_close(udp);
}

/* The program does not come to its loop for so long. */
static void stand_still(const world *w, uint64_t us) {
  uint64_t awake_us = wg_now_us(w->env) + us;
  while (wg_now_us(w->env) < awake_us) {
    uv_sleep(100);
  }
}

typedef struct asker {
  probe deadline;
  wg_udp *udp;
  warp_addr local;
  unsigned answers;
  unsigned answers_at_deadline;
} asker;

static void on_answer(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  (void)data;
  (void)len;
  asker *a = arg;
  a->answers++;
  if (a->answers == 1) { /* the next step of the same conversation */
    assert_int_equal(a->deadline.w->ops->udp_send(a->udp, from, "y", 1), WARP_OK);
  }
}

static void on_asker_deadline(void *arg) {
  asker *a = arg;
  a->deadline.fired = true;
  a->answers_at_deadline = a->answers;
}

/* A program that stood still until after a deadline hears what came meanwhile before it gives up,
 * and the answer to what it then says. */
static void test_answers_go_before_deadlines_that_were_slept_through(void **state) {
  world *w = *state;
  asker a = {.deadline = {.w = w}, .local = wg_addr_loopback(WARP_IP4, 0)};
  assert_int_equal(w->ops->udp_open(w->env, &a.local, 0, on_answer, &a, &a.udp), WARP_OK);
  w->ops->udp_local(a.udp, &a.local);
  wg_timer_start(w->env, &a.deadline.timer, 10000, on_asker_deadline, &a);
  assert_int_equal(w->ops->udp_send(a.udp, &a.local, "x", 1), WARP_OK);
  stand_still(w, 1000000);
  run_until(w, &a.deadline.fired);
  assert_int_equal(a.answers_at_deadline, 2);
  w->ops->udp_close(a.udp);
}

/* But what was to be done at once is done, before anything else arrives. */
static void test_next_steps_are_not_put_off(void **state) {
  world *w = *state;
  asker a = {.deadline = {.w = w}, .local = wg_addr_loopback(WARP_IP4, 0)};
  assert_int_equal(w->ops->udp_open(w->env, &a.local, 0, on_answer, &a, &a.udp), WARP_OK);
  w->ops->udp_local(a.udp, &a.local);
  probe waits = {w, .id = 1};
  wg_timer_start(w->env, &waits.timer, 1000, on_fire, &waits);
  wg_timer_start(w->env, &a.deadline.timer, 0, on_asker_deadline, &a);
  assert_int_equal(w->ops->udp_send(a.udp, &a.local, "x", 1), WARP_OK);
  stand_still(w, 100000);
  run_until(w, &a.deadline.fired);
  assert_int_equal(a.answers_at_deadline, 0);
  run_until(w, &waits.fired);
  assert_int_equal(a.answers, 2);
  w->ops->udp_close(a.udp);
}

static void stop_other(void *arg) {
  probe *p = arg;
  wg_timer_stop(p[0].w->env, &p[1].timer);
  p[0].fired = true;
}

static void test_stopping_another_that_is_due(void **state) {
  world *w = *state;
  probe p[2] = {{w, .id = 0}, {w, .id = 1}};
  wg_timer_start(w->env, &p[0].timer, 0, stop_other, p);
  wg_timer_start(w->env, &p[1].timer, 0, on_fire, &p[1]);
  uv_run(&w->uv, UV_RUN_DEFAULT);
  assert_true(p[0].fired);
  assert_false(p[1].fired);
}

/* Whoever turns the loop ten times a second finds every timer late, and every timer fires. */
static void test_a_loop_that_is_always_late(void **state) {
  world *w = *state;
  enum { TURNS = 10 };
  probe p[2] = {{w, .id = 0}, {w, .id = 1}};
  wg_timer_start(w->env, &p[0].timer, 10000, on_fire, &p[0]);
  wg_timer_start(w->env, &p[1].timer, 20000, on_fire, &p[1]);
  for (int turn = 0; turn < TURNS; turn++) {
    uv_sleep(100);
    uv_run(&w->uv, UV_RUN_NOWAIT);
  }
  assert_int_equal(order_len, 2);
  assert_int_equal(order[0], 0);
}

static void test_clocks(void **state) {
  world *w = *state;
  uint64_t first_us = wg_now_us(w->env);
  assert_true(first_us > 0);
  assert_true(wg_now_us(w->env) >= first_us);
  int64_t now_ms = w->ops->wall_ms(w->env);
  assert_true(now_ms > 1600000000000); /* after 2020 */
  wg_uv_env_set_wall_offset(w->env, -3600000);
  int64_t behind_ms = now_ms - w->ops->wall_ms(w->env);
  assert_in_range(behind_ms, 1, 3600000); /* an hour less what the test took meanwhile */
}

static void test_randomness(void **state) {
  world *w = *state;
  uint8_t a[64] = {0}, b[64] = {0};
  assert_int_equal(w->ops->random(w->env, a, sizeof a), WARP_OK);
  assert_int_equal(w->ops->random(w->env, b, sizeof b), WARP_OK);
  assert_memory_not_equal(a, b, sizeof a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, reset_order, world_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_fire_in_order_of_deadline),
      TEST(test_stopped_and_restarted),
      TEST(test_a_sooner_one_started_later),
      TEST(test_a_deadline_that_never_comes),
      TEST(test_zero_delays_do_not_starve_sockets),
      TEST(test_answers_go_before_deadlines_that_were_slept_through),
      TEST(test_next_steps_are_not_put_off),
      TEST(test_stopping_another_that_is_due),
      TEST(test_a_loop_that_is_always_late),
      TEST(test_clocks),
      TEST(test_randomness),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
