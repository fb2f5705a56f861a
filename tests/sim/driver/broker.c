/* A broker: hands what is published to whoever subscribed to the topic. */
#include "broker_wire.h"

#include <stdlib.h>
#include <string.h>

typedef struct session {
  wg_list item;
  sim_broker *broker;
  wg_tcp *tcp;
  sim_buffer in;
  bool welcome, subscribed;
  char topic[SIM_MQTT_TEXT];
} session;

struct sim_broker {
  sim_service service;
  sim_host *host;
  uint16_t port;
  wg_tcp_listener *listener; /* NULL while it is down */
  wg_list sessions;
  bool guarded;
  char user[SIM_MQTT_TEXT], password[SIM_MQTT_TEXT];
  sim_broker_tap tap;
  void *tap_arg;
};

/* The session's memory goes with the moment: it may be in one of its own callbacks. */
static void end_session(session *entry, void (*end)(wg_tcp *tcp)) {
  end(entry->tcp);
  entry->tcp = NULL;
  sim_buffer_free(&entry->in);
  wg_list_remove(&entry->item);
  sim_bury(entry->broker->host->world, entry);
}

static void hand_out(sim_broker *broker, const char *topic, const uint8_t *data, size_t len) {
  sim_mqtt packet = {.type = SIM_MQTT_PUBLISH, .data = data, .len = len};
  memcpy(packet.topic, topic, strlen(topic) + 1);
  for (wg_list *item = broker->sessions.next; item != &broker->sessions; item = item->next) {
    session *entry = WG_CONTAINER(item, session, item);
    if (entry->subscribed && strcmp(entry->topic, topic) == 0) {
      sim_mqtt_send(entry->tcp, &packet);
    }
  }
}

static void got_connect(session *entry, const sim_mqtt *packet) {
  const sim_broker *broker = entry->broker;
  entry->welcome = !broker->guarded || (strcmp(packet->topic, broker->user) == 0 &&
                                        strcmp(packet->password, broker->password) == 0);
  sim_mqtt_send(entry->tcp, &(sim_mqtt){.type = SIM_MQTT_CONNACK, .number = !entry->welcome});
  if (!entry->welcome) {
    end_session(entry, sim_tcp_close);
  }
}

static void got_publish(session *entry, const sim_mqtt *packet) {
  sim_broker *broker = entry->broker;
  sim_mqtt_send(entry->tcp, &(sim_mqtt){.type = SIM_MQTT_PUBACK, .number = packet->number});
  if (broker->tap == NULL ||
      broker->tap(broker->tap_arg, packet->topic, packet->data, packet->len)) {
    hand_out(broker, packet->topic, packet->data, packet->len);
  }
}

static void got_packet(session *entry, const sim_mqtt *packet) {
  if (!entry->welcome && packet->type != SIM_MQTT_CONNECT) {
    end_session(entry, sim_tcp_close);
    return;
  }
  switch (packet->type) {
  case SIM_MQTT_CONNECT:
    got_connect(entry, packet);
    break;
  case SIM_MQTT_SUBSCRIBE:
    entry->subscribed = true;
    memcpy(entry->topic, packet->topic, sizeof entry->topic);
    sim_mqtt_send(entry->tcp, &(sim_mqtt){.type = SIM_MQTT_SUBACK});
    break;
  case SIM_MQTT_PUBLISH:
    got_publish(entry, packet);
    break;
  case SIM_MQTT_PING:
    sim_mqtt_send(entry->tcp, &(sim_mqtt){.type = SIM_MQTT_PONG});
    break;
  default:
    end_session(entry, sim_tcp_close);
    break;
  }
}

static void on_data(void *arg, const uint8_t *data, size_t len) {
  session *entry = arg;
  sim_mqtt packet = {0};
  size_t size;
  sim_buffer_append(&entry->in, data, len);
  while (entry->tcp != NULL && (size = sim_mqtt_peek(&entry->in, &packet)) > 0) {
    got_packet(entry, &packet);
    if (entry->tcp != NULL) {
      sim_buffer_take(&entry->in, size);
    }
  }
}

static void on_end(void *arg, int status) {
  (void)status;
  end_session(arg, sim_tcp_close);
}

static void on_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  static const wg_tcp_handlers handlers = {.on_data = on_data, .on_end = on_end};
  session *entry = sim_alloc(sizeof *entry);
  (void)from;
  entry->broker = arg;
  entry->tcp = tcp;
  wg_list_push(&entry->broker->sessions, &entry->item);
  sim_tcp_set_handlers(tcp, &handlers, entry);
}

static void listen_on(sim_broker *broker) {
  warp_addr any = wg_addr_any(WARP_IP4, broker->port);
  if (sim_tcp_listen(&broker->host->env, &any, 0, on_accept, broker, &broker->listener) !=
      WARP_OK) {
    sim_fail("port %u of %s is taken", broker->port, broker->host->name);
  }
}

static void hang_up(sim_broker *broker) {
  if (broker->listener != NULL) {
    sim_tcp_listener_close(broker->listener);
    broker->listener = NULL;
  }
  while (!wg_list_empty(&broker->sessions)) {
    end_session(WG_CONTAINER(broker->sessions.next, session, item), sim_tcp_reset);
  }
}

static void destroy(sim_service *service) {
  sim_broker *broker = WG_CONTAINER(service, sim_broker, service);
  hang_up(broker);
  free(broker);
}

sim_broker *sim_broker_start(sim_host *host, uint16_t port) {
  sim_broker *broker = sim_alloc(sizeof *broker);
  broker->host = host;
  broker->port = port;
  wg_list_init(&broker->sessions);
  sim_service_add(host->world, &broker->service, destroy);
  listen_on(broker);
  return broker;
}

void sim_broker_set_up(sim_broker *broker, bool up) {
  if (!up) {
    hang_up(broker);
  } else if (broker->listener == NULL) {
    listen_on(broker);
  }
}

void sim_broker_set_credentials(sim_broker *broker, const char *user, const char *password) {
  broker->guarded = user != NULL;
  snprintf(broker->user, sizeof broker->user, "%s", user != NULL ? user : "");
  snprintf(broker->password, sizeof broker->password, "%s", password != NULL ? password : "");
}

void sim_broker_set_tap(sim_broker *broker, sim_broker_tap tap, void *arg) {
  broker->tap = tap;
  broker->tap_arg = arg;
}

void sim_broker_inject(sim_broker *broker, const char *topic, const void *data, size_t len) {
  if (strlen(topic) >= WG_TOPIC_LEN) {
    sim_fail("the topic %s is too long", topic);
  }
  hand_out(broker, topic, data, len);
}

size_t sim_broker_subscribers(const sim_broker *broker) {
  size_t count = 0;
  for (const wg_list *item = broker->sessions.next; item != &broker->sessions; item = item->next) {
    count += WG_CONTAINER(item, session, item)->subscribed;
  }
  return count;
}
