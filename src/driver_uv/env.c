#include "driver_uv/internal.h"

#include <stdlib.h>

static uint64_t now_us(wg_env *env) {
  (void)env;
  return uv_hrtime() / 1000;
}

static int64_t wall_ms(wg_env *env) {
  uv_timeval64_t now;
  if (uv_gettimeofday(&now) != 0) {
    now = (uv_timeval64_t){0};
  }
  return now.tv_sec * 1000 + now.tv_usec / 1000 + wg_uv_env_of(env)->wall_offset_ms;
}

static int random_bytes(wg_env *env, void *out, size_t len) {
  (void)env;
  return uv_random(NULL, NULL, out, len, 0, NULL) == 0 ? WARP_OK : WARP_IO;
}

void wg_uv_env_set_wall_offset(wg_env *env, int64_t wall_offset_ms) {
  wg_uv_env_of(env)->wall_offset_ms = wall_offset_ms;
}

void wg_uv_env_set_gateway(wg_env *env, const warp_addr *gateway) {
  wg_uv_env_of(env)->gateway = *gateway;
}

/* ---- timers ---------------------------------------------------------------------------------- */

enum {
  HELD_UP_US = 50000,      /* so much too late is no ordinary turn of a busy machine */
  HEARING_MAX_US = 250000, /* a long round trip */
};

static void arm(wg_uv_env *env, unsigned floor_ms);

/* This program, or the whole machine, stood still until now. libuv runs timers before it looks at
 * sockets, so that every request under way would be given up with its answer waiting. What became
 * due since the loop was last seen alive is spread over as much time again, or a round trip: in its
 * order, and with room in between for what one step of a conversation leads to. Once only: a
 * program that turns its loop ten times a second is late each time. What was to be done at once is
 * due at the time returned: a pipe is open before anything arrives at it. */
static uint64_t hear_first(wg_uv_env *env, uint64_t late_us, uint64_t now) {
  wg_timers *timers = &env->base.timers;
  uint64_t hearing_us = late_us < HEARING_MAX_US ? late_us : HEARING_MAX_US;
  uint64_t away_us = now - env->alive_us;
  uint64_t at_once_us = now + 1;
  env->heard_us = at_once_us + 1 + hearing_us;
  while (timers->root != NULL && timers->root->deadline_us <= now) {
    wg_timer *timer = timers->root;
    uint64_t since_us = timer->deadline_us > env->alive_us ? timer->deadline_us - env->alive_us : 0;
    uint64_t heard_us = at_once_us + 1 + hearing_us * since_us / away_us;
    wg_timers_start(timers, timer, timer->at_once ? at_once_us : heard_us, timer->cb, timer->arg);
  }
  return at_once_us;
}

static void on_timer(uv_timer_t *timer) {
  wg_uv_env *env = timer->data;
  uint64_t now = now_us(&env->base), due_us = env->armed_us;
  env->armed_us = UINT64_MAX;
  if (due_us > env->heard_us && now > due_us && now - due_us >= HELD_UP_US) {
    now = hear_first(env, now - due_us, now);
  }
  env->firing = true;
  wg_uv_turn_begin(env);
  wg_timers_run(&env->base.timers, now);
  wg_uv_turn_end(env);
  env->firing = false;
  /* libuv runs what is due within one pass, so that a timer of 0 ms that comes back for ever would
   * keep it from ever looking at a socket again. */
  arm(env, 1);
}

static void arm(wg_uv_env *env, unsigned floor_ms) {
  uint64_t next_us = wg_timers_next(&env->base.timers);
  if (next_us == env->armed_us || env->settled) {
    return;
  }
  env->armed_us = next_us;
  if (next_us == UINT64_MAX) {
    uv_timer_stop(&env->timer);
    return;
  }
  uint64_t now = now_us(&env->base);
  env->alive_us = next_us < now ? next_us : now;
  uint64_t delay_ms = next_us <= now ? 0 : (next_us - now - 1) / 1000 + 1;
  uv_update_time(env->loop); /* libuv counts from the start of its iteration, we from now */
  uv_timer_start(&env->timer, on_timer, delay_ms < floor_ms ? floor_ms : delay_ms, 0);
}

static void timers_changed(wg_env *base) {
  wg_uv_env *env = wg_uv_env_of(base);
  if (!env->firing) {
    arm(env, 0);
  }
}

/* ---- life ------------------------------------------------------------------------------------ */

static const wg_env_ops ops = {
    .now_us = now_us,
    .wall_ms = wall_ms,
    .random = random_bytes,
    .udp_open = wg_uv_udp_open,
    .udp_send = wg_uv_udp_send,
    .udp_local = wg_uv_udp_local,
    .udp_close = wg_uv_udp_close,
    .tcp_connect = wg_uv_tcp_connect,
    .tcp_set_handlers = wg_uv_tcp_set_handlers,
    .tcp_send = wg_uv_tcp_send,
    .tcp_queued = wg_uv_tcp_queued,
    .tcp_shutdown = wg_uv_tcp_shutdown,
    .tcp_pause = wg_uv_tcp_pause,
    .tcp_addrs = wg_uv_tcp_addrs,
    .tcp_close = wg_uv_tcp_close,
    .tcp_reset = wg_uv_tcp_reset,
    .tcp_listen = wg_uv_tcp_listen,
    .tcp_listener_local = wg_uv_tcp_listener_local,
    .tcp_listener_close = wg_uv_tcp_listener_close,
    .udp_adopt = wg_uv_udp_adopt,
    .tcp_adopt = wg_uv_tcp_adopt,
    .tcp_listener_adopt = wg_uv_tcp_listener_adopt,
    .udp_release = wg_uv_udp_release,
    .tcp_release = wg_uv_tcp_release,
    .tcp_listener_release = wg_uv_tcp_listener_release,
    .interfaces = wg_uv_interfaces,
    .macs = wg_uv_macs,
    .netwatch_open = wg_uv_netwatch_open,
    .netwatch_close = wg_uv_netwatch_close,
    .resolve = wg_uv_resolve,
    .resolve_cancel = wg_uv_resolve_cancel,
    .broker_open = wg_uv_broker_open,
    .broker_publish = wg_uv_broker_publish,
    .broker_renew = wg_uv_broker_renew,
    .broker_close = wg_uv_broker_close,
    .file_read = wg_uv_file_read,
    .file_load = wg_uv_file_load,
    .file_write = wg_uv_file_write,
    .file_create = wg_uv_file_create,
    .portmap_open = wg_uv_portmap_open,
    .portmap_close = wg_uv_portmap_close,
    .modules_load = wg_uv_modules_load,
    .machine_id = wg_uv_machine_id,
};

int wg_uv_env_new(struct uv_loop_s *loop, wg_env **out) {
  wg_uv_env *env = calloc(1, sizeof *env);
  if (env == NULL) {
    return WARP_NOMEM;
  }
  env->loop = loop;
  env->base = (wg_env){.ops = &ops, .timers_changed = timers_changed};
  env->armed_us = UINT64_MAX;
  uint64_t seed;
  int status = random_bytes(&env->base, &seed, sizeof seed);
  if (status == WARP_OK) {
    wg_rng_seed(&env->jitter, seed, "driver");
    status = wg_uv_workers_open(env);
  }
  if (status != WARP_OK) {
    free(env);
    return status;
  }
  uv_timer_init(loop, &env->timer); /* cannot fail */
  env->timer.data = env;
  env->handles++;
  *out = &env->base;
  return WARP_OK;
}

static void on_handle_closed(uv_handle_t *handle) {
  wg_uv_env_handle_closed(handle->data);
}

static void settle(wg_uv_env *env) {
  if (!env->closing || env->settled || env->lingering > 0) {
    return;
  }
  env->settled = true;
  wg_uv_workers_close(env);
  uv_close((uv_handle_t *)&env->workers_ready, on_handle_closed);
  uv_close((uv_handle_t *)&env->timer, on_handle_closed);
}

void wg_uv_env_handle_closed(wg_uv_env *env) {
  env->handles--;
  if (!env->settled || env->handles > 0) {
    return;
  }
  void (*done)(void *arg) = env->on_closed;
  void *arg = env->closed_arg;
  free(env);
  if (done != NULL) {
    done(arg);
  }
}

void wg_uv_env_lingered(wg_uv_env *env) {
  env->lingering--;
  settle(env);
}

int wg_uv_env_close(wg_env *base, void (*done)(void *arg), void *arg) {
  wg_uv_env *env = wg_uv_env_of(base);
  /* A node that starts and a pipe that is about to connect have no handle yet, but a timer. What
   * only lingers has one too. */
  if (env->open > 0 || env->closing || base->timers.running > env->lingering) {
    return WARP_STATE;
  }
  env->closing = true;
  env->on_closed = done;
  env->closed_arg = arg;
  settle(env);
  return WARP_OK;
}
