/* The letter (what is sealed) and the envelope around it. */
#include "wire/message.h"

enum field {
  FIELD_SENDER = 1,
  FIELD_RECIPIENT = 2,
  FIELD_SEQUENCE = 3,
  FIELD_TIME = 4,
  FIELD_EXPIRES = 5,
  FIELD_MESSAGE = 6,
};

static const uint64_t required = 1u << FIELD_SENDER | 1u << FIELD_RECIPIENT | 1u << FIELD_SEQUENCE |
                                 1u << FIELD_TIME | 1u << FIELD_EXPIRES | 1u << FIELD_MESSAGE;

static bool letter_valid(const wg_letter *letter) {
  return letter->time_ms >= 0 && letter->expires_ms >= letter->time_ms && letter->message_len > 0 &&
         letter->message_len <= WG_MESSAGE_MAX;
}

int wg_letter_encode(const wg_letter *letter, uint8_t *out, size_t cap) {
  if (!letter_valid(letter)) {
    return WARP_INVALID;
  }
  wg_writer writer = wg_writer_init(out, cap);
  wg_field_bytes(&writer, FIELD_SENDER, letter->sender.bytes, WARP_KEY_LEN);
  wg_field_bytes(&writer, FIELD_RECIPIENT, letter->recipient.bytes, WARP_KEY_LEN);
  wg_field_u64(&writer, FIELD_SEQUENCE, letter->sequence);
  wg_field_u64(&writer, FIELD_TIME, (uint64_t)letter->time_ms);
  wg_field_u64(&writer, FIELD_EXPIRES, (uint64_t)letter->expires_ms);
  wg_field_bytes(&writer, FIELD_MESSAGE, letter->message, letter->message_len);
  return wg_writer_result(&writer);
}

int wg_letter_attach(uint8_t *bytes, size_t len, size_t cap,
                     const uint8_t signature[WG_SIGNATURE_LEN]) {
  return wg_signature_attach(bytes, len, cap, signature);
}

static bool read_field(wg_field *field, wg_letter *out) {
  switch (field->type) {
  case FIELD_SENDER:
    return wg_field_get_bytes(field, out->sender.bytes, WARP_KEY_LEN);
  case FIELD_RECIPIENT:
    return wg_field_get_bytes(field, out->recipient.bytes, WARP_KEY_LEN);
  case FIELD_SEQUENCE:
    return wg_field_get_u64(field, &out->sequence);
  case FIELD_TIME:
    return wg_field_get_i64(field, &out->time_ms);
  case FIELD_EXPIRES:
    return wg_field_get_i64(field, &out->expires_ms);
  case FIELD_MESSAGE:
    out->message_len = wg_reader_left(&field->value);
    out->message = wg_read_bytes(&field->value, out->message_len);
    return true;
  default:
    return true;
  }
}

int wg_letter_decode(const uint8_t *bytes, size_t len, wg_letter *out, size_t *signed_len,
                     uint8_t signature[WG_SIGNATURE_LEN]) {
  wg_reader reader = wg_reader_init(bytes, len);
  wg_field field;
  uint64_t seen = 0;
  *out = (wg_letter){0};
  if (!wg_signature_split(&reader, signed_len, signature)) {
    return WARP_MALFORMED;
  }
  while (wg_field_next(&reader, &field)) {
    if (!wg_field_once(&seen, field.type) || !read_field(&field, out)) {
      return WARP_MALFORMED;
    }
  }
  if (reader.failed || (seen & required) != required || !letter_valid(out)) {
    return WARP_MALFORMED;
  }
  return WARP_OK;
}

int wg_envelope_encode(const warp_key *ephemeral, const uint8_t *sealed, size_t sealed_len,
                       uint8_t *out, size_t cap) {
  if (sealed_len <= WG_AEAD_TAG_LEN) {
    return WARP_INVALID;
  }
  wg_writer writer = wg_writer_init(out, cap < WG_ENVELOPE_MAX ? cap : WG_ENVELOPE_MAX);
  wg_packet_begin(&writer, WG_PACKET_ENVELOPE);
  wg_write_bytes(&writer, ephemeral->bytes, WARP_KEY_LEN);
  wg_write_bytes(&writer, sealed, sealed_len);
  return wg_writer_result(&writer);
}

int wg_envelope_decode(const uint8_t *bytes, size_t len, warp_key *ephemeral,
                       const uint8_t **sealed, size_t *sealed_len) {
  wg_reader reader = wg_reader_init(bytes, len);
  *sealed = NULL;
  *sealed_len = 0;
  int status = wg_packet_open(&reader, WG_PACKET_ENVELOPE);
  if (status != WARP_OK) {
    return status;
  }
  wg_read_copy(&reader, ephemeral->bytes, WARP_KEY_LEN);
  if (len > WG_ENVELOPE_MAX || wg_reader_left(&reader) <= WG_AEAD_TAG_LEN) {
    return WARP_MALFORMED;
  }
  *sealed_len = wg_reader_left(&reader);
  *sealed = wg_read_bytes(&reader, *sealed_len);
  return WARP_OK;
}
