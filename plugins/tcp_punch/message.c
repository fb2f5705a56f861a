#include "message.h"

#include "base/bytes.h"
#include <string.h>
#include <warpgate/plugin.h>

enum { FLAG_GO = 1, FLAG_DIALLED = 2 };

size_t wg_tcp_punch_write(const punch_message *message, uint8_t out[PUNCH_MESSAGE_MAX]) {
  wg_writer writer = wg_writer_init(out, PUNCH_MESSAGE_MAX);
  wg_write_u8(&writer, message->round);
  wg_write_u8(&writer,
              (uint8_t)((message->go ? FLAG_GO : 0) | (message->dialled ? FLAG_DIALLED : 0)));
  wg_write_u64(&writer, (uint64_t)message->sent_us);
  wg_write_u64(&writer, (uint64_t)message->instant_us);
  wg_write_u8(&writer, message->count);
  for (size_t i = 0; i < message->count; i++)
    wg_write_u16(&writer, message->ports[i]);
  return writer.len;
}

int wg_tcp_punch_read(const uint8_t *data, size_t len, punch_message *out) {
  wg_reader reader = wg_reader_init(data, len);
  memset(out, 0, sizeof *out);
  out->round = wg_read_u8(&reader);
  uint8_t flags = wg_read_u8(&reader);
  out->go = (flags & FLAG_GO) != 0;
  out->dialled = (flags & FLAG_DIALLED) != 0;
  out->sent_us = (int64_t)wg_read_u64(&reader);
  out->instant_us = (int64_t)wg_read_u64(&reader);
  out->count = wg_read_u8(&reader);
  bool good =
      !reader.failed && out->count <= PUNCH_PORTS && out->sent_us >= 0 && out->instant_us >= 0;
  for (size_t i = 0; good && i < out->count; i++) {
    out->ports[i] = wg_read_u16(&reader);
    good = out->ports[i] != 0;
  }
  return good && !reader.failed ? WARP_OK : WARP_MALFORMED;
}
