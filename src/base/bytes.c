#include "base/bytes.h"

#include <string.h>

/* ---- reader ---------------------------------------------------------------------------------- */

wg_reader wg_reader_init(const void *data, size_t len) {
  return (wg_reader){.data = data, .len = len};
}

size_t wg_reader_left(const wg_reader *reader) {
  return reader->failed ? 0 : reader->len - reader->pos;
}

const uint8_t *wg_read_bytes(wg_reader *reader, size_t len) {
  if (reader->failed || len > reader->len - reader->pos) {
    reader->failed = true;
    return NULL;
  }
  const uint8_t *at = reader->data + reader->pos;
  reader->pos += len;
  return at;
}

/* Reads a big-endian number of `len` bytes, at most 8. */
static uint64_t read_number(wg_reader *reader, size_t len) {
  const uint8_t *at = wg_read_bytes(reader, len);
  uint64_t value = 0;
  for (size_t i = 0; at != NULL && i < len; i++) {
    value = value << 8 | at[i];
  }
  return value;
}

uint8_t wg_read_u8(wg_reader *reader) {
  return (uint8_t)read_number(reader, 1);
}

uint16_t wg_read_u16(wg_reader *reader) {
  return (uint16_t)read_number(reader, 2);
}

uint32_t wg_read_u32(wg_reader *reader) {
  return (uint32_t)read_number(reader, 4);
}

uint64_t wg_read_u64(wg_reader *reader) {
  return read_number(reader, 8);
}

void wg_read_copy(wg_reader *reader, void *out, size_t len) {
  if (len == 0) {
    return;
  }
  const uint8_t *at = wg_read_bytes(reader, len);
  if (at != NULL) {
    memcpy(out, at, len);
  } else {
    memset(out, 0, len);
  }
}

wg_reader wg_read_sub(wg_reader *reader, size_t len) {
  const uint8_t *at = wg_read_bytes(reader, len);
  if (reader->failed) {
    return (wg_reader){.failed = true};
  }
  return wg_reader_init(at, len);
}

/* ---- writer ---------------------------------------------------------------------------------- */

wg_writer wg_writer_init(void *data, size_t cap) {
  return (wg_writer){.data = data, .cap = cap};
}

/* Room for `len` bytes at the end, or NULL and failed. */
static uint8_t *reserve(wg_writer *writer, size_t len) {
  if (writer->failed || len > writer->cap - writer->len) {
    writer->failed = true;
    return NULL;
  }
  uint8_t *at = writer->data + writer->len;
  writer->len += len;
  return at;
}

static void write_number(wg_writer *writer, uint64_t value, size_t len) {
  uint8_t *at = reserve(writer, len);
  for (size_t i = 0; at != NULL && i < len; i++) {
    at[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
  }
}

void wg_write_u8(wg_writer *writer, uint8_t value) {
  write_number(writer, value, 1);
}

void wg_write_u16(wg_writer *writer, uint16_t value) {
  write_number(writer, value, 2);
}

void wg_write_u32(wg_writer *writer, uint32_t value) {
  write_number(writer, value, 4);
}

void wg_write_u64(wg_writer *writer, uint64_t value) {
  write_number(writer, value, 8);
}

void wg_write_bytes(wg_writer *writer, const void *data, size_t len) {
  if (len == 0) {
    return;
  }
  uint8_t *at = reserve(writer, len);
  if (at != NULL) {
    memcpy(at, data, len);
  }
}

void wg_write_zeros(wg_writer *writer, size_t len) {
  uint8_t *at = reserve(writer, len);
  if (at != NULL && len > 0) {
    memset(at, 0, len);
  }
}

void wg_write_patch_u16(wg_writer *writer, size_t pos, uint16_t value) {
  if (writer->failed || writer->len < 2 || pos > writer->len - 2) {
    writer->failed = true;
    return;
  }
  writer->data[pos] = (uint8_t)(value >> 8);
  writer->data[pos + 1] = (uint8_t)value;
}

/* ---- comparing and text forms ---------------------------------------------------------------- */

bool wg_bytes_equal_ct(const void *a, const void *b, size_t len) {
  const volatile uint8_t *x = a;
  const volatile uint8_t *y = b;
  uint8_t difference = 0;
  for (size_t i = 0; i < len; i++) {
    difference |= (uint8_t)(x[i] ^ y[i]);
  }
  return difference == 0;
}

void wg_hex_encode(const void *data, size_t len, char *out) {
  static const char digits[] = "0123456789abcdef";
  const uint8_t *bytes = data;
  for (size_t i = 0; i < len; i++) {
    out[2 * i] = digits[bytes[i] >> 4];
    out[2 * i + 1] = digits[bytes[i] & 15];
  }
  out[2 * len] = '\0';
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  if (c >= 'A' && c <= 'F') {
    return c - 'A' + 10;
  }
  return -1;
}

bool wg_hex_decode(const char *text, void *out, size_t len) {
  uint8_t *bytes = out;
  for (size_t i = 0; i < len; i++) {
    int high = hex_digit(text[2 * i]);
    int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
    if (low < 0) {
      return false;
    }
    bytes[i] = (uint8_t)(high << 4 | low);
  }
  return text[2 * len] == '\0';
}

void wg_base64url_encode(const void *data, size_t len, char *out) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const uint8_t *bytes = data;
  uint32_t buffer = 0;
  unsigned bits = 0;
  for (size_t i = 0; i < len; i++) {
    buffer = buffer << 8 | bytes[i];
    for (bits += 8; bits >= 6; bits -= 6) {
      *out++ = digits[buffer >> (bits - 6) & 63];
    }
  }
  if (bits > 0) {
    *out++ = digits[buffer << (6 - bits) & 63];
  }
  *out = '\0';
}

static int base64url_digit(char c) {
  if (c >= 'A' && c <= 'Z') {
    return c - 'A';
  }
  if (c >= 'a' && c <= 'z') {
    return c - 'a' + 26;
  }
  if (c >= '0' && c <= '9') {
    return c - '0' + 52;
  }
  return c == '-' ? 62 : c == '_' ? 63 : -1;
}

long wg_base64url_decode(const char *text, size_t text_len, void *out, size_t cap) {
  uint8_t *bytes = out;
  size_t len = 0;
  uint32_t buffer = 0;
  unsigned bits = 0;
  if (text_len % 4 == 1) { /* six bits alone are no byte */
    return -1;
  }
  for (size_t i = 0; i < text_len; i++) {
    int digit = base64url_digit(text[i]);
    if (digit < 0) {
      return -1;
    }
    buffer = buffer << 6 | (uint32_t)digit;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      if (len == cap) {
        return -1;
      }
      bytes[len++] = (uint8_t)(buffer >> bits);
    }
  }
  /* Bits that belong to no byte must be zero, so that bytes have one spelling only. */
  if ((buffer & ((1u << bits) - 1)) != 0) {
    return -1;
  }
  return (long)len;
}
