#include "wire/packet.h"

#include <string.h>
#include <warpgate/warpgate.h>

void wg_packet_begin(wg_writer *writer, wg_packet_type type) {
  wg_write_u8(writer, WG_MAGIC_0);
  wg_write_u8(writer, WG_MAGIC_1);
  wg_write_u8(writer, WG_PROTOCOL_VERSION);
  wg_write_u8(writer, (uint8_t)type);
}

int wg_packet_open(wg_reader *reader, wg_packet_type type) {
  uint8_t magic_0 = wg_read_u8(reader);
  uint8_t magic_1 = wg_read_u8(reader);
  uint8_t version = wg_read_u8(reader);
  uint8_t got = wg_read_u8(reader);
  if (reader->failed || magic_0 != WG_MAGIC_0 || magic_1 != WG_MAGIC_1) {
    return WARP_MALFORMED;
  }
  if (version != WG_PROTOCOL_VERSION) {
    return WARP_VERSION;
  }
  return got == type ? WARP_OK : WARP_MALFORMED;
}

/* ---- reading fields -------------------------------------------------------------------------- */

bool wg_field_next(wg_reader *reader, wg_field *out) {
  if (reader->failed || wg_reader_left(reader) == 0) {
    return false;
  }
  out->type = wg_read_u16(reader);
  uint16_t len = wg_read_u16(reader);
  out->value = wg_read_sub(reader, len);
  return !reader->failed;
}

bool wg_field_get_u8(wg_field *field, uint8_t *out) {
  *out = wg_read_u8(&field->value);
  return !field->value.failed && wg_reader_left(&field->value) == 0;
}

bool wg_field_get_u16(wg_field *field, uint16_t *out) {
  *out = wg_read_u16(&field->value);
  return !field->value.failed && wg_reader_left(&field->value) == 0;
}

bool wg_field_get_u64(wg_field *field, uint64_t *out) {
  *out = wg_read_u64(&field->value);
  return !field->value.failed && wg_reader_left(&field->value) == 0;
}

bool wg_field_get_i64(wg_field *field, int64_t *out) {
  uint64_t value;
  bool good = wg_field_get_u64(field, &value) && value <= INT64_MAX;
  *out = good ? (int64_t)value : 0;
  return good;
}

bool wg_field_get_bytes(wg_field *field, void *out, size_t len) {
  wg_read_copy(&field->value, out, len);
  return !field->value.failed && wg_reader_left(&field->value) == 0;
}

bool wg_field_get_text(wg_field *field, char *out, size_t room) {
  size_t len = wg_reader_left(&field->value);
  out[0] = '\0';
  if (len == 0 || len >= room) {
    return false;
  }
  const uint8_t *bytes = wg_read_bytes(&field->value, len);
  for (size_t i = 0; i < len; i++) {
    if (bytes[i] <= ' ' || bytes[i] > '~') {
      return false;
    }
  }
  memcpy(out, bytes, len);
  out[len] = '\0';
  return true;
}

bool wg_field_once(uint64_t *seen, uint16_t type) {
  if (type >= 64) {
    return true;
  }
  uint64_t bit = UINT64_C(1) << type;
  bool first = (*seen & bit) == 0;
  *seen |= bit;
  return first;
}

/* ---- writing fields -------------------------------------------------------------------------- */

size_t wg_field_begin(wg_writer *writer, uint16_t type) {
  wg_write_u16(writer, type);
  size_t begun = writer->len;
  wg_write_u16(writer, 0);
  return begun;
}

void wg_field_end(wg_writer *writer, size_t begun) {
  if (writer->failed) {
    return;
  }
  size_t len = writer->len - begun - 2;
  if (len > UINT16_MAX) {
    writer->failed = true;
    return;
  }
  wg_write_patch_u16(writer, begun, (uint16_t)len);
}

void wg_field_bytes(wg_writer *writer, uint16_t type, const void *data, size_t len) {
  size_t begun = wg_field_begin(writer, type);
  wg_write_bytes(writer, data, len);
  wg_field_end(writer, begun);
}

void wg_field_u8(wg_writer *writer, uint16_t type, uint8_t value) {
  wg_field_bytes(writer, type, &value, 1);
}

void wg_field_u16(wg_writer *writer, uint16_t type, uint16_t value) {
  size_t begun = wg_field_begin(writer, type);
  wg_write_u16(writer, value);
  wg_field_end(writer, begun);
}

void wg_field_u64(wg_writer *writer, uint16_t type, uint64_t value) {
  size_t begun = wg_field_begin(writer, type);
  wg_write_u64(writer, value);
  wg_field_end(writer, begun);
}

/* ---- signatures ------------------------------------------------------------------------------ */

int wg_signature_attach(uint8_t *bytes, size_t len, size_t cap,
                        const uint8_t signature[WG_SIGNATURE_LEN]) {
  wg_writer writer = wg_writer_init(bytes, cap);
  if (len > cap) {
    return WARP_TOO_BIG;
  }
  writer.len = len;
  wg_field_bytes(&writer, WG_FIELD_SIGNATURE, signature, WG_SIGNATURE_LEN);
  return wg_writer_result(&writer);
}

bool wg_signature_split(wg_reader *reader, size_t *signed_len,
                        uint8_t signature[WG_SIGNATURE_LEN]) {
  wg_field field;
  *signed_len = 0;
  memset(signature, 0, WG_SIGNATURE_LEN);
  if (wg_reader_left(reader) < WG_SIGNATURE_FIELD_LEN) {
    return false;
  }
  size_t covered = reader->len - WG_SIGNATURE_FIELD_LEN;
  wg_reader last = wg_reader_init(reader->data + covered, WG_SIGNATURE_FIELD_LEN);
  if (!wg_field_next(&last, &field) || field.type != WG_FIELD_SIGNATURE ||
      !wg_field_get_bytes(&field, signature, WG_SIGNATURE_LEN)) {
    return false;
  }
  reader->len = covered;
  *signed_len = covered;
  return true;
}

int wg_writer_result(const wg_writer *writer) {
  return writer->failed ? WARP_TOO_BIG : (int)writer->len;
}
