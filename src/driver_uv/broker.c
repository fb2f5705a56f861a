#include "driver_uv/internal.h"
#include "driver_uv/sigpipe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <mosquitto.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * libmosquitto without its threads: the loop watches its socket and calls it when there is
 * something to do. It is entered through enter() and left through leave(), which looks at what
 * became of the connection meanwhile; the user may close the broker from inside.
 */

enum {
  BACKOFF_MIN_MS = 200,  /* a broker that restarts is back within that */
  BACKOFF_MAX_MS = 5000, /* who was away is reachable that soon after the network is back */
  ATTEMPT_MS = 5000,     /* from the look-up of the name to the acknowledged subscription */
  TICK_MS = 1000,        /* how often libmosquitto looks at its keepalive clock */
  /* What finds out that a NAT on the way has forgotten the connection, which neither end is told
   * of: until then no peer reaches us. A router that started again passes the probe on by another
   * port, and the broker's reset is the answer, so mostly the first one does. 80 bytes each. */
  PROBE_IDLE_S = 5,
  PROBE_INTERVAL_S = 2,
  PROBES = 3,
  /* For a broker that hangs while its host answers: noticed after at most twice this. */
  KEEPALIVE_S = 15,
  /* libmosquitto takes packets of up to 256 MiB into memory before it hands them over, and whoever
   * knows our topic may publish one: no packet of ours is half as long as this. */
  PACKET_MAX = 2 * (WG_BROKER_MESSAGE_MAX + WG_TOPIC_LEN),
  PONG_LEN = 2,                /* the only packet without a callback */
  SUBSCRIPTION_REFUSED = 0x80, /* MQTT 3.1.1 section 3.9.3 */
  QOS_AT_LEAST_ONCE = 1,
};

typedef enum broker_state {
  BROKER_WAITING, /* for the next attempt */
  BROKER_RESOLVING,
  BROKER_CONNECTING,  /* TCP */
  BROKER_GREETING,    /* CONNECT is under way */
  BROKER_SUBSCRIBING, /* CONNACK came, messages may go */
  BROKER_UP,
} broker_state;

/* A message that waits for the connection. */
typedef struct waiting {
  wg_list item;
  char topic[WG_TOPIC_LEN];
  size_t len;
  uint8_t data[];
} waiting;

struct wg_broker {
  wg_uv_env *env;
  struct mosquitto *mosq;
  wg_uv_watch *watch;
  broker_state state;
  wg_server_name server;
  char topic[WG_TOPIC_LEN];
  wg_broker_handlers handlers; /* zeroed when the user has closed it */
  void *arg;
  wg_resolve *resolve;
  unsigned attempts; /* takes the next address of the name each time */
  uint32_t backoff_ms;
  int told;    /* last status told to the user; positive before the first */
  int refusal; /* what the broker said before it ended the connection */
  bool inside; /* libmosquitto is running */
  bool whole;  /* a packet has come to its end while it ran */
  size_t part; /* bytes that came since, of one that has not */
  wg_sigpipe held;
  bool closing;  /* to be freed as soon as it is not */
  wg_list queue; /* of waiting */
  unsigned queued;
  unsigned unacked; /* held by libmosquitto, which sends them again after a reconnect */
  wg_timer timer;   /* the next attempt, the end of this one, or the next tick */
};

static void set_state(wg_broker *broker, broker_state state);
static void lose(wg_broker *broker, int status);

/* ---- status ---------------------------------------------------------------------------------- */

static int status_of(int code, int error) {
  switch (code) {
  case MOSQ_ERR_SUCCESS:
    return WARP_OK;
  case MOSQ_ERR_NOMEM:
    return WARP_NOMEM;
  case MOSQ_ERR_INVAL:
  case MOSQ_ERR_MALFORMED_UTF8:
    return WARP_INVALID;
  case MOSQ_ERR_NO_CONN:
  case MOSQ_ERR_CONN_LOST: /* also a reset: libmosquitto does not tell them apart */
    return WARP_CLOSED;
  case MOSQ_ERR_KEEPALIVE:
  case MOSQ_ERR_TIMEOUT:
    return WARP_TIMEOUT;
  case MOSQ_ERR_PAYLOAD_SIZE:
  case MOSQ_ERR_OVERSIZE_PACKET:
    return WARP_TOO_BIG;
  case MOSQ_ERR_PROTOCOL:
  case MOSQ_ERR_MALFORMED_PACKET:
    return WARP_MALFORMED;
  case MOSQ_ERR_AUTH:
  case MOSQ_ERR_ACL_DENIED:
    return WARP_AUTH;
  case MOSQ_ERR_CONN_REFUSED:
    return WARP_CONN_REFUSED;
  case MOSQ_ERR_ERRNO:
    return error != 0 ? wg_uv_status(error) : WARP_IO;
  default:
    return WARP_IO;
  }
}

/* MQTT 3.1.1 section 3.2.2.3. */
static int status_of_connack(int code) {
  switch (code) {
  case 0:
    return WARP_OK;
  case 1: /* protocol version */
    return WARP_VERSION;
  case 2: /* client identifier rejected */
  case 4: /* bad user name or password */
  case 5: /* not authorised */
    return WARP_AUTH;
  case 3: /* server unavailable */
    return WARP_CONN_REFUSED;
  default:
    return WARP_MALFORMED;
  }
}

/* Only changes are told. The user may close the broker meanwhile. */
static void tell(wg_broker *broker, int status) {
  if (broker->told == status) {
    return;
  }
  broker->told = status;
  if (broker->handlers.on_state != NULL) {
    broker->handlers.on_state(broker->arg, status);
  }
}

/* ---- in and out of libmosquitto -------------------------------------------------------------- */

static void drop_watch(wg_broker *broker) {
  if (broker->watch != NULL) {
    wg_uv_watch_close(broker->watch);
    broker->watch = NULL;
  }
}

static void release(wg_broker *broker) {
  wg_uv_env *env = broker->env;
  wg_timer_stop(&env->base, &broker->timer);
  if (broker->resolve != NULL) {
    wg_uv_resolve_cancel(broker->resolve);
  }
  drop_watch(broker);
  if (broker->mosq != NULL) {
    wg_sigpipe_hold(&broker->held);
    if (broker->state >= BROKER_GREETING) {
      mosquitto_disconnect(broker->mosq);
    }
    mosquitto_destroy(broker->mosq);
    wg_sigpipe_let_go(&broker->held);
  }
  while (!wg_list_empty(&broker->queue)) {
    waiting *message = WG_CONTAINER(broker->queue.next, waiting, item);
    wg_list_remove(&message->item);
    free(message);
  }
  free(broker);
}

static void on_ready(void *owner, int events);

/* Watches the socket that libmosquitto has now. Publishing may only have queued, so this comes
 * after every call. */
static int watch_socket(wg_broker *broker) {
  int fd = mosquitto_socket(broker->mosq);
  if (fd < 0) {
    return WARP_CLOSED;
  }
  if (broker->watch == NULL) {
    int status = wg_uv_watch_open(broker->env, fd, on_ready, broker, &broker->watch);
    if (status != WARP_OK) {
      return status;
    }
    wg_uv_keep_alive(fd, PROBE_IDLE_S, PROBE_INTERVAL_S, PROBES);
    wg_uv_limit_silence(fd, PROBE_IDLE_S + PROBE_INTERVAL_S * PROBES);
  }
  bool write = broker->state == BROKER_CONNECTING || mosquitto_want_write(broker->mosq);
  wg_uv_watch_set(broker->watch, UV_READABLE | (write ? UV_WRITABLE : 0));
  return WARP_OK;
}

static void enter(wg_broker *broker) {
  wg_sigpipe_hold(&broker->held);
  broker->inside = true;
}

/* `code` is what libmosquitto returned. The broker may be gone afterwards. */
static void leave(wg_broker *broker, int code) {
  int status = status_of(code, errno);
  broker->inside = false;
  wg_sigpipe_let_go(&broker->held);
  if (broker->closing) {
    release(broker);
    return;
  }
  if (broker->refusal != WARP_OK) {
    status = broker->refusal;
  }
  if (status == WARP_OK) {
    status = watch_socket(broker);
  }
  if (status != WARP_OK) {
    lose(broker, status);
  }
}

/* An error of libmosquitto's; also for a packet that is too long, of which it has no say. */
static int read_some(wg_broker *broker) {
  int fd = mosquitto_socket(broker->mosq);
  size_t before = wg_uv_readable(fd);
  broker->whole = false;
  int code = mosquitto_loop_read(broker->mosq, 1);
  size_t after = broker->closing ? 0 : wg_uv_readable(fd);
  size_t taken = before > after ? before - after : 0; /* and what came meanwhile */
  if (broker->whole || taken <= PONG_LEN) {
    broker->part = 0;
    return code;
  }
  broker->part += taken;
  return broker->part > PACKET_MAX && code == MOSQ_ERR_SUCCESS ? MOSQ_ERR_OVERSIZE_PACKET : code;
}

static void on_ready(void *owner, int events) {
  wg_broker *broker = owner;
  if (broker->state == BROKER_CONNECTING) {
    int error = wg_uv_pending_error(mosquitto_socket(broker->mosq));
    if (error != 0) {
      lose(broker, wg_uv_status(error));
      return;
    }
    if ((events & UV_WRITABLE) == 0) {
      return;
    }
    set_state(broker, BROKER_GREETING);
  }
  enter(broker);
  errno = 0;
  int code = MOSQ_ERR_SUCCESS;
  if ((events & UV_WRITABLE) != 0) {
    code = mosquitto_loop_write(broker->mosq, 1);
  }
  if ((events & UV_READABLE) != 0 && code == MOSQ_ERR_SUCCESS && !broker->closing) {
    code = read_some(broker);
  }
  if (code == MOSQ_ERR_SUCCESS && !broker->closing) {
    /* Brokers often leave Nagle's algorithm on: the next message for us would wait until this one
     * is acknowledged. */
    wg_uv_acknowledge(mosquitto_socket(broker->mosq));
  }
  leave(broker, code);
}

/* ---- states ---------------------------------------------------------------------------------- */

static void on_resolved(void *arg, int status, const warp_addr *addrs, size_t count) {
  wg_broker *broker = arg;
  broker->resolve = NULL;
  if (status != WARP_OK) {
    lose(broker, status);
    return;
  }
  /* Numeric: otherwise libmosquitto would look the name up itself, and block. */
  const warp_addr *addr = &addrs[broker->attempts++ % count];
  char host[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
  inet_ntop(addr->family == WARP_IP4 ? AF_INET : AF_INET6, addr->ip, host, INET6_ADDRSTRLEN);
  if (addr->scope_id != 0) {
    size_t len = strlen(host);
    snprintf(host + len, sizeof host - len, "%%%u", addr->scope_id);
  }
  set_state(broker, BROKER_CONNECTING);
  enter(broker);
  errno = 0;
  leave(broker, mosquitto_connect_async(broker->mosq, host, addr->port, KEEPALIVE_S));
}

static void attempt(void *arg) {
  wg_broker *broker = arg;
  set_state(broker, BROKER_RESOLVING);
  broker->refusal = WARP_OK;
  broker->part = 0;
  int status = wg_uv_resolve(&broker->env->base, broker->server.host, broker->server.port, 0,
                             on_resolved, broker, &broker->resolve);
  if (status != WARP_OK) {
    lose(broker, status);
  }
}

static void on_attempt_over(void *arg) {
  lose(arg, WARP_TIMEOUT);
}

/* Tried again as soon as a broker that restarts: its backoff was set back. */
static void on_path_gone(void *arg) {
  lose(arg, WARP_ADDR_NOT_AVAILABLE);
}

static void on_tick(void *arg) {
  wg_broker *broker = arg;
  wg_timer_start(&broker->env->base, &broker->timer, TICK_MS * 1000, on_tick, broker);
  enter(broker);
  errno = 0;
  leave(broker, mosquitto_loop_misc(broker->mosq));
}

static uint64_t backoff_us(wg_broker *broker) {
  uint64_t base_us = broker->backoff_ms * 1000ULL;
  broker->backoff_ms *= 2;
  if (broker->backoff_ms > BACKOFF_MAX_MS) {
    broker->backoff_ms = BACKOFF_MAX_MS;
  }
  /* Half of it is drawn, so that a broker that comes back is not met by all at once. */
  return base_us * 3 / 4 + wg_rng_below(&broker->env->jitter, (uint32_t)(base_us / 2));
}

/* Each state comes with what the timer waits for. */
static void set_state(wg_broker *broker, broker_state state) {
  wg_env *env = &broker->env->base;
  broker->state = state;
  switch (state) {
  case BROKER_WAITING:
    wg_timer_start(env, &broker->timer, backoff_us(broker), attempt, broker);
    break;
  case BROKER_RESOLVING:
    wg_timer_start(env, &broker->timer, ATTEMPT_MS * 1000, on_attempt_over, broker);
    break;
  case BROKER_UP:
    broker->backoff_ms = BACKOFF_MIN_MS;
    wg_timer_start(env, &broker->timer, TICK_MS * 1000, on_tick, broker);
    break;
  default: /* a step of the attempt, whose end stands */
    break;
  }
}

/* The connection is down, or did not come up. The broker may be gone afterwards. */
static void lose(wg_broker *broker, int status) {
  if (broker->resolve != NULL) {
    wg_uv_resolve_cancel(broker->resolve);
    broker->resolve = NULL;
  }
  drop_watch(broker); /* if the socket is still there, the next attempt closes it */
  set_state(broker, BROKER_WAITING);
  tell(broker, status);
}

/* ---- what libmosquitto calls ----------------------------------------------------------------- */

static int hand_over(wg_broker *broker, const char *topic, const void *data, size_t len) {
  int code = mosquitto_publish(broker->mosq, NULL, topic, (int)len, data, QOS_AT_LEAST_ONCE, false);
  switch (code) {
  case MOSQ_ERR_INVAL:
  case MOSQ_ERR_NOMEM:
  case MOSQ_ERR_PAYLOAD_SIZE:
  case MOSQ_ERR_MALFORMED_UTF8:
  case MOSQ_ERR_OVERSIZE_PACKET:
    return status_of(code, 0);
  default: /* taken: if the connection is broken it goes after the next reconnect */
    broker->unacked++;
    return WARP_OK;
  }
}

static void hand_over_queue(wg_broker *broker) {
  while (!wg_list_empty(&broker->queue)) {
    waiting *message = WG_CONTAINER(broker->queue.next, waiting, item);
    if (hand_over(broker, message->topic, message->data, message->len) == WARP_NOMEM) {
      return; /* the next connection may find more */
    }
    wg_list_remove(&message->item);
    free(message);
    broker->queued--;
  }
}

static void on_connack(struct mosquitto *mosq, void *obj, int code) {
  wg_broker *broker = obj;
  broker->whole = true;
  broker->refusal = status_of_connack(code);
  if (code != 0 || broker->closing) {
    return;
  }
  set_state(broker, BROKER_SUBSCRIBING);
  int status = status_of(mosquitto_subscribe(mosq, NULL, broker->topic, QOS_AT_LEAST_ONCE), errno);
  if (status != WARP_OK) {
    broker->refusal = status;
    return;
  }
  hand_over_queue(broker);
}

static void on_suback(struct mosquitto *mosq, void *obj, int id, int count, const int *granted) {
  (void)mosq;
  (void)id;
  wg_broker *broker = obj;
  broker->whole = true;
  if (broker->closing || broker->state != BROKER_SUBSCRIBING) {
    return;
  }
  if (count != 1 || granted[0] == SUBSCRIPTION_REFUSED) {
    broker->refusal = WARP_AUTH;
    return;
  }
  set_state(broker, BROKER_UP);
  tell(broker, WARP_OK);
}

static void on_puback(struct mosquitto *mosq, void *obj, int id) {
  (void)mosq;
  (void)id;
  wg_broker *broker = obj;
  broker->whole = true;
  if (broker->unacked > 0) {
    broker->unacked--;
  }
}

static void on_message(struct mosquitto *mosq, void *obj, const struct mosquitto_message *message) {
  (void)mosq;
  wg_broker *broker = obj;
  broker->whole = true;
  if (message->payloadlen < 0 || message->payloadlen > WG_BROKER_MESSAGE_MAX) {
    wg_logf(&broker->env->base.log, WARP_LOG_DEBUG, "dropped a message of %d bytes from broker %s",
            message->payloadlen, broker->server.host);
    return;
  }
  if (broker->handlers.on_message != NULL) {
    broker->handlers.on_message(broker->arg, message->payload, (size_t)message->payloadlen);
  }
}

/* ---- the operations -------------------------------------------------------------------------- */

/* Once per process and for good: libmosquitto counts its users without a lock, and there may be
 * loops in several threads. */
static void init_library(void) {
  mosquitto_lib_init();
}

static int make_client(wg_broker *broker, const char *client_id) {
  static uv_once_t once = UV_ONCE_INIT;
  uv_once(&once, init_library);
  /* It has the whole program ignore SIGPIPE, which is not for a library to decide. */
  struct sigaction sigpipe;
  sigaction(SIGPIPE, NULL, &sigpipe);
  broker->mosq = mosquitto_new(client_id, true, broker);
  int error = errno;
  sigaction(SIGPIPE, &sigpipe, NULL);
  if (broker->mosq == NULL) {
    return error == ENOMEM ? WARP_NOMEM : WARP_INVALID;
  }
  mosquitto_int_option(broker->mosq, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V311);
  mosquitto_int_option(broker->mosq, MOSQ_OPT_TCP_NODELAY, 1);
  /* Messages are bounded by our own count; a smaller one here would hold them back for a round
   * trip each. */
  mosquitto_int_option(broker->mosq, MOSQ_OPT_SEND_MAXIMUM, WG_BROKER_QUEUE);
  mosquitto_connect_callback_set(broker->mosq, on_connack);
  mosquitto_subscribe_callback_set(broker->mosq, on_suback);
  mosquitto_publish_callback_set(broker->mosq, on_puback);
  mosquitto_message_callback_set(broker->mosq, on_message);
  if (broker->server.user[0] == '\0') {
    return WARP_OK;
  }
  return status_of(
      mosquitto_username_pw_set(broker->mosq, broker->server.user, broker->server.password), 0);
}

int wg_uv_broker_open(wg_env *base, const wg_broker_options *options,
                      const wg_broker_handlers *handlers, void *arg, wg_broker **out) {
  size_t topic_len = strlen(options->topic);
  if (topic_len == 0 || topic_len >= WG_TOPIC_LEN) {
    return WARP_INVALID;
  }
  wg_broker *broker = calloc(1, sizeof *broker);
  if (broker == NULL) {
    return WARP_NOMEM;
  }
  broker->env = wg_uv_env_of(base);
  wg_list_init(&broker->queue);
  memcpy(broker->topic, options->topic, topic_len + 1);
  int status = wg_server_name_parse(options->server, &broker->server);
  if (status == WARP_OK) {
    status = make_client(broker, options->client_id);
  }
  if (status != WARP_OK) {
    release(broker);
    return status;
  }
  broker->handlers = *handlers;
  broker->arg = arg;
  broker->told = 1;
  broker->backoff_ms = BACKOFF_MIN_MS;
  broker->env->open++;
  wg_timer_start(base, &broker->timer, 0, attempt, broker);
  *out = broker;
  return WARP_OK;
}

static int keep(wg_broker *broker, const char *topic, const void *data, size_t len) {
  waiting *message = malloc(sizeof *message + len);
  if (message == NULL) {
    return WARP_NOMEM;
  }
  memcpy(message->topic, topic, strlen(topic) + 1);
  message->len = len;
  memcpy(message->data, data, len);
  wg_list_push(&broker->queue, &message->item);
  broker->queued++;
  return WARP_OK;
}

int wg_uv_broker_publish(wg_broker *broker, const char *topic, const void *data, size_t len) {
  size_t topic_len = strlen(topic);
  if (topic_len == 0 || topic_len >= WG_TOPIC_LEN || strpbrk(topic, "+#") != NULL) {
    return WARP_INVALID;
  }
  if (len > WG_BROKER_MESSAGE_MAX) {
    return WARP_TOO_BIG;
  }
  if (broker->queued + broker->unacked >= WG_BROKER_QUEUE) {
    return WARP_LIMIT;
  }
  if (broker->state < BROKER_SUBSCRIBING) {
    return keep(broker, topic, data, len);
  }
  if (broker->inside) { /* from one of its callbacks: leave() does the rest */
    return hand_over(broker, topic, data, len);
  }
  wg_sigpipe_hold(&broker->held);
  int status = hand_over(broker, topic, data, len);
  wg_sigpipe_let_go(&broker->held);
  /* A broken connection shows there, too, and is told by the loop. */
  wg_uv_watch_set(broker->watch, UV_READABLE | UV_WRITABLE);
  return status;
}

/* Is the address that the connection leaves from still one of this machine's? */
static bool stands(const wg_broker *broker) {
  int fd = mosquitto_socket(broker->mosq), probe;
  if (broker->state < BROKER_CONNECTING || fd < 0) {
    return false;
  }
  warp_addr local = wg_uv_local(fd);
  local.port = 0;
  int status = wg_uv_socket(local.family, SOCK_DGRAM, 0, &local, &probe);
  if (status == WARP_OK) {
    close(probe);
  }
  return status != WARP_ADDR_NOT_AVAILABLE;
}

void wg_uv_broker_renew(wg_broker *broker) {
  wg_env *env = &broker->env->base;
  if (stands(broker)) {
    return;
  }
  /* From the loop, because the user may be inside one of our callbacks. */
  broker->backoff_ms = BACKOFF_MIN_MS;
  wg_timer_start(env, &broker->timer, 0, broker->state == BROKER_WAITING ? attempt : on_path_gone,
                 broker);
}

void wg_uv_broker_close(wg_broker *broker) {
  broker->env->open--;
  broker->handlers = (wg_broker_handlers){0};
  if (broker->inside) {
    broker->closing = true;
  } else {
    release(broker);
  }
}
