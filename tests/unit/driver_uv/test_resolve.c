#include "harness.h"

#include <dlfcn.h>
#include <netdb.h>

/* ---- the system's resolver, as these tests want it ------------------------------------------- */

static uv_sem_t stuck_entered, stuck_go_on, stuck_left;

/* Takes the place of the C library's: names of ours are answered here, and nothing else is asked,
 * so that no test depends on the host's DNS. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **out) {
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
  if (strcmp(host, "dead.test") == 0) {
    return EAI_AGAIN;
  }
  if (strcmp(host, "stuck.test") == 0) {
    uv_sem_post(&stuck_entered);
    uv_sem_wait(&stuck_go_on);
    uv_sem_post(&stuck_left);
    return EAI_NONAME;
  }
  if (strcmp(host, "four.test") == 0 && hints->ai_family != AF_INET6) {
    return real("127.0.0.4", service, hints, out);
  }
  if (strcmp(host, "six.test") == 0 && hints->ai_family != AF_INET) {
    return real("::6", service, hints, out);
  }
  return EAI_NONAME;
}

/* ---- answers --------------------------------------------------------------------------------- */

typedef struct answer {
  world *w;
  wg_resolve *resolve;
  wg_resolve *cancels; /* to be cancelled in the callback */
  bool cancel_itself;
  bool done;
  int status;
  size_t count;
  warp_addr first;
} answer;

static void on_answer(void *arg, int status, const warp_addr *addrs, size_t count) {
  answer *a = arg;
  assert_false(a->done);
  a->done = true;
  a->status = status;
  a->count = count;
  if (count > 0) {
    a->first = addrs[0];
  }
  if (a->cancels != NULL) {
    a->w->ops->resolve_cancel(a->cancels);
  }
  if (a->cancel_itself) {
    a->w->ops->resolve_cancel(a->resolve);
  }
}

static void ask(world *w, answer *a, const char *host, uint16_t port, int family) {
  a->w = w;
  assert_int_equal(w->ops->resolve(w->env, host, port, family, on_answer, a, &a->resolve), WARP_OK);
  assert_false(a->done); /* never from inside the call */
}

static void expect_status(world *w, const char *host, int family, int status) {
  answer a = {0};
  ask(w, &a, host, 7, family);
  run_until(w, &a.done);
  assert_int_equal(a.status, status);
  assert_int_equal(a.count, status == WARP_OK);
}

static void test_numeric_addresses(void **state) {
  world *w = *state;
  answer a = {0};
  ask(w, &a, "192.0.2.7", 3478, 0);
  run_until(w, &a.done);
  warp_addr expected = {.family = WARP_IP4, .ip = {192, 0, 2, 7}, .port = 3478};
  assert_int_equal(a.status, WARP_OK);
  assert_int_equal(a.count, 1);
  assert_true(wg_addr_equal(&a.first, &expected));
  expect_status(w, "2001:db8::7", WARP_IP6, WARP_OK);
  expect_status(w, "2001:db8::7", WARP_IP4, WARP_NOT_FOUND);
  expect_status(w, "192.0.2.7", WARP_IP6, WARP_NOT_FOUND);
}

static void test_names(void **state) {
  world *w = *state;
  answer a = {0};
  ask(w, &a, "four.test", 1883, 0);
  run_until(w, &a.done);
  warp_addr expected = {.family = WARP_IP4, .ip = {127, 0, 0, 4}, .port = 1883};
  assert_int_equal(a.status, WARP_OK);
  assert_true(wg_addr_equal(&a.first, &expected));
  expect_status(w, "six.test", 0, WARP_OK);
  expect_status(w, "six.test", WARP_IP4, WARP_NOT_FOUND);
  expect_status(w, "four.test", WARP_IP4, WARP_OK);
  expect_status(w, "nobody.test", 0, WARP_NOT_FOUND);
  expect_status(w, "dead.test", 0, WARP_TIMEOUT);
}

static void test_invalid_questions(void **state) {
  world *w = *state;
  answer a = {.w = w};
  char too_long[300];
  memset(too_long, 'a', sizeof too_long - 1);
  too_long[sizeof too_long - 1] = '\0';
  assert_int_equal(w->ops->resolve(w->env, "", 1, 0, on_answer, &a, &a.resolve), WARP_INVALID);
  assert_int_equal(w->ops->resolve(w->env, too_long, 1, 0, on_answer, &a, &a.resolve),
                   WARP_INVALID);
  assert_int_equal(w->ops->resolve(w->env, "four.test", 1, 5, on_answer, &a, &a.resolve),
                   WARP_INVALID);
  run_for(w, 5);
  assert_false(a.done);
}

static void test_cancelled_ones_never_answer(void **state) {
  world *w = *state;
  answer name = {0}, numeric = {0}, other = {0};
  ask(w, &name, "four.test", 1, 0);
  ask(w, &numeric, "127.0.0.1", 1, 0);
  w->ops->resolve_cancel(name.resolve);
  w->ops->resolve_cancel(numeric.resolve);
  ask(w, &other, "four.test", 1, 0);
  run_until(w, &other.done);
  run_for(w, 10);
  assert_false(name.done);
  assert_false(numeric.done);
}

static void test_cancelling_in_a_callback(void **state) {
  world *w = *state;
  answer first = {0}, second = {0}, own = {.cancel_itself = true};
  ask(w, &first, "127.0.0.1", 1, 0);
  ask(w, &second, "127.0.0.1", 1, 0);
  first.cancels = second.resolve;
  run_until(w, &first.done);
  run_for(w, 5);
  assert_false(second.done);
  ask(w, &own, "four.test", 1, 0);
  run_until(w, &own.done);
}

/* A dead resolver holds up neither the loop nor its closing. */
static void test_stuck_look_ups_hold_nothing_up(void **state) {
  world *w = *state;
  answer stuck = {0}, other = {0};
  ask(w, &stuck, "stuck.test", 1, 0);
  uv_sem_wait(&stuck_entered);
  ask(w, &other, "four.test", 1, 0);
  run_until(w, &other.done);
  w->ops->resolve_cancel(stuck.resolve);
  uv_run(&w->uv, UV_RUN_DEFAULT); /* nothing to wait for */

  warp_loop *loop = warp_loop_new();
  wg_env *env = warp_loop_env(loop);
  assert_int_equal(env->ops->resolve(env, "stuck.test", 1, 0, on_answer, &stuck, &stuck.resolve),
                   WARP_OK);
  uv_sem_wait(&stuck_entered);
  assert_int_equal(warp_loop_close(loop), WARP_STATE);
  env->ops->resolve_cancel(stuck.resolve);
  assert_int_equal(warp_loop_close(loop), WARP_OK);
  for (int i = 0; i < 2; i++) {
    uv_sem_post(&stuck_go_on);
  }
  for (int i = 0; i < 2; i++) {
    uv_sem_wait(&stuck_left); /* or another one would go on in its place */
  }
  run_for(w, 20); /* the workers come back to nobody */
  assert_false(stuck.done);
}

static void test_a_waiting_look_up_keeps_the_loop_running(void **state) {
  world *w = *state;
  answer stuck = {0};
  ask(w, &stuck, "stuck.test", 1, 0);
  uv_sem_wait(&stuck_entered);
  assert_int_not_equal(uv_run(&w->uv, UV_RUN_NOWAIT), 0);
  uv_sem_post(&stuck_go_on);
  uv_run(&w->uv, UV_RUN_DEFAULT);
  assert_true(stuck.done);
  assert_int_equal(stuck.status, WARP_NOT_FOUND);
}

static void test_there_is_a_limit(void **state) {
  world *w = *state;
  enum { MANY = 64 };
  answer many[MANY] = {0};
  size_t started = 0;
  int status = WARP_OK;
  while (status == WARP_OK && started < MANY) {
    many[started].w = w;
    status = w->ops->resolve(w->env, "stuck.test", 1, 0, on_answer, &many[started],
                             &many[started].resolve);
    started += status == WARP_OK;
  }
  assert_int_equal(status, WARP_LIMIT);
  for (size_t i = 0; i < started; i++) {
    uv_sem_wait(&stuck_entered);
    uv_sem_post(&stuck_go_on);
  }
  for (size_t i = 0; i < started; i++) {
    run_until(w, &many[i].done);
  }
}

static int make_semaphores(void **state) {
  (void)state;
  return uv_sem_init(&stuck_entered, 0) != 0 || uv_sem_init(&stuck_go_on, 0) != 0 ||
         uv_sem_init(&stuck_left, 0) != 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_numeric_addresses),
      TEST(test_names),
      TEST(test_invalid_questions),
      TEST(test_cancelled_ones_never_answer),
      TEST(test_cancelling_in_a_callback),
      TEST(test_stuck_look_ups_hold_nothing_up),
      TEST(test_a_waiting_look_up_keeps_the_loop_running),
      TEST(test_there_is_a_limit),
  };
  return cmocka_run_group_tests(tests, make_semaphores, NULL);
}
