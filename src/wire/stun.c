#include "wire/stun.h"

#include "base/addr.h"
#include "wire/digest.h"
#include "wire/turn.h"

#include <string.h>

enum {
  ATTR_HEADER_LEN = 4,
  FINGERPRINT_LEN = 4,
  SHA1_LEN = 20,
  SHA256_LEN = 32,
  SHA256_MIN_LEN = 16, /* RFC 8489 section 14.6: it may be truncated to no less */
};
static const uint32_t fingerprint_xor = 0x5354554e; /* "STUN" */

static size_t padded(size_t len) {
  return (len + 3) & ~(size_t)3;
}

/* Those that are sent XORed with the cookie and transaction id. */
static bool is_xored(uint16_t type) {
  return type == WG_STUN_XOR_MAPPED_ADDRESS || type == WG_TURN_XOR_PEER_ADDRESS ||
         type == WG_TURN_XOR_RELAYED_ADDRESS;
}

/* The message type interleaves method and class (RFC 8489 figure 3). */
static uint16_t type_of(wg_stun_class class, uint16_t method) {
  unsigned m = method;
  unsigned c = class;
  return (uint16_t)((m & 0xf80) << 2 | (m & 0x070) << 1 | (m & 0x00f) | (c & 2) << 7 |
                    (c & 1) << 4);
}

/* ---- reading --------------------------------------------------------------------------------- */

bool wg_stun_is(const uint8_t *bytes, size_t len) {
  wg_reader reader = wg_reader_init(bytes, len);
  uint16_t type = wg_read_u16(&reader);
  wg_read_u16(&reader);
  uint32_t cookie = wg_read_u32(&reader);
  return len >= WG_STUN_HEADER_LEN && type < 0x4000 && cookie == WG_STUN_COOKIE;
}

/* The attribute at `offset`, whatever stands before it. False when none begins there. */
static bool attr_at(const wg_stun_message *message, size_t offset, wg_stun_attr *out) {
  wg_reader reader = wg_reader_init(message->bytes, message->len);
  wg_read_bytes(&reader, offset);
  out->offset = offset;
  out->type = wg_read_u16(&reader);
  out->len = wg_read_u16(&reader);
  out->value = wg_read_bytes(&reader, out->len);
  wg_read_bytes(&reader, padded(out->len) - out->len);
  return !reader.failed;
}

static size_t attr_end(const wg_stun_attr *attr) {
  return attr->offset + ATTR_HEADER_LEN + padded(attr->len);
}

static uint32_t fingerprint_of(const uint8_t *bytes, size_t len) {
  return wg_crc32(0, bytes, len) ^ fingerprint_xor;
}

static bool fingerprint_good(const wg_stun_message *message, const wg_stun_attr *attr) {
  wg_reader reader = wg_reader_init(attr->value, attr->len);
  uint32_t got = wg_read_u32(&reader);
  return attr->len == FINGERPRINT_LEN && attr_end(attr) == message->len &&
         got == fingerprint_of(message->bytes, attr->offset);
}

int wg_stun_decode(const uint8_t *bytes, size_t len, wg_stun_message *out) {
  *out = (wg_stun_message){.bytes = bytes, .len = len};
  if (!wg_stun_is(bytes, len) || len > WG_STUN_MAX || len % 4 != 0) {
    return WARP_MALFORMED;
  }
  wg_reader reader = wg_reader_init(bytes, len);
  unsigned type = wg_read_u16(&reader);
  if (wg_read_u16(&reader) != len - WG_STUN_HEADER_LEN) {
    return WARP_MALFORMED;
  }
  wg_read_u32(&reader);
  wg_read_copy(&reader, out->txid.bytes, WG_STUN_TXID_LEN);
  out->method = (uint16_t)((type & 0x3e00) >> 2 | (type & 0x00e0) >> 1 | (type & 0x000f));
  out->class = (wg_stun_class)((type & 0x0100) >> 7 | (type & 0x0010) >> 4);

  wg_stun_attr attr;
  for (size_t at = WG_STUN_HEADER_LEN; at < len; at = attr_end(&attr)) {
    if (!attr_at(out, at, &attr) ||
        (attr.type == WG_STUN_FINGERPRINT && !fingerprint_good(out, &attr))) {
      return WARP_MALFORMED;
    }
  }
  return WARP_OK;
}

wg_stun_iter wg_stun_attrs(const wg_stun_message *message) {
  return (wg_stun_iter){.message = message, .offset = WG_STUN_HEADER_LEN};
}

bool wg_stun_next(wg_stun_iter *iter, wg_stun_attr *out) {
  while (attr_at(iter->message, iter->offset, out)) {
    bool hidden =
        out->type != WG_STUN_FINGERPRINT &&
        (iter->after_sha256 || (iter->after_sha1 && out->type != WG_STUN_MESSAGE_INTEGRITY_SHA256));
    iter->offset = attr_end(out);
    iter->after_sha1 |= out->type == WG_STUN_MESSAGE_INTEGRITY;
    iter->after_sha256 |= out->type == WG_STUN_MESSAGE_INTEGRITY_SHA256;
    if (!hidden) {
      return true;
    }
  }
  return false;
}

bool wg_stun_find(const wg_stun_message *message, uint16_t type, wg_stun_attr *out) {
  wg_stun_iter iter = wg_stun_attrs(message);
  while (wg_stun_next(&iter, out)) {
    if (out->type == type) {
      return true;
    }
  }
  return false;
}

/* What an XORed address is XORed with: the cookie, then the transaction id (RFC 8489 14.2). */
static void address_mask(const wg_stun_txid *txid, uint8_t out[16]) {
  wg_writer writer = wg_writer_init(out, 16);
  wg_write_u32(&writer, WG_STUN_COOKIE);
  wg_write_bytes(&writer, txid->bytes, WG_STUN_TXID_LEN);
}

bool wg_stun_find_addr(const wg_stun_message *message, uint16_t type, warp_addr *out) {
  wg_stun_attr attr;
  if (!wg_stun_find(message, type, &attr)) {
    return false;
  }
  wg_reader reader = wg_reader_init(attr.value, attr.len);
  wg_read_u8(&reader);
  uint8_t family = wg_read_u8(&reader);
  if (family != 1 && family != 2) {
    return false;
  }
  warp_addr addr = wg_addr_any(family == 1 ? WARP_IP4 : WARP_IP6, wg_read_u16(&reader));
  wg_read_copy(&reader, addr.ip, wg_addr_ip_len(&addr));
  if (reader.failed || wg_reader_left(&reader) != 0) {
    return false;
  }
  if (is_xored(type)) {
    uint8_t mask[16];
    address_mask(&message->txid, mask);
    addr.port ^= (uint16_t)(mask[0] << 8 | mask[1]);
    for (size_t i = 0; i < wg_addr_ip_len(&addr); i++) {
      addr.ip[i] ^= mask[i];
    }
  }
  *out = addr;
  return true;
}

bool wg_stun_find_mapped(const wg_stun_message *message, warp_addr *out) {
  return wg_stun_find_addr(message, WG_STUN_XOR_MAPPED_ADDRESS, out) ||
         wg_stun_find_addr(message, WG_STUN_MAPPED_ADDRESS, out);
}

bool wg_stun_find_u32(const wg_stun_message *message, uint16_t type, uint32_t *out) {
  wg_stun_attr attr;
  if (!wg_stun_find(message, type, &attr) || attr.len != 4) {
    return false;
  }
  wg_reader reader = wg_reader_init(attr.value, attr.len);
  *out = wg_read_u32(&reader);
  return true;
}

bool wg_stun_find_text(const wg_stun_message *message, uint16_t type, char *out, size_t room) {
  wg_stun_attr attr;
  if (!wg_stun_find(message, type, &attr) || attr.len >= room ||
      memchr(attr.value, '\0', attr.len) != NULL) {
    return false;
  }
  memcpy(out, attr.value, attr.len);
  out[attr.len] = '\0';
  return true;
}

bool wg_stun_find_error(const wg_stun_message *message, unsigned *code, char *reason, size_t room) {
  wg_stun_attr attr;
  if (!wg_stun_find(message, WG_STUN_ERROR_CODE, &attr)) {
    return false;
  }
  wg_reader reader = wg_reader_init(attr.value, attr.len);
  wg_read_u16(&reader);
  unsigned hundreds = wg_read_u8(&reader) & 7;
  unsigned number = wg_read_u8(&reader);
  if (reader.failed || hundreds < 3 || hundreds > 6 || number > 99) {
    return false;
  }
  *code = 100 * hundreds + number;
  size_t len = wg_reader_left(&reader);
  len = len < room - 1 ? len : room - 1;
  wg_read_copy(&reader, reason, len);
  for (size_t i = 0; i < len; i++) {
    if ((uint8_t)reason[i] < 0x20 || reason[i] == 0x7f) {
      reason[i] = '?';
    }
  }
  reason[len] = '\0';
  return true;
}

static bool is_known(uint16_t type) {
  static const uint16_t known[] = {
      WG_STUN_MAPPED_ADDRESS, WG_STUN_CHANGE_REQUEST, WG_STUN_USERNAME, WG_STUN_MESSAGE_INTEGRITY,
      WG_STUN_ERROR_CODE, WG_STUN_UNKNOWN_ATTRIBUTES, WG_STUN_REALM, WG_STUN_NONCE,
      WG_STUN_RESPONSE_PORT, WG_STUN_MESSAGE_INTEGRITY_SHA256, WG_STUN_XOR_MAPPED_ADDRESS,
      WG_TURN_CHANNEL_NUMBER, WG_TURN_LIFETIME, WG_TURN_XOR_PEER_ADDRESS, WG_TURN_DATA_ATTR,
      WG_TURN_XOR_RELAYED_ADDRESS, WG_TURN_REQUESTED_ADDRESS_FAMILY, WG_TURN_REQUESTED_TRANSPORT,
      /* RFC 3489's, which old servers still send beside the present ones: harmless. */
      0x0002, /* RESPONSE-ADDRESS */
      0x0004, /* SOURCE-ADDRESS */
      0x0005, /* CHANGED-ADDRESS */
      0x0007, /* PASSWORD */
      0x000b, /* REFLECTED-FROM */
  };
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (known[i] == type) {
      return true;
    }
  }
  return false;
}

size_t wg_stun_unknown(const wg_stun_message *message, uint16_t *out, size_t max) {
  wg_stun_iter iter = wg_stun_attrs(message);
  size_t count = 0;
  wg_stun_attr attr;
  while (wg_stun_next(&iter, &attr)) {
    if (attr.type < 0x8000 && !is_known(attr.type)) {
      if (count < max) {
        out[count] = attr.type;
      }
      count++;
    }
  }
  return count;
}

/* ---- integrity ------------------------------------------------------------------------------- */

int wg_stun_long_term_key(const char *user, const char *realm, const char *password,
                          uint8_t out[WG_STUN_LONG_TERM_KEY_LEN]) {
  const wg_part parts[] = {
      {user, strlen(user)},         {":", 1}, {realm, strlen(realm)}, {":", 1},
      {password, strlen(password)},
  };
  return wg_digest_parts(WG_DIGEST_MD5, parts, sizeof parts / sizeof parts[0], out);
}

/* The HMAC of a message up to `len`, with the length that its header would have if it ended after
 * an attribute of `value_len` at that place (RFC 8489 section 14.5). */
static int integrity_of(wg_digest digest, const uint8_t *bytes, size_t len, size_t value_len,
                        const void *key, size_t key_len, uint8_t *out) {
  size_t counted = len + ATTR_HEADER_LEN + value_len - WG_STUN_HEADER_LEN;
  const uint8_t length_field[2] = {(uint8_t)(counted >> 8), (uint8_t)counted};
  const wg_part parts[] = {{bytes, 2}, {length_field, 2}, {bytes + 4, len - 4}};
  return wg_hmac_parts(digest, key, key_len, parts, 3, out);
}

static int check(const wg_stun_message *message, uint16_t type, wg_digest digest, size_t min_len,
                 const void *key, size_t key_len) {
  wg_stun_attr attr;
  uint8_t expected[WG_DIGEST_MAX];
  if (!wg_stun_find(message, type, &attr)) {
    return WARP_NOT_FOUND;
  }
  if (attr.len < min_len || attr.len > wg_digest_len(digest) || attr.len % 4 != 0) {
    return WARP_BAD_SIGNATURE;
  }
  int status = integrity_of(digest, message->bytes, attr.offset, attr.len, key, key_len, expected);
  if (status != WARP_OK) {
    return status;
  }
  return wg_bytes_equal_ct(expected, attr.value, attr.len) ? WARP_OK : WARP_BAD_SIGNATURE;
}

int wg_stun_check_integrity(const wg_stun_message *message, const void *key, size_t key_len) {
  return check(message, WG_STUN_MESSAGE_INTEGRITY, WG_DIGEST_SHA1, SHA1_LEN, key, key_len);
}

int wg_stun_check_integrity_sha256(const wg_stun_message *message, const void *key,
                                   size_t key_len) {
  return check(message, WG_STUN_MESSAGE_INTEGRITY_SHA256, WG_DIGEST_SHA256, SHA256_MIN_LEN, key,
               key_len);
}

/* ---- writing --------------------------------------------------------------------------------- */

void wg_stun_begin(wg_writer *writer, wg_stun_class class, uint16_t method,
                   const wg_stun_txid *txid) {
  wg_write_u16(writer, type_of(class, method));
  wg_write_u16(writer, 0);
  wg_write_u32(writer, WG_STUN_COOKIE);
  wg_write_bytes(writer, txid->bytes, WG_STUN_TXID_LEN);
}

void wg_stun_attr_bytes(wg_writer *writer, uint16_t type, const void *value, size_t len) {
  if (len > UINT16_MAX) {
    writer->failed = true;
    return;
  }
  wg_write_u16(writer, type);
  wg_write_u16(writer, (uint16_t)len);
  wg_write_bytes(writer, value, len);
  wg_write_zeros(writer, padded(len) - len);
}

void wg_stun_attr_text(wg_writer *writer, uint16_t type, const char *text) {
  wg_stun_attr_bytes(writer, type, text, strlen(text));
}

void wg_stun_attr_u32(wg_writer *writer, uint16_t type, uint32_t value) {
  wg_write_u16(writer, type);
  wg_write_u16(writer, 4);
  wg_write_u32(writer, value);
}

void wg_stun_attr_addr(wg_writer *writer, uint16_t type, const warp_addr *addr) {
  uint8_t mask[16] = {0};
  uint8_t ip[16];
  size_t ip_len = wg_addr_ip_len(addr);
  if (ip_len == 0 || writer->failed || writer->len < WG_STUN_HEADER_LEN) {
    writer->failed = true;
    return;
  }
  if (is_xored(type)) {
    memcpy(mask, writer->data + 4, sizeof mask); /* cookie and transaction id of this message */
  }
  for (size_t i = 0; i < ip_len; i++) {
    ip[i] = addr->ip[i] ^ mask[i];
  }
  wg_write_u16(writer, type);
  wg_write_u16(writer, (uint16_t)(4 + ip_len));
  wg_write_u8(writer, 0);
  wg_write_u8(writer, addr->family == WARP_IP4 ? 1 : 2);
  wg_write_u16(writer, (uint16_t)(addr->port ^ (mask[0] << 8 | mask[1])));
  wg_write_bytes(writer, ip, ip_len);
}

void wg_stun_attr_error(wg_writer *writer, unsigned code, const char *reason) {
  size_t len = strlen(reason);
  if (code < 300 || code > 699 || len > WG_STUN_TEXT_MAX) {
    writer->failed = true;
    return;
  }
  wg_write_u16(writer, WG_STUN_ERROR_CODE);
  wg_write_u16(writer, (uint16_t)(4 + len));
  wg_write_u16(writer, 0);
  wg_write_u8(writer, (uint8_t)(code / 100));
  wg_write_u8(writer, (uint8_t)(code % 100));
  wg_write_bytes(writer, reason, len);
  wg_write_zeros(writer, padded(len) - len);
}

void wg_stun_attr_unknown(wg_writer *writer, const uint16_t *types, size_t count) {
  if (count > UINT16_MAX / 2) {
    writer->failed = true;
    return;
  }
  wg_write_u16(writer, WG_STUN_UNKNOWN_ATTRIBUTES);
  wg_write_u16(writer, (uint16_t)(2 * count));
  for (size_t i = 0; i < count; i++) {
    wg_write_u16(writer, types[i]);
  }
  wg_write_zeros(writer, padded(2 * count) - 2 * count);
}

static void write_integrity(wg_writer *writer, uint16_t type, wg_digest digest, const void *key,
                            size_t key_len) {
  uint8_t value[WG_DIGEST_MAX];
  size_t len = wg_digest_len(digest);
  if (writer->failed || writer->len < WG_STUN_HEADER_LEN ||
      integrity_of(digest, writer->data, writer->len, len, key, key_len, value) != WARP_OK) {
    writer->failed = true;
    return;
  }
  wg_stun_attr_bytes(writer, type, value, len);
}

void wg_stun_integrity(wg_writer *writer, const void *key, size_t key_len) {
  write_integrity(writer, WG_STUN_MESSAGE_INTEGRITY, WG_DIGEST_SHA1, key, key_len);
}

void wg_stun_integrity_sha256(wg_writer *writer, const void *key, size_t key_len) {
  write_integrity(writer, WG_STUN_MESSAGE_INTEGRITY_SHA256, WG_DIGEST_SHA256, key, key_len);
}

/* Sets the header's length field to count `extra` bytes more than are written. */
static void patch_length(wg_writer *writer, size_t extra) {
  size_t len = writer->len + extra;
  if (writer->failed || len < WG_STUN_HEADER_LEN || len > WG_STUN_MAX) {
    writer->failed = true;
    return;
  }
  wg_write_patch_u16(writer, 2, (uint16_t)(len - WG_STUN_HEADER_LEN));
}

void wg_stun_fingerprint(wg_writer *writer) {
  patch_length(writer, ATTR_HEADER_LEN + FINGERPRINT_LEN);
  if (!writer->failed) {
    wg_stun_attr_u32(writer, WG_STUN_FINGERPRINT, fingerprint_of(writer->data, writer->len));
  }
}

int wg_stun_end(wg_writer *writer) {
  patch_length(writer, 0);
  return writer->failed ? WARP_TOO_BIG : (int)writer->len;
}

/* ---- TCP ------------------------------------------------------------------------------------- */

int wg_stun_frame_next(const uint8_t *bytes, size_t len, size_t *message_len) {
  wg_reader reader = wg_reader_init(bytes, len);
  *message_len = 0;
  uint16_t type = wg_read_u16(&reader);
  size_t wanted = WG_STUN_HEADER_LEN + (size_t)wg_read_u16(&reader);
  if (reader.failed) {
    return len > 0 && bytes[0] >= 0x40 ? WARP_MALFORMED : WARP_AGAIN;
  }
  if (type >= 0x4000 || wanted > WG_STUN_MAX || wanted % 4 != 0) {
    return WARP_MALFORMED;
  }
  if (len >= WG_STUN_HEADER_LEN && !wg_stun_is(bytes, len)) {
    return WARP_MALFORMED;
  }
  if (len < wanted) {
    return WARP_AGAIN;
  }
  *message_len = wanted;
  return WARP_OK;
}
