#include "wire/frame.h"

#include "wire/packet.h"

void wg_link_header_write(uint8_t out[WG_LINK_HEADER_LEN]) {
  wg_writer writer = wg_writer_init(out, WG_LINK_HEADER_LEN);
  wg_packet_begin(&writer, WG_PACKET_LINK);
}

int wg_link_header_read(const uint8_t *data, size_t len) {
  if (len < WG_LINK_HEADER_LEN) {
    return WARP_AGAIN;
  }
  wg_reader reader = wg_reader_init(data, WG_LINK_HEADER_LEN);
  return wg_packet_open(&reader, WG_PACKET_LINK);
}

void wg_frame_head_write(uint8_t out[WG_FRAME_HEAD_LEN], wg_frame_type type, size_t len) {
  out[0] = (uint8_t)type;
  out[1] = (uint8_t)(len >> 16);
  out[2] = (uint8_t)(len >> 8);
  out[3] = (uint8_t)len;
}

int wg_frame_read(const uint8_t *data, size_t len, wg_frame *out) {
  wg_reader reader = wg_reader_init(data, len);
  uint32_t head = wg_read_u32(&reader);
  if (reader.failed) {
    return WARP_AGAIN;
  }
  *out = (wg_frame){.type = (uint8_t)(head >> 24), .len = head & 0xffffff};
  if (out->len > WG_FRAME_BODY_MAX) {
    return WARP_TOO_BIG;
  }
  if (out->len > 0 && out->type >= WG_FRAME_END && out->type <= WG_FRAME_DONE) {
    return WARP_MALFORMED;
  }
  out->body = wg_read_bytes(&reader, out->len);
  return reader.failed ? WARP_AGAIN : WARP_OK;
}
