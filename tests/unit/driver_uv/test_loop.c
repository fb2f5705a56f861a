#include "harness.h"

enum { POSTS = 1024 }; /* what <warpgate/warpgate.h> promises */

typedef struct shared {
  warp_loop *loop;
  wg_udp *udp;
  unsigned calls;
  unsigned order_broken;
  unsigned expected;
  uv_thread_t loop_thread;
  bool on_loop_thread;
  int status;
} shared;

static void count(void *arg) {
  shared *s = arg;
  s->calls++;
}

static void *order_of(size_t i) {
  return (void *)(uintptr_t)i;
}

static shared *ordered; /* the calls' arg is their number */

static void check_order(void *arg) {
  ordered->order_broken += (uintptr_t)arg != ordered->calls;
  ordered->calls++;
}

static void test_an_idle_loop_ends_at_once(void **state) {
  (void)state;
  warp_loop *loop = warp_loop_new();
  assert_non_null(loop);
  assert_non_null(warp_loop_env(loop));
  assert_int_equal(warp_loop_run(loop), WARP_OK);
  assert_int_equal(warp_loop_run(loop), WARP_OK);
  assert_int_equal(warp_loop_close(loop), WARP_OK);
}

static void test_null_is_invalid(void **state) {
  (void)state;
  assert_null(warp_loop_wrap(NULL));
  assert_int_equal(warp_loop_run(NULL), WARP_INVALID);
  assert_int_equal(warp_loop_close(NULL), WARP_INVALID);
  assert_int_equal(warp_loop_post(NULL, count, NULL), WARP_INVALID);
  warp_loop_stop(NULL);
}

static void test_posts_run_in_order_even_when_idle(void **state) {
  (void)state;
  shared s = {.loop = warp_loop_new()};
  ordered = &s;
  for (size_t i = 0; i < POSTS; i++) {
    assert_int_equal(warp_loop_post(s.loop, check_order, order_of(i)), WARP_OK);
  }
  assert_int_equal(warp_loop_post(s.loop, check_order, NULL), WARP_LIMIT);
  assert_int_equal(s.calls, 0);
  assert_int_equal(warp_loop_close(s.loop), WARP_STATE); /* they still have to run */
  assert_int_equal(warp_loop_run(s.loop), WARP_OK);
  assert_int_equal(s.calls, POSTS);
  assert_int_equal(s.order_broken, 0);
  assert_int_equal(warp_loop_post(s.loop, NULL, NULL), WARP_INVALID);
  assert_int_equal(warp_loop_close(s.loop), WARP_OK);
}

static void post_again(void *arg) {
  shared *s = arg;
  s->calls++;
  if (s->calls < 10) {
    assert_int_equal(warp_loop_post(s->loop, post_again, s), WARP_OK);
  }
}

static void test_a_post_may_post(void **state) {
  (void)state;
  shared s = {.loop = warp_loop_new()};
  assert_int_equal(warp_loop_post(s.loop, post_again, &s), WARP_OK);
  assert_int_equal(warp_loop_run(s.loop), WARP_OK);
  assert_int_equal(s.calls, 10);
  assert_int_equal(warp_loop_close(s.loop), WARP_OK);
}

static void on_thread_post(void *arg) {
  shared *s = arg;
  uv_thread_t self = uv_thread_self();
  s->on_loop_thread = uv_thread_equal(&self, &s->loop_thread);
  s->calls++;
  if (s->calls == s->expected) {
    warp_loop_env(s->loop)->ops->udp_close(s->udp);
  }
}

static void post_from_thread(void *arg) {
  shared *s = arg;
  for (int i = 0; i < 500; i++) {
    while (warp_loop_post(s->loop, on_thread_post, s) == WARP_LIMIT) {
      uv_sleep(1);
    }
  }
}

static void test_posts_from_threads(void **state) {
  (void)state;
  shared s = {.loop = warp_loop_new(), .expected = 1500, .loop_thread = uv_thread_self()};
  wg_env *env = warp_loop_env(s.loop);
  warp_addr local = wg_addr_loopback(WARP_IP4, 0);
  /* Keeps the loop running until the last call closes it. */
  assert_int_equal(env->ops->udp_open(env, &local, 0, harness_ignore, NULL, &s.udp), WARP_OK);
  uv_thread_t threads[3];
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(uv_thread_create(&threads[i], post_from_thread, &s), 0);
  }
  assert_int_equal(warp_loop_run(s.loop), WARP_OK);
  for (size_t i = 0; i < 3; i++) {
    uv_thread_join(&threads[i]);
  }
  assert_int_equal(s.calls, 1500);
  assert_true(s.on_loop_thread);
  assert_int_equal(warp_loop_close(s.loop), WARP_OK);
}

static void stop_and_misuse(void *arg) {
  shared *s = arg;
  s->calls++;
  assert_int_equal(warp_loop_run(s->loop), WARP_STATE);   /* it runs already */
  assert_int_equal(warp_loop_close(s->loop), WARP_STATE); /* not from inside */
  warp_loop_stop(s->loop);
}

static void test_stop_and_go_on(void **state) {
  (void)state;
  shared s = {.loop = warp_loop_new()};
  wg_env *env = warp_loop_env(s.loop);
  warp_addr local = wg_addr_loopback(WARP_IP4, 0);
  assert_int_equal(env->ops->udp_open(env, &local, 0, harness_ignore, NULL, &s.udp), WARP_OK);
  for (unsigned i = 1; i <= 2; i++) {
    assert_int_equal(warp_loop_post(s.loop, stop_and_misuse, &s), WARP_OK);
    assert_int_equal(warp_loop_run(s.loop), WARP_OK); /* would never end by itself */
    assert_int_equal(s.calls, i);
  }
  assert_int_equal(warp_loop_close(s.loop), WARP_STATE); /* the socket is open */
  env->ops->udp_close(s.udp);
  assert_int_equal(warp_loop_close(s.loop), WARP_OK);
}

static void on_check(uv_timer_t *timer) {
  *(bool *)timer->data = true;
  uv_close((uv_handle_t *)timer, NULL);
}

static void test_a_wrapped_loop_stays_the_programs(void **state) {
  (void)state;
  uv_loop_t uv;
  assert_int_equal(uv_loop_init(&uv), 0);
  shared s = {.loop = warp_loop_wrap(&uv)};
  assert_int_equal(warp_loop_post(s.loop, count, &s), WARP_OK);
  assert_int_equal(warp_loop_run(s.loop), WARP_OK);
  assert_int_equal(s.calls, 1);
  assert_int_equal(warp_loop_close(s.loop), WARP_OK);
  uv_timer_t own;
  bool fired = false;
  uv_timer_init(&uv, &own);
  own.data = &fired;
  uv_timer_start(&own, on_check, 1, 0);
  assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
  assert_true(fired);
  assert_int_equal(uv_loop_close(&uv), 0);
}

static void test_two_loops_on_one(void **state) {
  (void)state;
  uv_loop_t uv;
  assert_int_equal(uv_loop_init(&uv), 0);
  warp_loop *a = warp_loop_wrap(&uv);
  warp_loop *b = warp_loop_wrap(&uv);
  assert_ptr_not_equal(warp_loop_env(a), warp_loop_env(b));
  assert_int_equal(warp_loop_close(a), WARP_OK);
  assert_int_equal(warp_loop_close(b), WARP_OK);
  uv_run(&uv, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&uv), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_idle_loop_ends_at_once),
      cmocka_unit_test(test_null_is_invalid),
      cmocka_unit_test(test_posts_run_in_order_even_when_idle),
      cmocka_unit_test(test_a_post_may_post),
      cmocka_unit_test(test_posts_from_threads),
      cmocka_unit_test(test_stop_and_go_on),
      cmocka_unit_test(test_a_wrapped_loop_stays_the_programs),
      cmocka_unit_test(test_two_loops_on_one),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
