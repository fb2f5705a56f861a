#include "wire/names.h"

#include <string.h>

enum request_field {
  REQUEST_OP = 1,
  REQUEST_NONCE = 2,
  REQUEST_NAME = 3,
  REQUEST_COOKIE = 4,
  REQUEST_LIFETIME = 5,
  REQUEST_RECORD = 6,
  REQUEST_KEY = 7,
  REQUEST_SEQUENCE = 8,
  REQUEST_PADDING = 9,
};

enum reply_field {
  REPLY_STATUS = 1,
  REPLY_NONCE = 2,
  REPLY_LIFETIME = 3,
  REPLY_COOKIE = 4,
  REPLY_RECORD = 5,
};

#define BIT(field) (UINT64_C(1) << (field))

bool wg_name_valid(const char *name) {
  size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
  return len > 0 && len <= WARP_NAME_MAX && name[len] == '\0' && name[0] != '-' &&
         name[len - 1] != '-';
}

static uint64_t required_fields(uint8_t op) {
  uint64_t always = BIT(REQUEST_OP) | BIT(REQUEST_NONCE) | BIT(REQUEST_NAME);
  switch (op) {
  case WG_NAME_LOOKUP:
    return always;
  case WG_NAME_REGISTER:
    return always | BIT(REQUEST_LIFETIME) | BIT(REQUEST_RECORD);
  case WG_NAME_DELETE:
    return always | BIT(REQUEST_KEY) | BIT(REQUEST_SEQUENCE);
  default:
    return 0;
  }
}

static bool get_seconds(wg_field *field, uint32_t *out) {
  uint64_t value;
  bool good = wg_field_get_u64(field, &value) && value <= UINT32_MAX;
  *out = good ? (uint32_t)value : 0;
  return good;
}

static bool get_record(wg_field *field, const uint8_t **out, size_t *out_len) {
  *out_len = wg_reader_left(&field->value);
  *out = wg_read_bytes(&field->value, *out_len);
  return *out_len > 0 && *out_len <= WARP_RECORD_MAX;
}

/* ---- requests -------------------------------------------------------------------------------- */

static void pad_lookup(wg_writer *writer) {
  size_t begun = wg_field_begin(writer, REQUEST_PADDING);
  if (!writer->failed) {
    wg_write_zeros(writer, WG_NAME_REPLY_MAX - writer->len);
  }
  wg_field_end(writer, begun);
}

int wg_name_request_encode(const wg_name_request *request, uint8_t *out, size_t cap) {
  uint64_t fields = required_fields(request->op);
  if (fields == 0 || !wg_name_valid(request->name) ||
      ((fields & BIT(REQUEST_RECORD)) != 0 && request->record_len == 0)) {
    return WARP_INVALID;
  }
  if ((fields & BIT(REQUEST_RECORD)) != 0 && request->record_len > WARP_RECORD_MAX) {
    return WARP_TOO_BIG;
  }
  wg_writer writer = wg_writer_init(out, cap);
  wg_packet_begin(&writer, WG_PACKET_NAME_REQUEST);
  wg_field_u8(&writer, REQUEST_OP, request->op);
  wg_field_bytes(&writer, REQUEST_NONCE, request->nonce, WG_NAME_NONCE_LEN);
  wg_field_bytes(&writer, REQUEST_NAME, request->name, strlen(request->name));
  if (request->has_cookie) {
    wg_field_bytes(&writer, REQUEST_COOKIE, request->cookie, WG_NAME_COOKIE_LEN);
  }
  if ((fields & BIT(REQUEST_LIFETIME)) != 0) {
    wg_field_u64(&writer, REQUEST_LIFETIME, request->lifetime_s);
  }
  if ((fields & BIT(REQUEST_RECORD)) != 0) {
    wg_field_bytes(&writer, REQUEST_RECORD, request->record, request->record_len);
  }
  if ((fields & BIT(REQUEST_KEY)) != 0) {
    wg_field_bytes(&writer, REQUEST_KEY, request->key.bytes, WARP_KEY_LEN);
    wg_field_u64(&writer, REQUEST_SEQUENCE, request->sequence);
  }
  if (request->op == WG_NAME_LOOKUP) {
    pad_lookup(&writer);
  }
  return wg_writer_result(&writer);
}

int wg_name_request_attach(uint8_t *bytes, size_t len, size_t cap,
                           const uint8_t signature[WG_SIGNATURE_LEN]) {
  return wg_signature_attach(bytes, len, cap, signature);
}

static bool read_request_field(wg_field *field, wg_name_request *out) {
  switch (field->type) {
  case REQUEST_OP:
    return wg_field_get_u8(field, &out->op);
  case REQUEST_NONCE:
    return wg_field_get_bytes(field, out->nonce, WG_NAME_NONCE_LEN);
  case REQUEST_NAME:
    return wg_field_get_text(field, out->name, sizeof out->name) && wg_name_valid(out->name);
  case REQUEST_COOKIE:
    out->has_cookie = true;
    return wg_field_get_bytes(field, out->cookie, WG_NAME_COOKIE_LEN);
  case REQUEST_LIFETIME:
    return get_seconds(field, &out->lifetime_s);
  case REQUEST_RECORD:
    return get_record(field, &out->record, &out->record_len);
  case REQUEST_KEY:
    return wg_field_get_bytes(field, out->key.bytes, WARP_KEY_LEN);
  case REQUEST_SEQUENCE:
    return wg_field_get_u64(field, &out->sequence);
  default:
    return true;
  }
}

int wg_name_request_decode(const uint8_t *bytes, size_t len, wg_name_request *out,
                           size_t *signed_len, uint8_t signature[WG_SIGNATURE_LEN]) {
  wg_reader reader = wg_reader_init(bytes, len);
  wg_field field;
  uint64_t seen = 0;
  *out = (wg_name_request){0};
  *signed_len = 0;
  memset(signature, 0, WG_SIGNATURE_LEN);
  int status = wg_packet_open(&reader, WG_PACKET_NAME_REQUEST);
  if (status != WARP_OK) {
    return status;
  }
  bool is_signed = wg_signature_split(&reader, signed_len, signature);
  while (wg_field_next(&reader, &field)) {
    if (!wg_field_once(&seen, field.type) || !read_request_field(&field, out)) {
      return WARP_MALFORMED;
    }
  }
  uint64_t required = required_fields(out->op);
  if (reader.failed || len > WG_NAME_REQUEST_MAX || required == 0 ||
      (seen & required) != required || is_signed != (out->op != WG_NAME_LOOKUP)) {
    return WARP_MALFORMED;
  }
  return WARP_OK;
}

/* ---- replies --------------------------------------------------------------------------------- */

int wg_name_reply_encode(const wg_name_reply *reply, uint8_t *out, size_t cap) {
  if (reply->record_len > WARP_RECORD_MAX) {
    return WARP_TOO_BIG;
  }
  wg_writer writer = wg_writer_init(out, cap);
  wg_packet_begin(&writer, WG_PACKET_NAME_REPLY);
  wg_field_u8(&writer, REPLY_STATUS, reply->status);
  wg_field_bytes(&writer, REPLY_NONCE, reply->nonce, WG_NAME_NONCE_LEN);
  if (reply->lifetime_s != 0) {
    wg_field_u64(&writer, REPLY_LIFETIME, reply->lifetime_s);
  }
  if (reply->has_cookie) {
    wg_field_bytes(&writer, REPLY_COOKIE, reply->cookie, WG_NAME_COOKIE_LEN);
  }
  if (reply->record_len != 0) {
    wg_field_bytes(&writer, REPLY_RECORD, reply->record, reply->record_len);
  }
  return wg_writer_result(&writer);
}

static bool read_reply_field(wg_field *field, wg_name_reply *out) {
  switch (field->type) {
  case REPLY_STATUS:
    return wg_field_get_u8(field, &out->status);
  case REPLY_NONCE:
    return wg_field_get_bytes(field, out->nonce, WG_NAME_NONCE_LEN);
  case REPLY_LIFETIME:
    return get_seconds(field, &out->lifetime_s);
  case REPLY_COOKIE:
    out->has_cookie = true;
    return wg_field_get_bytes(field, out->cookie, WG_NAME_COOKIE_LEN);
  case REPLY_RECORD:
    return get_record(field, &out->record, &out->record_len);
  default:
    return true;
  }
}

int wg_name_reply_decode(const uint8_t *bytes, size_t len, wg_name_reply *out) {
  wg_reader reader = wg_reader_init(bytes, len);
  wg_field field;
  uint64_t seen = 0;
  *out = (wg_name_reply){0};
  int status = wg_packet_open(&reader, WG_PACKET_NAME_REPLY);
  if (status != WARP_OK) {
    return status;
  }
  while (wg_field_next(&reader, &field)) {
    if (!wg_field_once(&seen, field.type) || !read_reply_field(&field, out)) {
      return WARP_MALFORMED;
    }
  }
  uint64_t required = BIT(REPLY_STATUS) | BIT(REPLY_NONCE);
  if (reader.failed || len > WG_NAME_REPLY_MAX || (seen & required) != required) {
    return WARP_MALFORMED;
  }
  return WARP_OK;
}

/* ---- statuses and frames --------------------------------------------------------------------- */

static const struct {
  int result;
  const char *text;
} statuses[] = {
    [WG_NAME_OK] = {WARP_OK, "ok"},
    [WG_NAME_NOT_FOUND] = {WARP_NOT_FOUND, "no such name"},
    [WG_NAME_TAKEN] = {WARP_NAME_TAKEN, "name taken"},
    [WG_NAME_QUOTA] = {WARP_QUOTA, "too many names from this address"},
    [WG_NAME_COOKIE] = {WARP_AGAIN, "ask again with the cookie"},
    [WG_NAME_STALE] = {WARP_REPLAY, "older than what is known"},
    [WG_NAME_BAD_SIGNATURE] = {WARP_BAD_SIGNATURE, "bad signature"},
    [WG_NAME_EXPIRED] = {WARP_EXPIRED, "record expired"},
    [WG_NAME_BUSY] = {WARP_AGAIN, "too many requests, try later"},
    [WG_NAME_FAILED] = {WARP_IO, "the server failed"},
    [WG_NAME_TOO_SHORT] = {WARP_AGAIN, "the request is shorter than its reply"},
};
enum { STATUS_COUNT = sizeof statuses / sizeof statuses[0] };

int wg_name_status_result(uint8_t status) {
  return status < STATUS_COUNT ? statuses[status].result : WARP_IO;
}

const char *wg_name_status_text(uint8_t status) {
  return status < STATUS_COUNT ? statuses[status].text : "a status of a later version";
}

int wg_name_frame_next(const uint8_t *bytes, size_t len, size_t max, size_t *packet_len) {
  wg_reader reader = wg_reader_init(bytes, len);
  *packet_len = 0;
  size_t wanted = wg_read_u16(&reader);
  if (reader.failed) {
    return WARP_AGAIN;
  }
  if (wanted == 0 || wanted > max) {
    return WARP_MALFORMED;
  }
  if (wg_reader_left(&reader) < wanted) {
    return WARP_AGAIN;
  }
  *packet_len = wanted;
  return WARP_OK;
}
