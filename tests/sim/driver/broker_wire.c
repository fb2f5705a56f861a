#include "broker_wire.h"

#include <string.h>

enum { HEADER_LEN = 4, PACKET_MAX = WG_BROKER_MESSAGE_MAX + 512 };

static void write_text(wg_writer *writer, const char *text) {
  size_t len = strlen(text);
  wg_write_u8(writer, (uint8_t)len);
  wg_write_bytes(writer, text, len);
}

static void read_text(wg_reader *reader, char out[SIM_MQTT_TEXT]) {
  size_t len = wg_read_u8(reader);
  if (len >= SIM_MQTT_TEXT) {
    sim_fail("a topic or credential of %u bytes", (unsigned)len);
  }
  wg_read_copy(reader, out, len);
  out[len] = 0;
}

int sim_mqtt_send(wg_tcp *tcp, const sim_mqtt *packet) {
  uint8_t bytes[PACKET_MAX];
  wg_writer writer = wg_writer_init(bytes + HEADER_LEN, sizeof bytes - HEADER_LEN);
  wg_write_u8(&writer, packet->type);
  wg_write_u32(&writer, packet->number);
  write_text(&writer, packet->topic);
  write_text(&writer, packet->password);
  wg_write_bytes(&writer, packet->data, packet->len);
  if (writer.failed) {
    sim_fail("a broker message of %u bytes", (unsigned)packet->len);
  }
  wg_writer header = wg_writer_init(bytes, HEADER_LEN);
  wg_write_u32(&header, (uint32_t)writer.len);
  return sim_tcp_send(tcp, bytes, HEADER_LEN + writer.len);
}

size_t sim_mqtt_peek(const sim_buffer *buffer, sim_mqtt *out) {
  wg_reader reader = wg_reader_init(sim_buffer_bytes(buffer), sim_buffer_len(buffer));
  uint32_t len = wg_read_u32(&reader);
  wg_reader body = wg_read_sub(&reader, len);
  if (reader.failed) {
    return 0;
  }
  out->type = wg_read_u8(&body);
  out->number = wg_read_u32(&body);
  read_text(&body, out->topic);
  read_text(&body, out->password);
  out->len = wg_reader_left(&body);
  out->data = wg_read_bytes(&body, out->len);
  return HEADER_LEN + len;
}
