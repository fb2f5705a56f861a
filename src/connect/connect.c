/* The switchboard: sessions by id, and strangers. */
#include "connect/session.h"

#include "pipe/tls.h"
#include <stdlib.h>
#include <string.h>

/* ---- life ------------------------------------------------------------------------------------ */

int wg_connect_new(const wg_connect_config *config, wg_connect **out) {
  wg_connect *connect = calloc(1, sizeof *connect);
  if (connect == NULL)
    return WARP_NOMEM;
  connect->config = *config;
  if (connect->config.log == NULL)
    connect->config.log = &config->env->log;
  if (connect->config.plugins == NULL)
    connect->config.plugins = wg_plugin_table;
  wg_unheard_start(&connect->unheard, wg_settings_limits(&config->settings).probes_per_s,
                   wg_now_us(config->env));
  connect->self =
      (wg_contact_self){.record = &connect->record, .loopback_only = config->loopback_only};
  memcpy(connect->self.machine, config->machine, sizeof connect->self.machine);
  wg_list_init(&connect->sessions);
  wg_list_init(&connect->inbound);
  wg_list_init(&connect->dead);
  wg_list_init(&connect->explanations);
  *out = connect;
  return WARP_OK;
}

static void end_session(wg_session *session) {
  if (session->state != WG_SESSION_CONNECTED) {
    wg_session_fail(session, WARP_CANCELED, true);
    return;
  }
  wg_session_move(session, WG_SESSION_DEAD);
  wg_pipe_kill(session->pipe,
               WARP_CANCELED); /* its last words may go through what the plugin holds */
  for (size_t i = 0; i < session->attempt_count; i++)
    wg_attempt_release(session->attempts[i]);
  wg_connect_bury(session->connect, session);
}

static void end_all(wg_connect *connect) {
  while (!wg_list_empty(&connect->inbound))
    wg_inbound_drop(WG_CONTAINER(connect->inbound.next, wg_candidate, link));
  while (!wg_list_empty(&connect->sessions))
    end_session(WG_CONTAINER(connect->sessions.next, wg_session, link));
  wg_explain_cancel(connect);
}

static void reap(void *arg) {
  wg_connect *connect = arg;
  if (connect->closing) {
    end_all(connect); /* what a plugin's stop was inside of */
    wg_timer_stop(connect->config.env, &connect->reaper);
  }
  while (!wg_list_empty(&connect->dead)) {
    wg_session *session = WG_CONTAINER(connect->dead.next, wg_session, link);
    wg_list_remove(&session->link);
    wg_session_free(session);
  }
  if (!connect->closing)
    return;
  void (*closed)(void *) = connect->closed;
  void *closed_arg = connect->closed_arg;
  wg_tls_context_free(connect->trust);
  free(connect);
  if (closed != NULL)
    closed(closed_arg);
}

void wg_connect_remember(wg_connect *connect, const warp_key *peer, const wg_session_id *id) {
  connect->ended[connect->ended_next++ % WG_ENDED_MAX] = (wg_ended){.peer = *peer, .id = *id};
}

void wg_connect_bury(wg_connect *connect, wg_session *session) {
  wg_list_remove(&session->link);
  wg_list_push(&connect->dead, &session->link);
  if (session->role == WARP_RESPONDER)
    wg_connect_remember(connect, &session->peer, &session->id);
  wg_timer_start(connect->config.env, &connect->reaper, 0, reap, connect);
}

void wg_connect_close(wg_connect *connect, void (*done)(void *arg), void *arg) {
  connect->closing = true;
  connect->closed = done;
  connect->closed_arg = arg;
  if (connect->stopping == 0)
    end_all(connect);
  wg_timer_start(connect->config.env, &connect->reaper, 0, reap, connect);
}

void wg_connect_set_record(wg_connect *connect, const wg_record *record, const uint8_t *bytes,
                           size_t len) {
  bool moved = record->endpoint_count != connect->record.endpoint_count;
  for (size_t i = 0; i < record->endpoint_count && !moved; i++)
    moved = !wg_endpoint_same(&record->endpoints[i], &connect->record.endpoints[i]);
  if (moved)
    connect->moved_sequence = record->sequence;
  connect->record = *record;
  memcpy(connect->record_bytes, bytes, len);
  connect->record_len = len;
}

void wg_connect_set_servers(wg_connect *connect, size_t stun_count, size_t relay_count) {
  connect->config.stun_count = stun_count;
  connect->config.relay_count = relay_count;
}

void wg_connect_set_plugins(wg_connect *connect, wg_plugin_list plugins,
                            const wg_settings *settings) {
  connect->config.plugins = plugins;
  connect->config.settings = *settings;
  wg_unheard_start(&connect->unheard, wg_settings_limits(settings).probes_per_s,
                   wg_now_us(connect->config.env));
}

void wg_connect_listen(wg_connect *connect, wg_connect_wants wants, wg_connect_on_pipe on_pipe,
                       wg_connect_on_miss on_miss, void *arg) {
  connect->wants = wants;
  connect->on_pipe = on_pipe;
  connect->on_miss = on_miss;
  connect->listen_arg = arg;
}

bool wg_connect_wanted(const wg_connect *connect, const warp_key *peer, const wg_session_id *id) {
  warp_pipe_id pipe_id;
  memcpy(pipe_id.bytes, id->bytes, sizeof pipe_id.bytes);
  return connect->on_pipe != NULL &&
         (connect->wants == NULL || connect->wants(connect->listen_arg, peer, &pipe_id));
}

void wg_connect_set_tap(wg_connect *connect, warp_pipe_on_msg tap, void *arg) {
  connect->tap = tap;
  connect->tap_arg = arg;
  for (wg_list *item = connect->sessions.next; item != &connect->sessions; item = item->next) {
    wg_session *session = WG_CONTAINER(item, wg_session, link);
    if (session->state == WG_SESSION_CONNECTED)
      wg_pipe_set_tap(session->pipe, tap, arg);
  }
}

wg_mux *wg_connect_mux(const wg_connect *connect, size_t endpoint) {
  return endpoint < WG_RECORD_ENDPOINTS ? connect->config.muxes[endpoint] : NULL;
}

wg_session *wg_connect_find(wg_connect *connect, const wg_session_id *id) {
  for (wg_list *item = connect->sessions.next; item != &connect->sessions; item = item->next) {
    wg_session *session = WG_CONTAINER(item, wg_session, link);
    if (memcmp(&session->id, id, sizeof *id) == 0)
      return session;
  }
  return NULL;
}

/* ---- connects of our own --------------------------------------------------------------------- */

static void set_options(wg_session *session, const warp_connect_options *options) {
  if (options != NULL)
    session->options = *options;
  warp_connect_options *set = &session->options;
  set->timeout_ms = set->timeout_ms != 0 ? set->timeout_ms : WG_CONNECT_TIMEOUT_MS;
  set->transports = set->transports != 0 ? set->transports : WARP_TCP | WARP_UDP;
  set->head_start_ms = set->head_start_ms != 0 ? set->head_start_ms : WG_HEAD_START_MS;
  set->grace_ms = set->grace_ms != 0 ? set->grace_ms : WG_GRACE_MS;
  set->turn_limit = set->turn_limit != 0 ? set->turn_limit : WG_TURN_LIMIT;
  set->plugins = session->plugins;
  set->id = NULL; /* the caller's, and used up */
}

static void on_timeout(void *arg) {
  wg_session *session = arg;
  wg_candidate *relay = wg_session_relay(session);
  if (relay != NULL)
    wg_session_win(session, relay);
  else
    wg_session_fail(session, WARP_TIMEOUT, true);
}

/* The id that the program names, or one of our own. */
static int choose_id(wg_connect *connect, const warp_pipe_id *named, wg_session_id *out) {
  static const wg_session_id none = {{0}};
  wg_env *env = connect->config.env;
  if (named == NULL)
    return env->ops->random(env, out->bytes, sizeof out->bytes);
  memcpy(out->bytes, named->bytes, sizeof out->bytes);
  if (memcmp(out, &none, sizeof none) == 0)
    return WARP_INVALID;
  return wg_connect_find(connect, out) != NULL ? WARP_STATE : WARP_OK;
}

static int begin(wg_connect *connect, const wg_record *peer, wg_connect_pin pin,
                 const warp_connect_options *options, wg_session **out) {
  wg_env *env = connect->config.env;
  const warp_pipe_id *named = options != NULL ? options->id : NULL;
  wg_session_id id;
  int status = choose_id(connect, named, &id);
  if (status != WARP_OK)
    return status;
  wg_session *session = wg_session_new(connect, &id, WARP_INITIATOR, peer);
  if (session == NULL)
    return WARP_NOMEM;
  if (options != NULL && options->plugins != NULL) {
    session->plugins = strdup(options->plugins);
    status = session->plugins == NULL ? WARP_NOMEM : WARP_OK;
  }
  set_options(session, options);
  if (status == WARP_OK)
    status = wg_explain_promise(session);
  session->family = pin.family;
  session->route_types =
      pin.route_type != 0 ? (unsigned)pin.route_type : WARP_NIC_BIND | WARP_EXT_BIND;
  session->asking = pin.asking;
  session->apart = named != NULL;
  session->expired = wg_expired(peer->expires_ms, wg_utc_ms(env, connect->config.clock));
  if (status == WARP_OK)
    status = wg_race_build(session);
  if (status != WARP_OK) {
    wg_session_move(session, WG_SESSION_DEAD);
    wg_connect_bury(connect, session);
    return status;
  }
  *out = session;
  return WARP_OK;
}

static bool pin_valid(wg_connect_pin pin) {
  return (pin.family == 0 || pin.family == WARP_IP4 || pin.family == WARP_IP6) &&
         (pin.route_type == 0 || pin.route_type == WARP_NIC_BIND ||
          pin.route_type == WARP_EXT_BIND);
}

int wg_connect_start(wg_connect *connect, const uint8_t *record, size_t len, wg_connect_pin pin,
                     const warp_connect_options *options, warp_on_connect cb, void *arg) {
  wg_env *env = connect->config.env;
  if (connect->closing || connect->record_len == 0)
    return WARP_STATE;
  if (!pin_valid(pin) ||
      (options != NULL && (options->transports & ~(unsigned)(WARP_TCP | WARP_UDP)) != 0))
    return WARP_INVALID;
  if (connect->racing_count >= WG_SESSIONS_MAX)
    return WARP_LIMIT;
  int status =
      wg_plugin_names_check(connect->config.plugins, options != NULL ? options->plugins : NULL);
  wg_record peer;
  if (status == WARP_OK)
    status = wg_record_verify(record, len,
                              wg_utc_ms(env, connect->config.clock) - WG_RECORD_KEPT_MS, &peer);
  if (status == WARP_OK && wg_key_equal(&peer.key, &connect->record.key))
    status = WARP_INVALID; /* that is ourselves */
  wg_session *session = NULL;
  if (status == WARP_OK)
    status = begin(connect, &peer, pin, options, &session);
  if (status != WARP_OK)
    return status;
  session->cb = cb;
  session->cb_arg = arg;
  wg_timer_start(env, &session->deadline, (uint64_t)session->options.timeout_ms * 1000, on_timeout,
                 session);
  if (session->asking != NULL || session->apart || !wg_crossing_join(session))
    wg_race_start(session);
  return WARP_OK;
}

/* ---- strangers ------------------------------------------------------------------------------- */

/* Is there room for one more session that `peer` begins? */
static bool has_room(const wg_connect *connect, const warp_key *peer) {
  size_t all = 0, of_peer = 0;
  for (const wg_list *item = connect->sessions.next; item != &connect->sessions;
       item = item->next) {
    const wg_session *session = WG_CONTAINER(item, const wg_session, link);
    if (session->role != WARP_RESPONDER || session->state != WG_SESSION_RACING)
      continue;
    all++;
    of_peer += wg_key_equal(&session->peer, peer) ? 1 : 0;
  }
  return all < WG_SESSIONS_MAX - WG_SESSIONS_OWN && of_peer < WG_SESSIONS_PER_PEER &&
         connect->racing_count < WG_SESSIONS_MAX;
}

/* Of this peer: whoever reads the id of another's session off the wire must not end it. */
static bool has_ended(const wg_connect *connect, const warp_key *peer, const wg_session_id *id) {
  for (size_t i = 0; i < WG_ENDED_MAX && i < connect->ended_next; i++) {
    const wg_ended *ended = &connect->ended[i];
    if (memcmp(&ended->id, id, sizeof *id) == 0 && wg_key_equal(&ended->peer, peer))
      return true;
  }
  return false;
}

/* The policy is asked before anything else happens on a stranger's word, and may close the node. Of
 * a session with several attempts it is asked once. */
static int ask_policy(wg_connect *connect, const warp_key *sender, const wg_session_id *id) {
  warp_contact contact = WARP_CONTACT_ACCEPT;
  if (connect->config.policy != NULL)
    contact = connect->config.policy(connect->config.policy_arg, sender);
  if (contact != WARP_CONTACT_ACCEPT)
    wg_connect_remember(connect, sender, id);
  if (contact == WARP_CONTACT_IGNORE || connect->closing)
    return WARP_CANCELED;
  bool wanted = contact == WARP_CONTACT_ACCEPT && wg_connect_wanted(connect, sender, id);
  return wanted ? WARP_OK : WARP_REFUSED;
}

/* Whom we are connecting to is no stranger. */
int wg_connect_admit(wg_connect *connect, const warp_key *sender, const wg_message *message,
                     wg_record *record, wg_session **out) {
  if (message->record == NULL)
    return WARP_MALFORMED;
  if (connect->record_len == 0 || connect->closing || has_ended(connect, sender, &message->session))
    return WARP_CANCELED;
  int status = wg_record_verify(message->record, message->record_len,
                                wg_utc_ms(connect->config.env, connect->config.clock), record);
  if (status != WARP_OK)
    return status;
  if (!wg_key_equal(&record->key, sender))
    return WARP_UNTRUSTED;
  bool only_asks = message->attempt == WG_ATTEMPT_ASKS;
  bool taken = wg_connect_find(connect, &message->session) != NULL;
  wg_session *own = only_asks || message->apart || taken ? NULL : wg_crossing_find(connect, sender);
  if (own != NULL && wg_crossing_goes_first(own)) {
    wg_crossing_refuse(own, &message->session);
    return WARP_STATE;
  }
  status = own != NULL ? WARP_OK : ask_policy(connect, sender, &message->session);
  if (status == WARP_OK && taken) {
    wg_connect_remember(connect, sender, &message->session);
    return WARP_STATE;
  }
  if (status == WARP_OK && !has_room(connect, sender))
    status = WARP_LIMIT;
  if (status != WARP_OK)
    return status;
  *out = wg_session_new(connect, &message->session, WARP_RESPONDER, record);
  if (*out == NULL)
    return WARP_NOMEM;
  (*out)->only_asks = only_asks;
  (*out)->apart = message->apart;
  if (own != NULL)
    wg_crossing_yield(own, &message->session);
  return WARP_OK;
}

void wg_connect_on_message(wg_connect *connect, const warp_key *sender, const wg_message *message) {
  if (message->type == WG_MESSAGE_REPORT) {
    wg_explain_message(connect, sender, message);
    return;
  }
  wg_session *session = wg_connect_find(connect, &message->session);
  bool taken = session != NULL;
  if (taken && wg_key_equal(&session->peer, sender)) {
    wg_session_message(session, message);
    return;
  }
  if (message->type == WG_MESSAGE_END) {
    (void)wg_crossing_ended(connect, sender, &message->session);
    /* Its beginning may come yet, by a slower broker. */
    wg_connect_remember(connect, sender, &message->session);
  }
  if (message->type != WG_MESSAGE_OPEN)
    return;
  wg_record record;
  int status = wg_connect_admit(connect, sender, message, &record, &session);
  if (status == WARP_OK) {
    wg_session_message(session, message);
  } else if (status == WARP_REFUSED || status == WARP_LIMIT || (taken && status == WARP_STATE)) {
    wg_message answer = {.type = WG_MESSAGE_END, .session = message->session, .status = status};
    (void)wg_router_send(connect->config.router, &record, &answer);
  }
}
