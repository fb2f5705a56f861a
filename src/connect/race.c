/*
 * The race of an initiator: when each phase of its attempts starts.
 *
 * A phase that has something to try starts one head start after the phase before it that had; when
 * everything that was started has ended, the next one starts at once. With `strict` that is the
 * only way a next one starts, or the end of the phase's share of the timeout.
 */
#include "connect/proof.h"

/* One for each phase, in the order in which they start. */
enum { RACE_STEPS = 4 };

/* Pinned plugins without a phase run with the first step. Punch and spray start together, unless
 * one phase has to follow the other. */
static int step_of(const wg_session *session, const warp_plugin *plugin) {
  switch (plugin->phase) {
  case WARP_PHASE_NONE:
  case WARP_PHASE_DIRECT:
    return 0;
  case WARP_PHASE_PUNCH:
    return 1;
  case WARP_PHASE_SPRAY:
    return session->options.strict ? 2 : 1;
  case WARP_PHASE_RELAY:
    break;
  }
  return 3;
}

/* ---- running --------------------------------------------------------------------------------- */

static warp_attempt *first_waiting(const wg_session *session, int step) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    warp_attempt *attempt = session->attempts[i];
    if (attempt->state == WG_ATTEMPT_WAITING && step_of(session, attempt->plugin) == step)
      return attempt;
  }
  return NULL;
}

static bool step_has_waiting(const wg_session *session, int step) {
  return first_waiting(session, step) != NULL;
}

static int next_step(const wg_session *session) {
  for (int step = 0; step < RACE_STEPS; step++) {
    if (step_has_waiting(session, step))
      return step;
  }
  return -1;
}

static bool any_running(const wg_session *session) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    if (session->attempts[i]->state == WG_ATTEMPT_RUNNING)
      return true;
  }
  return false;
}

/* An attempt that asks for a proof first gets no head start: the peer may be elsewhere, and then
 * nobody should have waited. Nor does one that brings no pipe, as asking for the peer's record. */
static bool any_leading(const wg_session *session) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    const warp_attempt *attempt = session->attempts[i];
    if (attempt->state == WG_ATTEMPT_RUNNING &&
        (session->options.strict ||
         (wg_plugin_connects(attempt->plugin) && !wg_proof_pending(attempt))))
      return true;
  }
  return false;
}

static void on_phase_timer(void *arg);

/* Until the next step: a head start, or in strict order this step's share of what is left of the
 * timeout. */
static uint64_t step_time_us(const wg_session *session) {
  if (!session->options.strict)
    return (uint64_t)session->options.head_start_ms * 1000;
  uint64_t now = wg_now_us(session->connect->config.env);
  uint64_t left = session->deadline.deadline_us > now ? session->deadline.deadline_us - now : 0;
  unsigned waiting = 1;
  for (int step = 0; step < RACE_STEPS; step++)
    waiting += step_has_waiting(session, step) ? 1 : 0;
  return left / waiting;
}

static bool runner_works(const wg_session *session) {
  return session->runner != NULL && session->runner->state == WG_ATTEMPT_RUNNING &&
         step_has_waiting(session, session->step);
}

/* The plugin that runs a phase's attempts, where there is one, gets an attempt of its own that is
 * in no report. It runs a step once; what it leaves is started without it. */
static void run_by_plugin(wg_session *session) {
  const warp_plugin *plugin = wg_plugin_find(session->connect->config.plugins, "fan_out");
  const warp_attempt *first = first_waiting(session, session->step);
  if (plugin == NULL || first == NULL)
    return;
  session->runner = wg_attempt_new(session, plugin, 0, &first->combo);
  if (session->runner != NULL)
    wg_attempt_run(session->runner, NULL);
}

static void run_all(wg_session *session) {
  size_t count = session->attempt_count;
  for (size_t i = 0; i < count && session->state == WG_SESSION_RACING; i++) {
    warp_attempt *attempt = session->attempts[i];
    if (attempt->state == WG_ATTEMPT_WAITING && step_of(session, attempt->plugin) == session->step)
      wg_attempt_run(attempt, NULL);
  }
}

static void end_runner(wg_session *session) {
  if (session->runner == NULL)
    return;
  wg_attempt_end(session->runner, WARP_CANCELED, NULL);
  wg_attempt_free(session->runner);
  session->runner = NULL;
}

static void plan_next(wg_session *session) {
  wg_env *env = session->connect->config.env;
  /* An attempt that failed at once has had wg_race_continue set the timer while the others of this
   * step were still to start. */
  wg_timer_stop(env, &session->phase_timer);
  if (next_step(session) >= 0)
    wg_timer_start(env, &session->phase_timer,
                   any_leading(session) || runner_works(session) ? step_time_us(session) : 0,
                   on_phase_timer, session);
}

/* From a timer, never from within an attempt. */
static void start_step(wg_session *session, int step) {
  bool again = session->runner != NULL && session->step == step;
  session->step = step;
  if (!again) {
    end_runner(session);
    run_by_plugin(session);
  }
  if (session->state == WG_SESSION_RACING && !(runner_works(session) && !again))
    run_all(session);
  if (session->state == WG_SESSION_RACING)
    plan_next(session);
}

static void runner_done(void *arg) {
  wg_attempt_end(arg, WARP_CANCELED, NULL);
}

bool warp_attempt_start_next(warp_attempt *attempt) {
  if (attempt == NULL)
    return false;
  wg_session *session = attempt->session;
  if (attempt != session->runner || attempt->state != WG_ATTEMPT_RUNNING ||
      session->state != WG_SESSION_RACING)
    return false;
  warp_attempt *next = first_waiting(session, session->step);
  if (next != NULL) {
    wg_attempt_run(next, NULL);
    return true;
  }
  /* Its work is done, but it is on the stack. */
  wg_timer_start(session->connect->config.env, &attempt->deadline, 0, runner_done, attempt);
  return false;
}

/* In strict order a phase whose share is used up makes room for the next. */
static void end_running(wg_session *session) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    warp_attempt *attempt = session->attempts[i];
    if (attempt->state == WG_ATTEMPT_RUNNING)
      warp_attempt_fail(attempt, WARP_TIMEOUT, "its share of the time is used up; last: %.80s",
                        attempt->row.detail);
  }
}

static void on_phase_timer(void *arg) {
  wg_session *session = arg;
  if (session->options.strict && any_running(session)) {
    end_running(session); /* the last one to end starts the next phase */
    return;
  }
  int step = next_step(session);
  if (step >= 0)
    start_step(session, step);
}

static void on_start(void *arg) {
  wg_session *session = arg;
  int step = next_step(session);
  if (step >= 0)
    start_step(session, step);
  else if (session->connect->unsettled == 0)
    wg_session_fail(session, WARP_ALL_FAILED, false);
}

void wg_race_start(wg_session *session) {
  end_runner(session);
  session->tried_us = wg_now_us(session->connect->config.env);
  wg_timer_start(session->connect->config.env, &session->phase_timer, 0, on_start, session);
}

bool wg_race_continue(wg_session *session) {
  if (any_running(session) || runner_works(session))
    return true;
  if (next_step(session) < 0)
    return false;
  /* Not from within the attempt that just ended: its plugin is still on the stack. */
  wg_timer_start(session->connect->config.env, &session->phase_timer, 0, on_phase_timer, session);
  return true;
}

/* What a newer record allows in the steps that have begun starts now; the others keep their time.
 */
static void on_renewed(void *arg) {
  wg_session *session = arg;
  wg_env *env = session->connect->config.env;
  uint64_t now = wg_now_us(env), due = session->step_due_us;
  int step = next_step(session);
  if (step >= 0 && (step <= session->step || !any_running(session)))
    start_step(session, step);
  else if (step >= 0 && due != 0)
    wg_timer_start(env, &session->phase_timer, due > now ? due - now : 0, on_phase_timer, session);
  else if (step >= 0 || any_running(session))
    plan_next(session);
  else
    wg_session_attempt_ended(session);
}

void wg_race_renewed(wg_session *session) {
  const wg_timer *timer = &session->phase_timer;
  if (!timer->running)
    session->step_due_us = 0;
  else if (timer->cb == on_phase_timer)
    session->step_due_us = timer->deadline_us;
  wg_timer_start(session->connect->config.env, &session->phase_timer, 0, on_renewed, session);
}

bool wg_race_direct_alive(const wg_session *session) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    const warp_attempt *attempt = session->attempts[i];
    if (attempt->plugin->phase != WARP_PHASE_RELAY && wg_plugin_connects(attempt->plugin) &&
        wg_attempt_alive(attempt))
      return true;
  }
  return false;
}
