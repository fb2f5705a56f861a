#include "env/env.h"

uint64_t wg_now_us(wg_env *env) {
  return env->ops->now_us(env);
}

static void tell_driver(wg_env *env) {
  if (env->timers_changed != NULL) {
    env->timers_changed(env);
  }
}

void wg_timer_start(wg_env *env, wg_timer *timer, uint64_t delay_us, wg_timer_cb cb, void *arg) {
  uint64_t now_us = wg_now_us(env);
  uint64_t deadline_us = delay_us > UINT64_MAX - now_us ? UINT64_MAX : now_us + delay_us;
  wg_timers_start(&env->timers, timer, deadline_us, cb, arg);
  timer->at_once = delay_us == 0;
  tell_driver(env);
}

void wg_timer_stop(wg_env *env, wg_timer *timer) {
  if (!timer->running) {
    return;
  }
  wg_timers_stop(&env->timers, timer);
  tell_driver(env);
}
