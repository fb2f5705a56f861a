#include "message.h"

#include "base/bytes.h"
#include <string.h>

size_t wg_turn_write_relayed(const warp_addr *relayed, uint8_t out[TURN_MESSAGE_MAX]) {
  wg_writer writer = wg_writer_init(out, TURN_MESSAGE_MAX);
  wg_write_u8(&writer, relayed->family);
  wg_write_u16(&writer, relayed->port);
  wg_write_bytes(&writer, relayed->ip, relayed->family == WARP_IP4 ? 4 : 16);
  return writer.len;
}

int wg_turn_read_relayed(const uint8_t *data, size_t len, warp_addr *out) {
  wg_reader reader = wg_reader_init(data, len);
  memset(out, 0, sizeof *out);
  out->family = wg_read_u8(&reader);
  out->port = wg_read_u16(&reader);
  wg_read_copy(&reader, out->ip, out->family == WARP_IP4 ? 4 : 16);
  bool known = out->family == WARP_IP4 || out->family == WARP_IP6;
  return !reader.failed && known && out->port != 0 ? WARP_OK : WARP_MALFORMED;
}

size_t wg_turn_write_wanted(bool in_need, uint8_t out[TURN_MESSAGE_MAX]) {
  out[0] = in_need;
  return 1;
}

int wg_turn_read_wanted(const uint8_t *data, size_t len, bool *in_need) {
  *in_need = len > 0 && data[0] != 0;
  return len > 0 ? WARP_OK : WARP_MALFORMED;
}
