#include "env/clock.h"

enum {
  DRIFT_PPM = 15,          /* of a clock that nobody disciplines: PHI of RFC 5905 section 11.3 */
  STEP_LEAST_US = 1000000, /* what time services slew instead of stepping is less */
  PARTS_PER_MILLION = 1000000,
};

static int64_t wall_epoch_us(wg_env *env) {
  return env->ops->wall_ms(env) * 1000 - (int64_t)wg_now_us(env);
}

void wg_clock_set(wg_env *env, wg_clock *clock, int64_t epoch_us, uint32_t uncertainty_us,
                  uint64_t measured_us) {
  *clock = (wg_clock){.known = true,
                      .epoch_us = epoch_us,
                      .wall_epoch_us = wall_epoch_us(env),
                      .uncertainty_us = uncertainty_us,
                      .measured_us = measured_us};
}

bool wg_clock_stale(wg_env *env, const wg_clock *clock) {
  int64_t moved_us = wall_epoch_us(env) - clock->wall_epoch_us;
  return clock->known && (moved_us > STEP_LEAST_US || moved_us < -STEP_LEAST_US);
}

int64_t wg_utc_us(wg_env *env, const wg_clock *clock, uint32_t *uncertainty_us) {
  bool known = clock != NULL && clock->known;
  uint64_t now_us = wg_now_us(env);
  if (uncertainty_us != NULL) {
    *uncertainty_us = UINT32_MAX;
    if (known && !wg_clock_stale(env, clock)) {
      uint64_t sum_us =
          clock->uncertainty_us + (now_us - clock->measured_us) * DRIFT_PPM / PARTS_PER_MILLION;
      *uncertainty_us = sum_us < UINT32_MAX ? (uint32_t)sum_us : UINT32_MAX;
    }
  }
  return known ? clock->epoch_us + (int64_t)now_us : env->ops->wall_ms(env) * 1000;
}

int64_t wg_utc_ms(wg_env *env, const wg_clock *clock) {
  return wg_utc_us(env, clock, NULL) / 1000;
}
