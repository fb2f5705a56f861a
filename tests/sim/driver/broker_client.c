/* wg_broker: a connection to a broker that is kept up. */
#include "broker_wire.h"

#include <stdlib.h>
#include <string.h>

enum {
  UP_WITHIN_US = 10000000, /* one try: look-up, connection, greeting and subscription */
  PING_EVERY_US = 5000000, /* stands for the TCP probes of driver_uv, which take 5 s and 6 more */
  BACKOFF_MIN_US = 200000,
  BACKOFF_MAX_US = 5000000,
};

typedef enum client_state {
  CLIENT_RESOLVING,
  CLIENT_CONNECTING,
  CLIENT_GREETING,
  CLIENT_SUBSCRIBING,
  CLIENT_UP,
  CLIENT_WAITING, /* before the next try */
} client_state;

typedef struct letter {
  wg_list item;
  uint32_t number;
  char topic[WG_TOPIC_LEN];
  size_t len;
  uint8_t data[];
} letter;

struct wg_broker {
  wg_list item;
  sim_host *host;
  wg_server_name server;
  char topic[WG_TOPIC_LEN];
  wg_broker_handlers handlers;
  void *arg;
  client_state state;
  bool closed;
  wg_resolve *resolve;
  wg_tcp *tcp;
  sim_buffer in;
  wg_timer timer; /* of the try, then of pings, then of the backoff */
  uint64_t backoff_us;
  bool ping_open;
  wg_list queue; /* what is not acknowledged by the broker */
  size_t queued;
  uint32_t next_number;
};

static void enter(wg_broker *broker, client_state state);

static void start_timer(wg_broker *broker, uint64_t delay_us, wg_timer_cb cb) {
  sim_event_start(broker->host->world, &broker->timer, delay_us, cb, broker);
}

/* ---- down and up again ----------------------------------------------------------------------- */

static void hang_up(wg_broker *broker) {
  wg_timers_stop(&broker->host->world->events, &broker->timer);
  if (broker->resolve != NULL) {
    sim_resolve_cancel(broker->resolve);
    broker->resolve = NULL;
  }
  if (broker->tcp != NULL) {
    sim_tcp_close(broker->tcp);
    broker->tcp = NULL;
  }
  sim_buffer_free(&broker->in);
}

static void tell(wg_broker *broker, int status) {
  if (broker->handlers.on_state != NULL) {
    broker->handlers.on_state(broker->arg, status);
  }
}

static void fail(wg_broker *broker, int status) {
  enter(broker, CLIENT_WAITING);
  tell(broker, status);
}

static void try_over(void *arg) {
  fail(arg, WARP_TIMEOUT);
}

static void wait_over(void *arg) {
  enter(arg, CLIENT_RESOLVING);
}

static void ping(void *arg) {
  wg_broker *broker = arg;
  if (broker->ping_open) {
    fail(broker, WARP_TIMEOUT);
    return;
  }
  broker->ping_open = true;
  sim_mqtt_send(broker->tcp, &(sim_mqtt){.type = SIM_MQTT_PING});
  start_timer(broker, PING_EVERY_US, ping);
}

/* ---- publishing ------------------------------------------------------------------------------ */

static void send_letter(wg_broker *broker, const letter *item) {
  sim_mqtt packet = {
      .type = SIM_MQTT_PUBLISH, .number = item->number, .data = item->data, .len = item->len};
  memcpy(packet.topic, item->topic, sizeof item->topic);
  sim_mqtt_send(broker->tcp, &packet);
}

static void forget_letter(wg_broker *broker, letter *item) {
  wg_list_remove(&item->item);
  broker->queued--;
  free(item);
}

static void acknowledged(wg_broker *broker, uint32_t number) {
  for (wg_list *item = broker->queue.next; item != &broker->queue; item = item->next) {
    letter *entry = WG_CONTAINER(item, letter, item);
    if (entry->number == number) {
      forget_letter(broker, entry);
      return;
    }
  }
}

int sim_broker_publish(wg_broker *broker, const char *topic, const void *data, size_t len) {
  if (broker->closed) {
    sim_fail("publish on a closed broker of %s", broker->host->name);
  }
  if (len > WG_BROKER_MESSAGE_MAX || strlen(topic) >= WG_TOPIC_LEN) {
    return WARP_TOO_BIG;
  }
  if (broker->queued == WG_BROKER_QUEUE) {
    return WARP_LIMIT;
  }
  letter *entry = sim_alloc(sizeof *entry + len);
  entry->number = broker->next_number++;
  memcpy(entry->topic, topic, strlen(topic) + 1);
  entry->len = len;
  if (len > 0) {
    memcpy(entry->data, data, len);
  }
  wg_list_push(&broker->queue, &entry->item);
  broker->queued++;
  if (broker->state == CLIENT_UP) {
    send_letter(broker, entry);
  }
  return WARP_OK;
}

/* ---- what the broker says -------------------------------------------------------------------- */

static void subscribed(wg_broker *broker) {
  enter(broker, CLIENT_UP);
  for (wg_list *item = broker->queue.next; item != &broker->queue; item = item->next) {
    send_letter(broker, WG_CONTAINER(item, letter, item));
  }
  tell(broker, WARP_OK);
}

static void got_publish(wg_broker *broker, const sim_mqtt *packet) {
  uint8_t copy[WG_BROKER_MESSAGE_MAX]; /* the broker may be closed by the callback */
  if (packet->len > 0) {
    memcpy(copy, packet->data, packet->len);
  }
  if (broker->handlers.on_message != NULL) {
    broker->handlers.on_message(broker->arg, copy, packet->len);
  }
}

static void got_packet(wg_broker *broker, const sim_mqtt *packet) {
  switch (packet->type) {
  case SIM_MQTT_CONNACK:
    if (packet->number != 0) {
      fail(broker, WARP_AUTH);
    } else {
      enter(broker, CLIENT_SUBSCRIBING);
    }
    break;
  case SIM_MQTT_SUBACK:
    subscribed(broker);
    break;
  case SIM_MQTT_PUBLISH:
    got_publish(broker, packet);
    break;
  case SIM_MQTT_PUBACK:
    acknowledged(broker, packet->number);
    break;
  case SIM_MQTT_PONG:
    broker->ping_open = false;
    break;
  default:
    sim_fail("the broker sent a packet of type %d", packet->type);
  }
}

static void on_data(void *arg, const uint8_t *data, size_t len) {
  wg_broker *broker = arg;
  const wg_tcp *tcp = broker->tcp;
  sim_mqtt packet = {0};
  size_t size;
  sim_buffer_append(&broker->in, data, len);
  while (broker->tcp == tcp && (size = sim_mqtt_peek(&broker->in, &packet)) > 0) {
    got_packet(broker, &packet);
    if (broker->tcp == tcp) {
      sim_buffer_take(&broker->in, size);
    }
  }
}

static void on_end(void *arg, int status) {
  fail(arg, status);
}

static void on_open(void *arg, int status) {
  if (status != WARP_OK) {
    fail(arg, status);
  } else {
    enter(arg, CLIENT_GREETING);
  }
}

/* ---- the states ------------------------------------------------------------------------------ */

static void on_resolved(void *arg, int status, const warp_addr *addrs, size_t count) {
  static const wg_tcp_handlers handlers = {
      .on_open = on_open, .on_data = on_data, .on_end = on_end};
  wg_broker *broker = arg;
  broker->resolve = NULL;
  if (status == WARP_OK && count > 0) {
    status =
        sim_tcp_connect(&broker->host->env, NULL, &addrs[0], 0, &handlers, broker, &broker->tcp);
  }
  if (status != WARP_OK) {
    fail(broker, status);
  } else {
    enter(broker, CLIENT_CONNECTING);
  }
}

static void enter_resolving(wg_broker *broker) {
  start_timer(broker, UP_WITHIN_US, try_over);
  sim_resolve(&broker->host->env, broker->server.host, broker->server.port, 0, on_resolved, broker,
              &broker->resolve);
}

static void enter_greeting(wg_broker *broker) {
  sim_mqtt packet = {.type = SIM_MQTT_CONNECT};
  snprintf(packet.topic, sizeof packet.topic, "%s", broker->server.user);
  snprintf(packet.password, sizeof packet.password, "%s", broker->server.password);
  sim_mqtt_send(broker->tcp, &packet);
}

static void enter_subscribing(wg_broker *broker) {
  sim_mqtt packet = {.type = SIM_MQTT_SUBSCRIBE};
  memcpy(packet.topic, broker->topic, sizeof broker->topic);
  sim_mqtt_send(broker->tcp, &packet);
}

static void enter_up(wg_broker *broker) {
  broker->backoff_us = BACKOFF_MIN_US;
  broker->ping_open = false;
  start_timer(broker, PING_EVERY_US, ping);
}

static void enter_waiting(wg_broker *broker) {
  double jitter = 0.75 + wg_rng_unit(&broker->host->entropy) / 2;
  hang_up(broker);
  start_timer(broker, (uint64_t)((double)broker->backoff_us * jitter), wait_over);
  broker->backoff_us *= 2;
  broker->backoff_us = broker->backoff_us < BACKOFF_MAX_US ? broker->backoff_us : BACKOFF_MAX_US;
}

static void enter(wg_broker *broker, client_state state) {
  broker->state = state;
  switch (state) {
  case CLIENT_RESOLVING:
    enter_resolving(broker);
    break;
  case CLIENT_CONNECTING:
    break;
  case CLIENT_GREETING:
    enter_greeting(broker);
    break;
  case CLIENT_SUBSCRIBING:
    enter_subscribing(broker);
    break;
  case CLIENT_UP:
    enter_up(broker);
    break;
  case CLIENT_WAITING:
    enter_waiting(broker);
    break;
  }
}

/* ---- the handle ------------------------------------------------------------------------------ */

int sim_broker_open(wg_env *env, const wg_broker_options *options,
                    const wg_broker_handlers *handlers, void *arg, wg_broker **out) {
  wg_server_name server;
  if (wg_server_name_parse(options->server, &server) != WARP_OK) {
    return WARP_INVALID;
  }
  if (strlen(options->topic) >= WG_TOPIC_LEN) {
    return WARP_TOO_BIG;
  }
  wg_broker *broker = sim_alloc(sizeof *broker);
  broker->host = SIM_HOST(env);
  broker->server = server;
  memcpy(broker->topic, options->topic, strlen(options->topic) + 1);
  broker->handlers = *handlers;
  broker->arg = arg;
  broker->backoff_us = BACKOFF_MIN_US;
  wg_list_init(&broker->queue);
  wg_list_push(&broker->host->brokers, &broker->item);
  enter(broker, CLIENT_RESOLVING);
  *out = broker;
  return WARP_OK;
}

static void path_gone(void *arg) {
  fail(arg, WARP_ADDR_NOT_AVAILABLE);
}

void sim_broker_renew(wg_broker *broker) {
  if (broker->closed) {
    sim_fail("renewal of a closed broker of %s", broker->host->name);
  }
  if (broker->tcp != NULL && sim_host_owns(broker->host, &broker->tcp->local)) {
    return;
  }
  broker->backoff_us = BACKOFF_MIN_US;
  start_timer(broker, 0, broker->state == CLIENT_WAITING ? wait_over : path_gone);
}

void sim_broker_close(wg_broker *broker) {
  if (broker->closed) {
    sim_fail("close of a closed broker of %s", broker->host->name);
  }
  broker->closed = true;
  hang_up(broker);
  while (!wg_list_empty(&broker->queue)) {
    forget_letter(broker, WG_CONTAINER(broker->queue.next, letter, item));
  }
  wg_list_remove(&broker->item);
  sim_bury(broker->host->world, broker);
}

void sim_brokers_free(sim_host *host) {
  while (!wg_list_empty(&host->brokers)) {
    sim_broker_close(WG_CONTAINER(host->brokers.next, wg_broker, item));
  }
}
