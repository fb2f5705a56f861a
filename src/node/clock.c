#include "node/clock.h"

#include "base/addr.h"

#include <stdlib.h>
#include <string.h>

enum {
  TICK_S = 30, /* how soon a machine that woke up is found to be wrong */
  MICRO = 1000000,
};

/* A round looks the names up, then asks; between rounds the keeper is idle. */
typedef enum keeper_state { IDLE, RESOLVING, ASKING } keeper_state;

typedef struct keeper_name {
  wg_timekeeper *keeper;
  wg_resolve *resolve;
  size_t addr_count;
  warp_addr addrs[WG_RESOLVE_MAX];
} keeper_name;

struct wg_timekeeper {
  wg_timekeeper_options options;
  keeper_state state;
  bool first;           /* the round that a start waits for */
  wg_clock undisturbed; /* whether either clock jumps during the round */
  uint64_t begun_us, next_us;
  size_t name_count, lookups_pending;
  keeper_name names[WG_CLOCK_SERVERS];
  size_t server_count, barred_count;
  warp_addr servers[WG_CLOCK_SERVERS], barred[WG_CLOCK_SERVERS];
  wg_udp *udp4, *udp6;
  wg_clock_sync sync;
  wg_timer timer, tick;
};

static void ask(wg_timekeeper *keeper);

static uint64_t now_us(const wg_timekeeper *keeper) {
  return wg_now_us(keeper->options.env);
}

/* ---- the end of a round ---------------------------------------------------------------------- */

static void close_sockets(wg_timekeeper *keeper) {
  const wg_env_ops *ops = keeper->options.env->ops;
  if (keeper->udp4 != NULL)
    ops->udp_close(keeper->udp4);
  if (keeper->udp6 != NULL)
    ops->udp_close(keeper->udp6);
  keeper->udp4 = keeper->udp6 = NULL;
}

static void cancel_lookups(wg_timekeeper *keeper) {
  for (size_t i = 0; i < WG_CLOCK_SERVERS; i++) {
    if (keeper->names[i].resolve != NULL)
      keeper->options.env->ops->resolve_cancel(keeper->names[i].resolve);
    keeper->names[i].resolve = NULL;
  }
}

/* The servers that never want to hear of us again; they are few or the configuration is wrong. */
static void remember_barred(wg_timekeeper *keeper) {
  for (size_t i = 0; i < keeper->server_count; i++) {
    if (keeper->sync.servers[i].answer == WG_CLOCK_BARRED &&
        keeper->barred_count < WG_CLOCK_SERVERS)
      keeper->barred[keeper->barred_count++] = keeper->servers[i];
  }
}

static unsigned pause_s(const wg_timekeeper *keeper, int status) {
  for (size_t i = 0; i < keeper->server_count; i++) {
    if (keeper->sync.servers[i].answer == WG_CLOCK_BUSY)
      return WG_CLOCK_AGAIN_BUSY_S;
  }
  return status == WARP_OK ? WG_CLOCK_AGAIN_S : WG_CLOCK_RETRY_S;
}

static void finish(wg_timekeeper *keeper, wg_clock_result result) {
  wg_timekeeper_options *options = &keeper->options;
  wg_timer_stop(options->env, &keeper->timer);
  cancel_lookups(keeper);
  close_sockets(keeper);
  keeper->state = IDLE;
  keeper->first = false;
  remember_barred(keeper);
  if (result.status == WARP_OK && wg_clock_stale(options->env, &keeper->undisturbed))
    result.status = WARP_AGAIN;
  keeper->next_us = now_us(keeper) + (uint64_t)pause_s(keeper, result.status) * MICRO;
  if (result.status == WARP_OK)
    wg_clock_set(options->env, options->clock, result.epoch_us, result.uncertainty_us,
                 result.measured_us);
  options->cb(options->arg, &result, keeper->server_count);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void pump(void *arg) {
  wg_timekeeper *keeper = arg;
  wg_env *env = keeper->options.env;
  size_t server;
  const uint8_t *bytes;
  while (wg_clock_sync_output(&keeper->sync, now_us(keeper), &server, &bytes)) {
    const warp_addr *to = &keeper->servers[server];
    (void)env->ops->udp_send(to->family == WARP_IP4 ? keeper->udp4 : keeper->udp6, to, bytes,
                             WG_NTP_LEN);
  }
  if (keeper->sync.done) {
    finish(keeper, keeper->sync.result);
    return;
  }
  uint64_t now = now_us(keeper), deadline = wg_clock_sync_deadline(&keeper->sync);
  wg_timer_start(env, &keeper->timer, deadline > now ? deadline - now : 0, pump, keeper);
}

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  wg_timekeeper *keeper = arg;
  for (size_t i = 0; i < keeper->server_count; i++) {
    if (!wg_addr_equal(&keeper->servers[i], from))
      continue;
    if (wg_clock_sync_input(&keeper->sync, i, data, len, now_us(keeper)))
      pump(keeper);
    return;
  }
}

static bool usable(const wg_timekeeper *keeper, const warp_addr *addr) {
  if (addr->family == WARP_IP4 ? keeper->udp4 == NULL : keeper->udp6 == NULL)
    return false;
  for (size_t i = 0; i < keeper->barred_count; i++) {
    if (wg_addr_equal(&keeper->barred[i], addr))
      return false;
  }
  for (size_t i = 0; i < keeper->server_count; i++) {
    if (wg_addr_equal(&keeper->servers[i], addr)) /* two names, but one vote */
      return false;
  }
  return true;
}

/* Which addresses are asked: one of each name, so that a server has one vote, but all of a name
 * that is alone, because then it is a pool's or there is nobody to outvote. */
static void choose(wg_timekeeper *keeper) {
  size_t most = keeper->name_count == 1 ? WG_CLOCK_SERVERS : 1;
  keeper->server_count = 0;
  for (size_t i = 0; i < keeper->name_count; i++) {
    const keeper_name *name = &keeper->names[i];
    size_t taken = 0;
    for (size_t k = 0; k < name->addr_count && taken < most; k++) {
      if (keeper->server_count == WG_CLOCK_SERVERS || !usable(keeper, &name->addrs[k]))
        continue;
      keeper->servers[keeper->server_count++] = name->addrs[k];
      taken++;
    }
  }
}

static wg_udp *open_socket(wg_timekeeper *keeper, const warp_addr *local) {
  wg_udp *udp = NULL;
  wg_env *env = keeper->options.env;
  if (local->family == 0 || env->ops->udp_open(env, local, 0, on_datagram, keeper, &udp) != WARP_OK)
    return NULL;
  return udp;
}

static int draw(void *arg, void *out, size_t len) {
  wg_env *env = arg;
  return env->ops->random(env, out, len);
}

/* All names are looked up, or it is time to go on with those that are. */
static void ask(wg_timekeeper *keeper) {
  const wg_timekeeper_options *options = &keeper->options;
  cancel_lookups(keeper);
  keeper->udp4 = open_socket(keeper, &options->local4);
  keeper->udp6 = open_socket(keeper, &options->local6);
  choose(keeper);
  uint64_t spent_ms = (now_us(keeper) - keeper->begun_us) / 1000;
  wg_clock_options how = {.server_count = keeper->server_count,
                          .samples = keeper->first ? 2 : WG_CLOCK_SAMPLES_MAX,
                          .spacing_ms = keeper->first ? 0 : WG_CLOCK_SPACING_MS,
                          .timeout_ms = options->timeout_ms,
                          .random = draw,
                          .random_arg = options->env};
  if (keeper->first)
    how.timeout_ms -= (uint32_t)(spent_ms < how.timeout_ms ? spent_ms : how.timeout_ms);
  else
    how.timeout_ms += WG_CLOCK_SAMPLES_MAX * WG_CLOCK_SPACING_MS;
  keeper->state = ASKING;
  if (wg_clock_sync_start(&keeper->sync, &how, now_us(keeper)) == WARP_OK)
    pump(keeper);
  else
    finish(keeper, (wg_clock_result){.status = WARP_NO_SERVER});
}

/* ---- names ----------------------------------------------------------------------------------- */

static void on_time_for_names(void *arg) {
  ask(arg);
}

static void on_resolved(void *arg, int status, const warp_addr *addrs, size_t count) {
  keeper_name *name = arg;
  wg_timekeeper *keeper = name->keeper;
  name->resolve = NULL;
  for (size_t i = 0; status == WARP_OK && i < count && i < WG_RESOLVE_MAX; i++)
    name->addrs[name->addr_count++] = addrs[i];
  if (--keeper->lookups_pending == 0)
    ask(keeper);
}

static bool look_up(wg_timekeeper *keeper, keeper_name *name, const char *text) {
  wg_env *env = keeper->options.env;
  wg_server_name parsed;
  *name = (keeper_name){.keeper = keeper};
  if (wg_server_name_parse_usual(text, WG_NTP_PORT, &parsed) != WARP_OK) {
    wg_logf(keeper->options.log, WARP_LOG_WARN,
            "NTP server \"%.80s\" is not written as host or host:port", text);
    return false;
  }
  return env->ops->resolve(env, parsed.host, parsed.port, 0, on_resolved, name, &name->resolve) ==
         WARP_OK;
}

static void begin(void *arg) {
  wg_timekeeper *keeper = arg;
  const wg_timekeeper_options *options = &keeper->options;
  keeper->state = RESOLVING;
  keeper->begun_us = now_us(keeper);
  wg_clock_set(options->env, &keeper->undisturbed, 0, 0, keeper->begun_us);
  keeper->name_count = keeper->lookups_pending = 0;
  while (keeper->name_count < WG_CLOCK_SERVERS && options->servers[keeper->name_count] != NULL) {
    size_t i = keeper->name_count++;
    if (look_up(keeper, &keeper->names[i], options->servers[i]))
      keeper->lookups_pending++;
  }
  if (keeper->lookups_pending == 0)
    ask(keeper);
  else
    wg_timer_start(options->env, &keeper->timer, (uint64_t)options->timeout_ms * 1000 / 2,
                   on_time_for_names, keeper);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void on_tick(void *arg) {
  wg_timekeeper *keeper = arg;
  const wg_timekeeper_options *options = &keeper->options;
  wg_timer_start(options->env, &keeper->tick, (uint64_t)TICK_S * MICRO, on_tick, keeper);
  bool stale = wg_clock_stale(options->env, options->clock);
  bool rested =
      now_us(keeper) + (uint64_t)(WG_CLOCK_AGAIN_S - WG_CLOCK_RETRY_S) * MICRO >= keeper->next_us;
  if (keeper->state == IDLE && (now_us(keeper) >= keeper->next_us || (stale && rested)))
    begin(keeper);
}

int wg_timekeeper_open(const wg_timekeeper_options *options, wg_timekeeper **out) {
  wg_timekeeper *keeper = calloc(1, sizeof *keeper);
  if (keeper == NULL)
    return WARP_NOMEM;
  keeper->options = *options;
  keeper->first = true;
  wg_timer_start(options->env, &keeper->timer, 0, begin, keeper);
  *out = keeper;
  return WARP_OK;
}

void wg_timekeeper_move(wg_timekeeper *keeper, const warp_addr *local4, const warp_addr *local6) {
  keeper->options.local4 = local4 != NULL ? *local4 : (warp_addr){0};
  keeper->options.local6 = local6 != NULL ? *local6 : (warp_addr){0};
}

void wg_timekeeper_go_on(wg_timekeeper *keeper) {
  wg_timer_start(keeper->options.env, &keeper->tick, (uint64_t)TICK_S * MICRO, on_tick, keeper);
}

void wg_timekeeper_close(wg_timekeeper *keeper) {
  if (keeper == NULL)
    return;
  wg_timer_stop(keeper->options.env, &keeper->timer);
  wg_timer_stop(keeper->options.env, &keeper->tick);
  cancel_lookups(keeper);
  close_sockets(keeper);
  free(keeper);
}
