/*
 * The race of an initiator: which attempts there are, in which phases, and when each phase starts.
 *
 * Every combination of plugin, transport, route type and pair of endpoints becomes an attempt. What
 * the measured axes rule out never starts and says why. A phase that has something to try starts
 * one head start after the phase before it that had; when everything that was started has ended,
 * the next one starts at once. With `strict` that is the only way a next one starts, or the end of
 * the phase's share of the timeout.
 */
#include "connect/plugin_table.h"
#include "connect/session.h"

#include "base/addr.h"
#include <stdio.h>

/* Phases in the order in which they start. Punch and spray start together. */
enum { RACE_STEPS = 3 };
static const warp_phase steps[RACE_STEPS][2] = {
    {WARP_PHASE_DIRECT, WARP_PHASE_DIRECT},
    {WARP_PHASE_PUNCH, WARP_PHASE_SPRAY},
    {WARP_PHASE_RELAY, WARP_PHASE_RELAY},
};

/* Pinned plugins without a phase run with the first step. */
static int step_of(const warp_plugin *plugin) {
  for (int i = 0; i < RACE_STEPS; i++) {
    if (plugin->phase == steps[i][0] || plugin->phase == steps[i][1])
      return i;
  }
  return 0;
}

/* ---- building -------------------------------------------------------------------------------- */

/* A record may name an address that has become ours since: a node that ended, and we took its port.
 */
static bool is_our_own(const warp_combo *combo) {
  const warp_endpoint *self = combo->self, *peer = combo->peer;
  if (combo->route_type == WARP_NIC_BIND)
    return wg_addr_equal(&peer->nic, &self->nic);
  const warp_addr *theirs =
      combo->transport == WARP_TCP ? &peer->external_tcp : &peer->external_udp;
  const warp_addr *ours = combo->transport == WARP_TCP ? &self->external_tcp : &self->external_udp;
  return theirs->family != 0 && wg_addr_equal(theirs, ours);
}

/* Interface addresses are of use only where both sides are proven to share a network; a global
 * interface address without a NAT is already the external one. */
static int check_route(const wg_session *session, const warp_combo *combo, char *why, size_t room) {
  const wg_connect *connect = session->connect;
  if (is_our_own(combo)) {
    snprintf(why, room, "its address is ours by now: the node it belonged to is gone");
    return WARP_RULED_OUT;
  }
  if (combo->route_type == WARP_EXT_BIND)
    return WARP_OK; /* whose external address has to be known, the plugin knows */
  if (wg_may_contact(&connect->self, &session->peer_record, (warp_transport)combo->transport,
                     &combo->peer->nic) != WARP_OK) {
    snprintf(why, room, "not proven to be on the same network");
    return WARP_RULED_OUT;
  }
  if (wg_addr_equal(&combo->peer->nic, &combo->peer->external_udp) ||
      wg_addr_equal(&combo->peer->nic, &combo->peer->external_tcp)) {
    snprintf(why, room, "the interface address is the external one");
    return WARP_RULED_OUT;
  }
  return WARP_OK;
}

static int add_combo(wg_session *session, const warp_plugin *plugin, const warp_combo *combo,
                     size_t self_index, size_t peer_index) {
  warp_attempt *attempt =
      wg_attempt_add(session, plugin, (uint16_t)(session->attempt_count + 1), combo);
  if (attempt == NULL)
    return session->attempt_count == WG_ATTEMPTS_MAX ? WARP_OK : WARP_NOMEM;
  attempt->self_index = (uint8_t)self_index;
  attempt->peer_index = (uint8_t)peer_index;
  warp_report_row *row = &attempt->row;
  int status = check_route(session, &attempt->combo, row->detail, sizeof row->detail);
  if (status == WARP_OK)
    status = plugin->check == NULL
                 ? WARP_OK
                 : plugin->check(&attempt->combo, row->detail, sizeof row->detail);
  if (status != WARP_OK) {
    attempt->state = WG_ATTEMPT_RULED_OUT;
    row->status = status;
  }
  return WARP_OK;
}

/* All route types and transports of one plugin between two endpoints. */
static int add_pair(wg_session *session, const warp_plugin *plugin, size_t self_index,
                    size_t peer_index) {
  const wg_record *own = &session->connect->record;
  const wg_record *peer = &session->peer_record;
  unsigned transports = plugin->transports & session->options.transports;
  for (unsigned transport = WARP_TCP; transport <= WARP_UDP; transport++) {
    for (unsigned route = WARP_NIC_BIND; route <= WARP_EXT_BIND; route++) {
      if ((transports & transport) == 0 || (plugin->route_types & route) == 0)
        continue;
      warp_combo combo = {.family = own->endpoints[self_index].family,
                          .route_type = (uint8_t)route,
                          .transport = (uint8_t)transport,
                          .self = &own->endpoints[self_index],
                          .peer = &peer->endpoints[peer_index]};
      int status = add_combo(session, plugin, &combo, self_index, peer_index);
      if (status != WARP_OK)
        return status;
    }
  }
  return WARP_OK;
}

int wg_race_build(wg_session *session) {
  const wg_record *own = &session->connect->record;
  const wg_record *peer = &session->peer_record;
  for (size_t p = 0; wg_plugin_table[p] != NULL; p++) {
    const warp_plugin *plugin = wg_plugin_table[p];
    if (!wg_plugin_selected(session->plugins, plugin) ||
        (session->options.no_relay && plugin->phase == WARP_PHASE_RELAY))
      continue;
    for (size_t i = 0; i < own->endpoint_count; i++) {
      for (size_t j = 0; j < peer->endpoint_count; j++) {
        if (own->endpoints[i].family != peer->endpoints[j].family)
          continue;
        int status = add_pair(session, plugin, i, j);
        if (status != WARP_OK)
          return status;
      }
    }
  }
  return WARP_OK;
}

/* ---- running --------------------------------------------------------------------------------- */

static bool step_has_waiting(const wg_session *session, int step) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    const warp_attempt *attempt = session->attempts[i];
    if (attempt->state == WG_ATTEMPT_WAITING && step_of(attempt->plugin) == step)
      return true;
  }
  return false;
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

static void start_step(wg_session *session, int step) {
  size_t count = session->attempt_count;
  for (size_t i = 0; i < count && session->state == WG_SESSION_RACING; i++) {
    warp_attempt *attempt = session->attempts[i];
    if (attempt->state == WG_ATTEMPT_WAITING && step_of(attempt->plugin) == step)
      wg_attempt_run(attempt, NULL);
  }
  if (session->state != WG_SESSION_RACING)
    return;
  wg_env *env = session->connect->config.env;
  /* An attempt that failed at once has had wg_race_continue set the timer while the others of this
   * step were still to start. */
  wg_timer_stop(env, &session->phase_timer);
  if (next_step(session) >= 0)
    wg_timer_start(env, &session->phase_timer, any_running(session) ? step_time_us(session) : 0,
                   on_phase_timer, session);
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
  else
    wg_session_fail(session, WARP_ALL_FAILED, false);
}

void wg_race_start(wg_session *session) {
  wg_timer_start(session->connect->config.env, &session->phase_timer, 0, on_start, session);
}

bool wg_race_continue(wg_session *session) {
  if (any_running(session))
    return true;
  if (next_step(session) < 0)
    return false;
  /* Not from within the attempt that just ended: its plugin is still on the stack. */
  wg_timer_start(session->connect->config.env, &session->phase_timer, 0, on_phase_timer, session);
  return true;
}

bool wg_race_direct_alive(const wg_session *session) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    const warp_attempt *attempt = session->attempts[i];
    if (attempt->plugin->phase != WARP_PHASE_RELAY && wg_attempt_alive(attempt))
      return true;
  }
  return false;
}
