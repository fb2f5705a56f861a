/* What the tests of the libuv driver share: a loop, its environment, and waiting with a limit. */
#ifndef TEST_DRIVER_UV_HARNESS_H
#define TEST_DRIVER_UV_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "base/addr.h"
#include "driver_uv/driver.h"
#include "env/loop.h"

enum { HARNESS_LIMIT_MS = 60000 }; /* ends what hangs, and judges no speed */

typedef struct world {
  uv_loop_t uv;
  warp_loop *loop;
  wg_env *env;
  const wg_env_ops *ops;
} world;

static inline void harness_expire(void *arg) {
  *(bool *)arg = true;
}

static inline int world_up(void **state) {
  world *w = calloc(1, sizeof *w);
  assert_non_null(w);
  assert_int_equal(uv_loop_init(&w->uv), 0);
  w->loop = warp_loop_wrap(&w->uv);
  assert_non_null(w->loop);
  w->env = warp_loop_env(w->loop);
  w->ops = w->env->ops;
  *state = w;
  return 0;
}

/* Everything must have been closed, and libuv must agree. */
static inline int world_down(void **state) {
  world *w = *state;
  assert_int_equal(warp_loop_close(w->loop), WARP_OK);
  assert_int_equal(uv_run(&w->uv, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(&w->uv), 0);
  free(w);
  return 0;
}

/* Before the loop waits: a flag may have been set by a timer just now. */
static inline void harness_before_waiting(uv_prepare_t *prepare) {
  const bool *const *flags = prepare->data;
  if (*flags[0] || *flags[1]) {
    uv_stop(prepare->loop);
  }
}

/* Runs the loop until one of the flags is set. */
static inline void harness_run(world *w, const bool *flag, const bool *over) {
  const bool *flags[] = {flag, over};
  uv_prepare_t prepare;
  uv_prepare_init(&w->uv, &prepare);
  prepare.data = flags;
  uv_prepare_start(&prepare, harness_before_waiting);
  while (!*flag && !*over) {
    uv_run(&w->uv, UV_RUN_DEFAULT);
  }
  uv_close((uv_handle_t *)&prepare, NULL);
  uv_run(&w->uv, UV_RUN_NOWAIT); /* `prepare` is on the stack */
}

/* Runs the loop until `*flag`; fails the test after the limit. */
static inline void run_until(world *w, const bool *flag) {
  wg_timer limit = {0};
  bool over = false;
  wg_timer_start(w->env, &limit, HARNESS_LIMIT_MS * 1000ULL, harness_expire, &over);
  harness_run(w, flag, &over);
  wg_timer_stop(w->env, &limit);
  assert_true(*flag);
}

/* Lets the loop run for a while, for things that must not happen. */
static inline void run_for(world *w, uint64_t delay_ms) {
  wg_timer timer = {0};
  bool over = false;
  wg_timer_start(w->env, &timer, delay_ms * 1000, harness_expire, &over);
  harness_run(w, &over, &over);
}

static inline void harness_ignore(void *arg, const uint8_t *data, size_t len,
                                  const warp_addr *from) {
  (void)arg;
  (void)data;
  (void)len;
  (void)from;
}

/* Containers often have no ::1. */
static inline void skip_without_ipv6(world *w) {
  warp_addr local = wg_addr_loopback(WARP_IP6, 0);
  wg_udp *udp;
  if (w->ops->udp_open(w->env, &local, 0, harness_ignore, NULL, &udp) != WARP_OK) {
    skip();
  }
  w->ops->udp_close(udp);
}

#endif
