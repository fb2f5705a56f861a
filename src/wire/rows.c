#include "wire/rows.h"

#include <string.h>

enum { ROW_FIXED_LEN = 13 };
/* An attempt that never started. */
static const uint32_t never = UINT32_MAX;

bool wg_row_write(wg_writer *writer, const wg_row *row, size_t detail_max) {
  size_t len =
      strnlen(row->detail, detail_max < WARP_DETAIL_LEN ? detail_max : WARP_DETAIL_LEN - 1);
  if (writer->failed || writer->cap - writer->len < ROW_FIXED_LEN + len) {
    return false;
  }
  wg_write_u16(writer, row->attempt);
  wg_write_u16(writer, (uint16_t)-row->status);
  wg_write_u32(writer, row->start_ms < 0 ? never : (uint32_t)row->start_ms);
  wg_write_u32(writer, row->elapsed_ms);
  wg_write_u8(writer, (uint8_t)len);
  wg_write_bytes(writer, row->detail, len);
  return true;
}

bool wg_detail_read(wg_reader *reader, size_t len, char out[WARP_DETAIL_LEN]) {
  out[0] = '\0';
  if (len >= WARP_DETAIL_LEN || len > wg_reader_left(reader)) {
    return false;
  }
  wg_read_copy(reader, out, len);
  out[len] = '\0';
  for (size_t i = 0; i < len; i++) {
    if ((uint8_t)out[i] < 0x20 || out[i] == 0x7f) {
      out[i] = '?';
    }
  }
  return true;
}

bool wg_row_read(wg_reader *reader, wg_row *out) {
  memset(out, 0, sizeof *out);
  if (reader->failed || wg_reader_left(reader) == 0) {
    return false;
  }
  out->attempt = wg_read_u16(reader);
  out->status = -(int32_t)wg_read_u16(reader);
  uint32_t start = wg_read_u32(reader);
  out->elapsed_ms = wg_read_u32(reader);
  size_t len = wg_read_u8(reader);
  if (reader->failed || (start > INT32_MAX && start != never) ||
      !wg_detail_read(reader, len, out->detail)) {
    reader->failed = true;
    return false;
  }
  out->start_ms = start == never ? -1 : (int32_t)start;
  return true;
}
