#include "signal/router.h"

#include "base/addr.h"
#include "base/bytes.h"
#include "signal/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Copies of a message go out by this many brokers: one may be slow or about to die, and the
 * receiver drops what it has already. */
enum { SEND_COPIES = 2 };
/* MQTT 3.1.1 section 3.1.3.1: servers must take 23 characters. */
enum { CLIENT_ID_BYTES = 10, CLIENT_ID_LEN = 2 + 2 * CLIENT_ID_BYTES + 1 };

typedef struct route {
  wg_router *router;
  wg_broker *broker;
  char hint[WG_HINT_LEN];
  bool up;
} route;

struct wg_router {
  wg_env *env;
  const wg_log *log;
  const wg_clock *clock;
  const wg_identity *identity;
  wg_router_on_message on_message;
  wg_router_on_state on_state;
  void *arg;
  wg_guard *guard;
  uint64_t sequence;
  wg_router_counters counters;
  size_t route_count;
  route routes[WG_ROUTER_BROKERS];
};

void wg_topic(const warp_key *key, char out[WG_TOPIC_LEN]) {
  static const char prefix[] = "warp/1/";
  uint8_t hash[32];
  wg_key_hash(key, hash);
  memcpy(out, prefix, sizeof prefix);
  wg_hex_encode(hash, 16, out + sizeof prefix - 1);
}

int wg_broker_hint(const char *server, char out[WG_HINT_LEN]) {
  wg_relay_name relay; /* a relay's text may say more than another server's */
  int status = wg_relay_name_parse(server, &relay);
  if (status != WARP_OK) {
    return status;
  }
  const wg_server_name name = relay.server;
  bool v6 = strchr(name.host, ':') != NULL;
  int len = snprintf(out, WG_HINT_LEN, v6 ? "[%s]:%u" : "%s:%u", name.host, (unsigned)name.port);
  return len < WG_HINT_LEN ? WARP_OK : WARP_TOO_BIG;
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void count(wg_router *router, int status) {
  wg_router_counters *counters = &router->counters;
  switch (status) {
  case WARP_OK:
    counters->accepted++;
    break;
  case WARP_UNTRUSTED:
    counters->untrusted++;
    break;
  case WARP_BAD_SIGNATURE:
    counters->bad_signature++;
    break;
  case WARP_EXPIRED:
    counters->expired++;
    break;
  case WARP_REPLAY:
    counters->replayed++;
    break;
  case WARP_LIMIT:
    counters->rate_limited++;
    break;
  default:
    counters->malformed++;
    break;
  }
}

/* A record inside a message must be the sender's own: otherwise anybody could have us contact the
 * addresses of someone else. */
static int check_record(const wg_message *message, const warp_key *sender, int64_t now_ms) {
  wg_record record;
  if (message->record == NULL) {
    return WARP_OK;
  }
  int status = wg_record_verify(message->record, message->record_len, now_ms, &record);
  if (status != WARP_OK) {
    return status;
  }
  return wg_key_equal(&record.key, sender) ? WARP_OK : WARP_UNTRUSTED;
}

static int check(wg_router *router, const uint8_t *bytes, size_t len, uint8_t *plain,
                 warp_key *sender, wg_message *message) {
  wg_env *env = router->env;
  uint64_t now_us = wg_now_us(env);
  int64_t utc_ms = wg_utc_ms(env, router->clock);
  wg_letter letter;
  int status = wg_guard_admit(router->guard, now_us);
  if (status == WARP_OK) {
    status = wg_envelope_open(router->identity, bytes, len, utc_ms, plain, &letter);
  }
  if (status == WARP_OK) {
    status = wg_guard_accept(router->guard, &letter.sender, letter.sequence, now_us);
  }
  if (status == WARP_OK) {
    status = wg_message_decode(letter.message, letter.message_len, message);
  }
  if (status == WARP_OK) {
    status = check_record(message, &letter.sender, utc_ms);
  }
  if (status == WARP_OK) {
    *sender = letter.sender;
  }
  return status;
}

int wg_router_check(wg_router *router, const uint8_t *bytes, size_t len, uint8_t *plain,
                    warp_key *sender, wg_message *message) {
  int status = check(router, bytes, len, plain, sender, message);
  count(router, status);
  return status;
}

static void on_broker_message(void *arg, const uint8_t *data, size_t len) {
  route *from = arg;
  wg_router *router = from->router;
  uint8_t plain[WG_ENVELOPE_MAX];
  warp_key sender;
  wg_message message;
  int status = wg_router_check(router, data, len, plain, &sender, &message);
  if (status == WARP_OK || status == WARP_REPLAY) {
    wg_logf(router->log, WARP_LOG_DEBUG, "broker %s: a message came%s", from->hint,
            status == WARP_OK ? "" : ", and has come before");
  }
  if (status == WARP_OK) {
    router->on_message(router->arg, &sender, &message); /* may close the router */
  }
}

static void on_broker_state(void *arg, int status) {
  route *from = arg;
  wg_router *router = from->router;
  from->up = status == WARP_OK;
  if (router->on_state != NULL) {
    router->on_state(router->arg, from->hint, status);
  }
}

/* ---- opening and closing --------------------------------------------------------------------- */

static int open_route(wg_router *router, const char *server) {
  static const wg_broker_handlers handlers = {on_broker_state, on_broker_message};
  route *added = &router->routes[router->route_count];
  added->router = router;
  int status = wg_broker_hint(server, added->hint);
  if (status != WARP_OK) {
    return WARP_INVALID;
  }
  /* Random, so that a node that comes back before the broker missed it, or another node with the
   * same key, does not push the first connection out and is not pushed out by it. */
  uint8_t random[CLIENT_ID_BYTES];
  char client_id[CLIENT_ID_LEN] = "w-";
  status = router->env->ops->random(router->env, random, sizeof random);
  if (status != WARP_OK) {
    return status;
  }
  wg_hex_encode(random, sizeof random, client_id + 2);
  char topic[WG_TOPIC_LEN];
  wg_topic(wg_identity_key(router->identity), topic);
  wg_broker_options options = {.server = server, .client_id = client_id, .topic = topic};
  status = router->env->ops->broker_open(router->env, &options, &handlers, added, &added->broker);
  if (status == WARP_OK) {
    router->route_count++;
  }
  return status;
}

int wg_router_open(const wg_router_options *options, wg_router **out) {
  wg_router *router = calloc(1, sizeof *router);
  if (router == NULL) {
    return WARP_NOMEM;
  }
  router->env = options->env;
  router->log = options->log != NULL ? options->log : &options->env->log;
  router->clock = options->clock;
  router->identity = options->identity;
  router->on_message = options->on_message;
  router->on_state = options->on_state;
  router->arg = options->arg;
  router->guard = wg_guard_new();
  int status = router->guard == NULL ? WARP_NOMEM : WARP_OK;
  for (size_t i = 0; status == WARP_OK && i < WG_ROUTER_BROKERS && options->brokers != NULL &&
                     options->brokers[i] != NULL;
       i++) {
    status = open_route(router, options->brokers[i]);
  }
  if (status != WARP_OK) {
    wg_router_close(router);
    return status;
  }
  *out = router;
  return WARP_OK;
}

void wg_router_close(wg_router *router) {
  if (router == NULL) {
    return;
  }
  for (size_t i = 0; i < router->route_count; i++) {
    router->env->ops->broker_close(router->routes[i].broker);
  }
  wg_guard_free(router->guard);
  free(router);
}

void wg_router_renew(wg_router *router) {
  for (size_t i = 0; i < router->route_count; i++) {
    router->env->ops->broker_renew(router->routes[i].broker);
  }
}

void wg_router_counters_get(const wg_router *router, wg_router_counters *out) {
  *out = router->counters;
}

/* ---- sending --------------------------------------------------------------------------------- */

int wg_router_seal(wg_router *router, const warp_key *peer, const wg_message *message, uint8_t *out,
                   size_t cap) {
  uint8_t bytes[WG_MESSAGE_MAX];
  int len = wg_message_encode(message, bytes, sizeof bytes);
  if (len < 0) {
    return len;
  }
  int64_t now_ms = wg_utc_ms(router->env, router->clock);
  /* The time in microseconds at the first message (the clock is right by then), then counting: a
   * restarted node goes on above what it sent before, as long as it sends less than a million
   * messages a second. */
  if (router->sequence == 0 && now_ms > 0) {
    router->sequence = (uint64_t)now_ms * 1000;
  }
  wg_letter letter = {
      .sender = *wg_identity_key(router->identity),
      .recipient = *peer,
      .sequence = ++router->sequence,
      .time_ms = now_ms,
      .expires_ms = now_ms + WG_SIGNAL_LIFETIME_MS,
      .message = bytes,
      .message_len = (size_t)len,
  };
  return wg_envelope_seal(router->identity, &letter, out, cap);
}

/* A host name is the same however it is written. */
static bool names(const wg_record *record, const char *hint) {
  for (size_t i = 0; i < record->broker_count; i++) {
    if (strcasecmp(record->brokers[i], hint) == 0) {
      return true;
    }
  }
  return false;
}

static bool serves(const route *by, const wg_record *peer) {
  return peer->broker_count == 0 || names(peer, by->hint);
}

bool wg_router_knows(const wg_router *router, const wg_record *peer) {
  for (size_t i = 0; i < router->route_count; i++) {
    if (serves(&router->routes[i], peer)) {
      return true;
    }
  }
  return false;
}

int wg_router_send(wg_router *router, const wg_record *peer, const wg_message *message) {
  uint8_t envelope[WG_ENVELOPE_MAX];
  char topic[WG_TOPIC_LEN];
  int len = 0; /* sealed once, when the first broker is found: copies must be the same */
  int status = WARP_NO_SERVER;
  unsigned copies = peer->broker_count > 0 ? SEND_COPIES : 1;
  unsigned sent = 0;
  for (size_t i = 0; i < router->route_count && sent < copies; i++) {
    route *by = &router->routes[i];
    if (!by->up || !serves(by, peer)) {
      continue;
    }
    if (len == 0) {
      len = wg_router_seal(router, &peer->key, message, envelope, sizeof envelope);
      if (len < 0) {
        return len;
      }
      wg_topic(&peer->key, topic);
    }
    status = router->env->ops->broker_publish(by->broker, topic, envelope, (size_t)len);
    if (status == WARP_OK) {
      wg_logf(router->log, WARP_LOG_DEBUG, "broker %s: a message goes", by->hint);
      sent++;
    }
  }
  return sent > 0 ? WARP_OK : status;
}
