#include "wire/message.h"

#include <string.h>

/* ---- messages -------------------------------------------------------------------------------- */

enum field {
  FIELD_TYPE = 1,
  FIELD_SESSION = 2,
  FIELD_ATTEMPT = 3,
  FIELD_PLUGIN = 4,
  FIELD_COMBINATION = 5,
  FIELD_PLUGIN_TYPE = 6,
  FIELD_DATA = 7,
  FIELD_STATUS = 8,
  FIELD_DETAIL = 9,
  FIELD_RECORD = 10,
  FIELD_ROWS = 11,
  FIELD_ASKS = 12,
  FIELD_APART = 13,
  FIELD_KNOWN = 14,
};

#define BIT(field) (UINT64_C(1) << (field))

/* What a message of each type cannot do without. 0 for types that there are not. */
static uint64_t required_fields(uint8_t type) {
  uint64_t always = BIT(FIELD_TYPE) | BIT(FIELD_SESSION);
  switch (type) {
  case WG_MESSAGE_OPEN:
    return always | BIT(FIELD_ATTEMPT) | BIT(FIELD_PLUGIN) | BIT(FIELD_COMBINATION) |
           BIT(FIELD_RECORD);
  case WG_MESSAGE_PLUGIN:
    return always | BIT(FIELD_ATTEMPT) | BIT(FIELD_PLUGIN_TYPE);
  case WG_MESSAGE_FAIL:
    return always | BIT(FIELD_ATTEMPT) | BIT(FIELD_STATUS);
  case WG_MESSAGE_END:
    return always | BIT(FIELD_STATUS);
  case WG_MESSAGE_INVITE:
    return always | BIT(FIELD_RECORD);
  case WG_MESSAGE_REPORT:
    return always;
  default:
    return 0;
  }
}

static bool plugin_name_valid(const char *name) {
  size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
  return len > 0 && len < WG_PLUGIN_NAME_LEN && name[len] == '\0';
}

static bool has_combination(const wg_message *message) {
  return message->family != 0;
}

static bool combination_valid(const wg_message *message) {
  return (message->family == WARP_IP4 || message->family == WARP_IP6) &&
         (message->route_type == WARP_NIC_BIND || message->route_type == WARP_EXT_BIND) &&
         message->transport >= WARP_TCP && message->transport <= (WARP_TCP | WARP_UDP) &&
         message->endpoint_self < WG_RECORD_ENDPOINTS &&
         message->endpoint_peer < WG_RECORD_ENDPOINTS;
}

/* Which fields an encoded message gets: those that its type needs, and those that are set. */
static uint64_t fields_of(const wg_message *message) {
  uint64_t fields = required_fields(message->type);
  fields |= message->attempt != 0 ? BIT(FIELD_ATTEMPT) : 0;
  fields |= message->plugin[0] != '\0' ? BIT(FIELD_PLUGIN) : 0;
  fields |= has_combination(message) ? BIT(FIELD_COMBINATION) : 0;
  fields |= message->plugin_type != 0 ? BIT(FIELD_PLUGIN_TYPE) : 0;
  fields |= message->data_len != 0 ? BIT(FIELD_DATA) : 0;
  fields |= message->status != 0 ? BIT(FIELD_STATUS) : 0;
  fields |= message->detail[0] != '\0' ? BIT(FIELD_DETAIL) : 0;
  fields |= message->record_len != 0 ? BIT(FIELD_RECORD) : 0;
  fields |= message->rows_len != 0 ? BIT(FIELD_ROWS) : 0;
  fields |= message->asks ? BIT(FIELD_ASKS) : 0;
  fields |= message->apart ? BIT(FIELD_APART) : 0;
  fields |= message->known != 0 ? BIT(FIELD_KNOWN) : 0;
  return fields;
}

static int check_message(const wg_message *message, uint64_t fields) {
  if (required_fields(message->type) == 0 || message->status > 0 || message->status < -UINT16_MAX ||
      ((fields & BIT(FIELD_PLUGIN)) != 0 && !plugin_name_valid(message->plugin)) ||
      ((fields & BIT(FIELD_COMBINATION)) != 0 && !combination_valid(message)) ||
      ((fields & BIT(FIELD_RECORD)) != 0 && message->record_len == 0)) {
    return WARP_INVALID;
  }
  if (message->data_len > WARP_ATTEMPT_MESSAGE_MAX || message->record_len > WARP_RECORD_MAX ||
      message->rows_len > WG_MESSAGE_ROWS_MAX) {
    return WARP_TOO_BIG;
  }
  return WARP_OK;
}

static void write_combination(wg_writer *writer, const wg_message *message) {
  const uint8_t combination[] = {message->family, message->route_type, message->transport,
                                 message->endpoint_self, message->endpoint_peer};
  wg_field_bytes(writer, FIELD_COMBINATION, combination, sizeof combination);
}

static void write_field(wg_writer *writer, uint16_t field, const wg_message *message) {
  switch (field) {
  case FIELD_TYPE:
    wg_field_u8(writer, field, message->type);
    break;
  case FIELD_SESSION:
    wg_field_bytes(writer, field, message->session.bytes, WG_SESSION_LEN);
    break;
  case FIELD_ATTEMPT:
    wg_field_u16(writer, field, message->attempt);
    break;
  case FIELD_PLUGIN:
    wg_field_bytes(writer, field, message->plugin, strlen(message->plugin));
    break;
  case FIELD_COMBINATION:
    write_combination(writer, message);
    break;
  case FIELD_PLUGIN_TYPE:
    wg_field_u8(writer, field, message->plugin_type);
    break;
  case FIELD_DATA:
    wg_field_bytes(writer, field, message->data, message->data_len);
    break;
  case FIELD_STATUS:
    wg_field_u16(writer, field, (uint16_t)-message->status);
    break;
  case FIELD_DETAIL:
    wg_field_bytes(writer, field, message->detail, strnlen(message->detail, WARP_DETAIL_LEN - 1));
    break;
  case FIELD_RECORD:
    wg_field_bytes(writer, field, message->record, message->record_len);
    break;
  case FIELD_ROWS:
    wg_field_bytes(writer, field, message->rows, message->rows_len);
    break;
  case FIELD_KNOWN:
    wg_field_u64(writer, field, message->known);
    break;
  default:
    wg_field_u8(writer, field, 1);
    break;
  }
}

int wg_message_encode(const wg_message *message, uint8_t *out, size_t cap) {
  uint64_t fields = fields_of(message);
  int status = check_message(message, fields);
  if (status != WARP_OK) {
    return status;
  }
  wg_writer writer = wg_writer_init(out, cap);
  wg_packet_begin(&writer, WG_PACKET_MESSAGE);
  for (uint16_t field = FIELD_TYPE; field <= FIELD_KNOWN; field++) {
    if ((fields & BIT(field)) != 0) {
      write_field(&writer, field, message);
    }
  }
  return wg_writer_result(&writer);
}

static bool read_combination(wg_field *field, wg_message *out) {
  out->family = wg_read_u8(&field->value);
  out->route_type = wg_read_u8(&field->value);
  out->transport = wg_read_u8(&field->value);
  out->endpoint_self = wg_read_u8(&field->value);
  out->endpoint_peer = wg_read_u8(&field->value);
  return !field->value.failed && wg_reader_left(&field->value) == 0 && combination_valid(out);
}

static bool read_status(wg_field *field, int32_t *out) {
  uint16_t negated;
  bool good = wg_field_get_u16(field, &negated);
  *out = -(int32_t)negated;
  return good;
}

static bool read_borrowed(wg_field *field, size_t max, const uint8_t **out, size_t *out_len) {
  *out_len = wg_reader_left(&field->value);
  *out = wg_read_bytes(&field->value, *out_len);
  return *out_len <= max;
}

static bool read_rows(wg_field *field, wg_message *out) {
  wg_reader rows = field->value;
  wg_row row;
  while (wg_row_read(&rows, &row)) {
  }
  return !rows.failed && read_borrowed(field, WG_MESSAGE_ROWS_MAX, &out->rows, &out->rows_len);
}

/* A field that is there to say yes. */
static bool read_yes(wg_field *field, bool *out) {
  uint8_t yes;
  bool good = wg_field_get_u8(field, &yes);
  *out = yes == 1;
  return good && *out;
}

static bool read_field(wg_field *field, wg_message *out) {
  switch (field->type) {
  case FIELD_TYPE:
    return wg_field_get_u8(field, &out->type);
  case FIELD_SESSION:
    return wg_field_get_bytes(field, out->session.bytes, WG_SESSION_LEN);
  case FIELD_ATTEMPT:
    return wg_field_get_u16(field, &out->attempt);
  case FIELD_PLUGIN:
    return wg_field_get_text(field, out->plugin, sizeof out->plugin) &&
           plugin_name_valid(out->plugin);
  case FIELD_COMBINATION:
    return read_combination(field, out);
  case FIELD_PLUGIN_TYPE:
    return wg_field_get_u8(field, &out->plugin_type);
  case FIELD_DATA:
    return read_borrowed(field, WARP_ATTEMPT_MESSAGE_MAX, &out->data, &out->data_len);
  case FIELD_STATUS:
    return read_status(field, &out->status);
  case FIELD_DETAIL:
    return wg_detail_read(&field->value, wg_reader_left(&field->value), out->detail);
  case FIELD_RECORD:
    return read_borrowed(field, WARP_RECORD_MAX, &out->record, &out->record_len) &&
           out->record_len > 0;
  case FIELD_ROWS:
    return read_rows(field, out);
  case FIELD_ASKS:
    return read_yes(field, &out->asks);
  case FIELD_APART:
    return read_yes(field, &out->apart);
  case FIELD_KNOWN:
    return wg_field_get_u64(field, &out->known) && out->known != 0;
  default:
    return true;
  }
}

int wg_message_decode(const uint8_t *bytes, size_t len, wg_message *out) {
  wg_reader reader = wg_reader_init(bytes, len);
  wg_field field;
  uint64_t seen = 0;
  *out = (wg_message){0};
  int status = wg_packet_open(&reader, WG_PACKET_MESSAGE);
  if (status != WARP_OK) {
    return status;
  }
  while (wg_field_next(&reader, &field)) {
    if (!wg_field_once(&seen, field.type) || !read_field(&field, out)) {
      return WARP_MALFORMED;
    }
  }
  uint64_t required = required_fields(out->type);
  if (reader.failed || len > WG_MESSAGE_MAX || required == 0 || (seen & required) != required) {
    return WARP_MALFORMED;
  }
  return WARP_OK;
}

/* ---- probes and carried datagrams ------------------------------------------------------------ */

size_t wg_carry_begin(uint8_t out[WG_CARRY_HEADER_LEN], const uint8_t tag[WG_TAG_LEN]) {
  wg_writer writer = wg_writer_init(out, WG_CARRY_HEADER_LEN);
  wg_packet_begin(&writer, WG_PACKET_CARRY);
  wg_write_bytes(&writer, tag, WG_TAG_LEN);
  return writer.len;
}

size_t wg_probe_encode(uint8_t out[WG_PROBE_LEN], const uint8_t tag[WG_TAG_LEN], uint32_t sequence,
                       uint32_t acknowledged) {
  wg_writer writer = wg_writer_init(out, WG_PROBE_LEN);
  wg_packet_begin(&writer, WG_PACKET_PROBE);
  wg_write_bytes(&writer, tag, WG_TAG_LEN);
  wg_write_u32(&writer, sequence);
  wg_write_u32(&writer, acknowledged);
  return writer.len;
}

static int open_probe(wg_reader *reader, wg_carried *out) {
  wg_read_copy(reader, out->tag, WG_TAG_LEN);
  out->sequence = wg_read_u32(reader);
  out->acknowledged = wg_read_u32(reader);
  return reader->failed || wg_reader_left(reader) > 0 || out->sequence == 0 ? WARP_MALFORMED
                                                                            : WARP_OK;
}

static int open_carry(wg_reader *reader, wg_carried *out) {
  wg_read_copy(reader, out->tag, WG_TAG_LEN);
  if (reader->failed || wg_reader_left(reader) == 0) {
    return WARP_MALFORMED;
  }
  out->payload_len = wg_reader_left(reader);
  out->payload = wg_read_bytes(reader, out->payload_len);
  return WARP_OK;
}

int wg_carry_open(const uint8_t *bytes, size_t len, wg_carried *out) {
  memset(out, 0, sizeof *out);
  wg_reader carry = wg_reader_init(bytes, len), probe = carry;
  int status = wg_packet_open(&carry, WG_PACKET_CARRY);
  if (status == WARP_OK) {
    return open_carry(&carry, out);
  }
  return wg_packet_open(&probe, WG_PACKET_PROBE) == WARP_OK ? open_probe(&probe, out) : status;
}

/* ---- preamble of a punched stream ------------------------------------------------------------ */

void wg_preamble_write(uint8_t out[WG_PREAMBLE_LEN], const uint8_t tag[WG_TAG_LEN]) {
  wg_writer writer = wg_writer_init(out, WG_PREAMBLE_LEN);
  wg_packet_begin(&writer, WG_PACKET_PREAMBLE);
  wg_write_bytes(&writer, tag, WG_TAG_LEN);
}

int wg_preamble_read(const uint8_t *bytes, size_t len, uint8_t tag[WG_TAG_LEN]) {
  wg_reader reader = wg_reader_init(bytes, len);
  memset(tag, 0, WG_TAG_LEN);
  int status = wg_packet_open(&reader, WG_PACKET_PREAMBLE);
  if (status != WARP_OK) {
    return status;
  }
  wg_read_copy(&reader, tag, WG_TAG_LEN);
  return reader.failed || wg_reader_left(&reader) != 0 ? WARP_MALFORMED : WARP_OK;
}
