/*
 * Bounds-checked reading and writing of big-endian bytes.
 *
 * Both carry a sticky error: after the first overrun every further call is a no-op (reads give 0 or
 * NULL), so that a codec reads or writes a whole structure and checks once at the end.
 */
#ifndef WG_BASE_BYTES_H
#define WG_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wg_reader {
  const uint8_t *data;
  size_t len, pos;
  bool failed;
} wg_reader;

typedef struct wg_writer {
  uint8_t *data;
  size_t cap, len;
  bool failed;
} wg_writer;

/* The reader borrows `data`, which must outlive it. */
wg_reader wg_reader_init(const void *data, size_t len);
size_t wg_reader_left(const wg_reader *reader);
uint8_t wg_read_u8(wg_reader *reader);
uint16_t wg_read_u16(wg_reader *reader);
uint32_t wg_read_u32(wg_reader *reader);
uint64_t wg_read_u64(wg_reader *reader);
/* `len` bytes inside the reader's data, or NULL (and failed). */
const uint8_t *wg_read_bytes(wg_reader *reader, size_t len);
/* Copies `len` bytes to `out` (zeroed on failure). */
void wg_read_copy(wg_reader *reader, void *out, size_t len);
/* A reader of the next `len` bytes only; failed and empty when there are fewer. */
wg_reader wg_read_sub(wg_reader *reader, size_t len);

/* The writer borrows `data`, `cap` bytes long. */
wg_writer wg_writer_init(void *data, size_t cap);
void wg_write_u8(wg_writer *writer, uint8_t value);
void wg_write_u16(wg_writer *writer, uint16_t value);
void wg_write_u32(wg_writer *writer, uint32_t value);
void wg_write_u64(wg_writer *writer, uint64_t value);
void wg_write_bytes(wg_writer *writer, const void *data, size_t len);
void wg_write_zeros(wg_writer *writer, size_t len);
/* Overwrites two bytes written before at `pos`, for lengths known late. */
void wg_write_patch_u16(wg_writer *writer, size_t pos, uint16_t value);

/* Compares in time that depends on `len` only. */
bool wg_bytes_equal_ct(const void *a, const void *b, size_t len);
/* Lower-case hex of `len` bytes and NUL; `out` has room for 2 * len + 1. */
void wg_hex_encode(const void *data, size_t len, char *out);
/* Parses exactly `len` bytes of hex. False when the text is shorter, longer or not hex. */
bool wg_hex_decode(const char *text, void *out, size_t len);
/* Base64url without padding (RFC 4648 section 5). `out` has room for 4 * ((len + 2) / 3) + 1. */
void wg_base64url_encode(const void *data, size_t len, char *out);
/* Decodes to at most `cap` bytes; returns the length, or -1 when malformed (also: stray bits) or
 * too big. */
long wg_base64url_decode(const char *text, size_t text_len, void *out, size_t cap);

#endif
