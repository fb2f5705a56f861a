/* The few packets that a simulated broker and its clients exchange over simulated TCP: what MQTT
 * 3.1.1 does with QoS 1 and clean sessions, in a simpler layout. */
#ifndef SIM_DRIVER_BROKER_WIRE_H
#define SIM_DRIVER_BROKER_WIRE_H

#include "internal.h"

typedef enum sim_mqtt_type {
  SIM_MQTT_CONNECT = 1, /* user, password */
  SIM_MQTT_CONNACK,     /* number: 0 or 1 (refused) */
  SIM_MQTT_SUBSCRIBE,   /* topic */
  SIM_MQTT_SUBACK,
  SIM_MQTT_PUBLISH, /* number, topic, data */
  SIM_MQTT_PUBACK,  /* number */
  SIM_MQTT_PING,
  SIM_MQTT_PONG,
} sim_mqtt_type;

/* Longer than a topic: user names and passwords fit as well. */
enum { SIM_MQTT_TEXT = WG_CREDENTIAL_LEN };

typedef struct sim_mqtt {
  uint8_t type;
  uint32_t number;
  char topic[SIM_MQTT_TEXT]; /* or the user */
  char password[SIM_MQTT_TEXT];
  const uint8_t *data; /* borrows the buffer */
  size_t len;
} sim_mqtt;

/* Sends one packet; the status of wg_tcp_send. */
int sim_mqtt_send(wg_tcp *tcp, const sim_mqtt *packet);
/* Looks at the first packet of `buffer`: its size in bytes, or 0 when it is not complete yet. */
size_t sim_mqtt_peek(const sim_buffer *buffer, sim_mqtt *out);

#endif
