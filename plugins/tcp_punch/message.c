#include "message.h"

#include "base/bytes.h"
#include <string.h>

enum { FLAG_GO = 1, FLAG_DIALLED = 2 };

size_t wg_tcp_punch_write(const punch_message *message, uint8_t out[PUNCH_MESSAGE_MAX]) {
  wg_writer writer = wg_writer_init(out, PUNCH_MESSAGE_MAX);
  wg_write_u8(&writer,
              (uint8_t)((message->go ? FLAG_GO : 0) | (message->dialled ? FLAG_DIALLED : 0)));
  wg_write_u64(&writer, (uint64_t)message->sent_us);
  wg_write_u64(&writer, (uint64_t)message->instant_us);
  int len = wg_offer_encode(&message->offer, out + writer.len, PUNCH_MESSAGE_MAX - writer.len);
  return len < 0 ? 0 : writer.len + (size_t)len;
}

int wg_tcp_punch_read(const uint8_t *data, size_t len, punch_message *out) {
  wg_reader reader = wg_reader_init(data, len);
  memset(out, 0, sizeof *out);
  uint8_t flags = wg_read_u8(&reader);
  out->go = (flags & FLAG_GO) != 0;
  out->dialled = (flags & FLAG_DIALLED) != 0;
  out->sent_us = (int64_t)wg_read_u64(&reader);
  out->instant_us = (int64_t)wg_read_u64(&reader);
  if (reader.failed || out->sent_us < 0 || out->instant_us < 0)
    return WARP_MALFORMED;
  size_t left = wg_reader_left(&reader);
  int status = wg_offer_decode(wg_read_bytes(&reader, left), left, &out->offer);
  return status == WARP_OK && out->offer.plan.strategy == WG_STRATEGY_BIRTHDAY ? WARP_MALFORMED
                                                                               : status;
}
