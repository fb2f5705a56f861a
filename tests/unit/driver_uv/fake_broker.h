/*
 * As much of an MQTT 3.1.1 server as the broker tests need, on the environment's own TCP: it
 * answers, refuses, stays silent or drops connections on demand, and remembers what it was told.
 */
#ifndef TEST_DRIVER_UV_FAKE_BROKER_H
#define TEST_DRIVER_UV_FAKE_BROKER_H

#include "base/bytes.h"
#include "harness.h"

enum { FAKE_SESSIONS = 8, FAKE_BUFFER = 32768, FAKE_MESSAGES = 600, FAKE_TEXT = 64 };
/* Packet types (MQTT 3.1.1 section 2.2.1). */
enum {
  MQTT_CONNECT = 1,
  MQTT_CONNACK = 2,
  MQTT_PUBLISH = 3,
  MQTT_PUBACK = 4,
  MQTT_SUBSCRIBE = 8,
  MQTT_SUBACK = 9,
  MQTT_PINGREQ = 12,
  MQTT_PINGRESP = 13,
  MQTT_DISCONNECT = 14,
};

typedef struct fake_broker fake_broker;

typedef struct fake_session {
  fake_broker *broker;
  wg_tcp *tcp; /* NULL: free */
  char topic[FAKE_TEXT];
  uint8_t buffer[FAKE_BUFFER];
  size_t len;
} fake_session;

struct fake_broker {
  world *w;
  wg_tcp_listener *listener; /* NULL while down */
  wg_tcp_listener *kept;     /* so that nobody else gets the port meanwhile */
  warp_addr local;
  fake_session sessions[FAKE_SESSIONS];
  /* How to behave. */
  uint8_t connack, suback; /* return codes */
  bool silent;             /* no CONNACK */
  bool hold_suback;        /* no SUBACK */
  bool hold_puback;        /* no PUBACK and no forwarding */
  /* What it was told. */
  size_t connects, disconnects, published, duplicates;
  bool clean_session;
  char client_id[FAKE_TEXT], user[FAKE_TEXT], password[FAKE_TEXT];
  char first_bytes[FAKE_MESSAGES][8]; /* of each published message */
  bool subscribed;                    /* a SUBSCRIBE came */
  bool got_disconnect;
};

/* ---- packets out ----------------------------------------------------------------------------- */

static inline void fake_send(fake_session *s, uint8_t first, const void *body, size_t len) {
  uint8_t packet[FAKE_BUFFER];
  wg_writer writer = wg_writer_init(packet, sizeof packet);
  wg_write_u8(&writer, first);
  size_t rest = len;
  do { /* section 2.2.3: seven bits a byte, the lowest first */
    wg_write_u8(&writer, (uint8_t)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0)));
    rest >>= 7;
  } while (rest > 0);
  wg_write_bytes(&writer, body, len);
  assert_false(writer.failed);
  assert_int_equal(s->broker->w->ops->tcp_send(s->tcp, packet, writer.len), WARP_OK);
}

/* A message to whoever has subscribed to its topic. */
static inline void fake_publish(fake_broker *b, const char *topic, const void *data, size_t len) {
  uint8_t body[FAKE_BUFFER];
  wg_writer writer = wg_writer_init(body, sizeof body);
  wg_write_u16(&writer, (uint16_t)strlen(topic));
  wg_write_bytes(&writer, topic, strlen(topic));
  wg_write_bytes(&writer, data, len); /* QoS 0: no packet identifier */
  for (size_t i = 0; i < FAKE_SESSIONS; i++) {
    fake_session *s = &b->sessions[i];
    if (s->tcp != NULL && strcmp(s->topic, topic) == 0) {
      fake_send(s, MQTT_PUBLISH << 4, body, writer.len);
    }
  }
}

static inline void fake_send_suback(fake_session *s, uint16_t id) {
  uint8_t body[3] = {(uint8_t)(id >> 8), (uint8_t)id, s->broker->suback};
  fake_send(s, MQTT_SUBACK << 4, body, sizeof body);
}

/* ---- packets in ------------------------------------------------------------------------------ */

static inline void fake_read_text(wg_reader *reader, char out[FAKE_TEXT]) {
  uint16_t len = wg_read_u16(reader);
  assert_true(len < FAKE_TEXT);
  wg_read_copy(reader, out, len);
  out[len] = '\0';
}

static inline void fake_on_connect(fake_session *s, wg_reader *reader) {
  fake_broker *b = s->broker;
  char protocol[FAKE_TEXT];
  b->connects++;
  fake_read_text(reader, protocol);
  assert_string_equal(protocol, "MQTT");
  assert_int_equal(wg_read_u8(reader), 4); /* 3.1.1 */
  uint8_t flags = wg_read_u8(reader);
  wg_read_u16(reader); /* keep alive */
  b->clean_session = (flags & 2) != 0;
  fake_read_text(reader, b->client_id);
  if ((flags & 0x80) != 0) {
    fake_read_text(reader, b->user);
  }
  if ((flags & 0x40) != 0) {
    fake_read_text(reader, b->password);
  }
  assert_false(reader->failed);
  if (!b->silent) {
    fake_send(s, MQTT_CONNACK << 4, (uint8_t[]){0, b->connack}, 2);
  }
}

static inline void fake_on_publish(fake_session *s, uint8_t first, wg_reader *reader) {
  fake_broker *b = s->broker;
  char topic[FAKE_TEXT];
  fake_read_text(reader, topic);
  assert_int_equal(first >> 1 & 3, 1); /* QoS 1 */
  uint16_t id = wg_read_u16(reader);
  size_t len = wg_reader_left(reader);
  const uint8_t *data = wg_read_bytes(reader, len);
  assert_false(reader->failed);
  assert_true(b->published < FAKE_MESSAGES);
  memcpy(b->first_bytes[b->published], data, len < 7 ? len : 7);
  b->published++;
  b->duplicates += (first & 8) != 0;
  if (!b->hold_puback) {
    fake_send(s, MQTT_PUBACK << 4, (uint8_t[]){(uint8_t)(id >> 8), (uint8_t)id}, 2);
    fake_publish(b, topic, data, len);
  }
}

static inline void fake_on_packet(fake_session *s, uint8_t first, const uint8_t *body, size_t len) {
  fake_broker *b = s->broker;
  wg_reader reader = wg_reader_init(body, len);
  uint16_t id;
  switch (first >> 4) {
  case MQTT_CONNECT:
    fake_on_connect(s, &reader);
    break;
  case MQTT_SUBSCRIBE:
    id = wg_read_u16(&reader);
    fake_read_text(&reader, s->topic);
    assert_int_equal(wg_read_u8(&reader), 1); /* QoS 1 */
    b->subscribed = true;
    if (!b->hold_suback) {
      fake_send_suback(s, id);
    }
    break;
  case MQTT_PUBLISH:
    fake_on_publish(s, first, &reader);
    break;
  case MQTT_PINGREQ:
    fake_send(s, MQTT_PINGRESP << 4, NULL, 0);
    break;
  case MQTT_DISCONNECT:
    b->got_disconnect = true;
    b->disconnects++;
    break;
  default:
    break;
  }
}

/* The whole packets at the front of the buffer. */
static inline size_t fake_take_packet(fake_session *s) {
  size_t rest = 0, at = 1;
  for (unsigned shift = 0; at < s->len; shift += 7) {
    uint8_t byte = s->buffer[at++];
    rest |= (size_t)(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) {
      if (s->len - at < rest) {
        return 0;
      }
      fake_on_packet(s, s->buffer[0], s->buffer + at, rest);
      return at + rest;
    }
  }
  return 0;
}

static inline void fake_on_data(void *arg, const uint8_t *data, size_t len) {
  fake_session *s = arg;
  assert_true(s->len + len <= sizeof s->buffer);
  memcpy(s->buffer + s->len, data, len);
  s->len += len;
  for (size_t taken; (taken = fake_take_packet(s)) > 0;) {
    s->len -= taken;
    memmove(s->buffer, s->buffer + taken, s->len);
  }
}

/* ---- connections ----------------------------------------------------------------------------- */

static inline void fake_end_session(fake_session *s) {
  s->broker->w->ops->tcp_close(s->tcp);
  s->tcp = NULL;
  s->len = 0;
  s->topic[0] = '\0';
}

static inline void fake_on_end(void *arg, int status) {
  (void)status;
  fake_end_session(arg);
}

static inline void fake_on_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  static const wg_tcp_handlers handlers = {.on_data = fake_on_data, .on_end = fake_on_end};
  (void)from;
  fake_broker *b = arg;
  for (size_t i = 0; i < FAKE_SESSIONS; i++) {
    if (b->sessions[i].tcp == NULL) {
      b->sessions[i].tcp = tcp;
      b->w->ops->tcp_set_handlers(tcp, &handlers, &b->sessions[i]);
      return;
    }
  }
  fail_msg("more sessions than the fake broker holds");
}

/* Starts it; again on the same port after fake_stop. */
static inline void fake_start(fake_broker *b) {
  assert_int_equal(
      b->w->ops->tcp_listen(b->w->env, &b->local, WG_SOCK_REUSE, fake_on_accept, b, &b->listener),
      WARP_OK);
}

/* Ends all sessions, with a reset or in an orderly way. */
static inline void fake_drop(fake_broker *b, bool reset) {
  for (size_t i = 0; i < FAKE_SESSIONS; i++) {
    fake_session *s = &b->sessions[i];
    if (s->tcp != NULL && reset) {
      b->w->ops->tcp_reset(s->tcp);
      s->tcp = NULL;
      s->len = 0;
      s->topic[0] = '\0';
    } else if (s->tcp != NULL) {
      fake_end_session(s);
    }
  }
}

static inline void fake_stop(fake_broker *b, bool reset) {
  b->w->ops->tcp_listener_close(b->listener);
  b->listener = NULL;
  fake_drop(b, reset);
}

static inline fake_broker *fake_new(world *w) {
  fake_broker *b = calloc(1, sizeof *b);
  assert_non_null(b);
  b->w = w;
  for (size_t i = 0; i < FAKE_SESSIONS; i++) {
    b->sessions[i].broker = b;
  }
  warp_addr local = wg_addr_loopback(WARP_IP4, 0);
  assert_int_equal(w->ops->tcp_listen(w->env, &local, WG_SOCK_REUSE, NULL, NULL, &b->kept),
                   WARP_OK);
  w->ops->tcp_listener_local(b->kept, &b->local);
  fake_start(b);
  return b;
}

static inline void fake_free(fake_broker *b) {
  if (b->listener != NULL) {
    fake_stop(b, true);
  }
  b->w->ops->tcp_listener_close(b->kept);
  free(b);
}

#endif
