/* Which pair a path settles on, when whoever reads the tags off the wire sends what it likes: the
 * tables stay bounded, no source gets more answers than it may, and only what we sent is proven. */
#include "base/addr.h"
#include "base/bytes.h"
#include "connect/pairs.h"
#include "fuzz_target.h"

#include <stdlib.h>

static wg_pair read_pair(wg_reader *reader) {
  wg_pair pair = {.socket = wg_read_u8(reader) % 4};
  pair.remote = wg_addr_loopback(WARP_IP4, wg_read_u8(reader));
  return pair;
}

static void check(const wg_pairs *pairs) {
  if (pairs->sent_room > WG_PAIRS_SENT || pairs->heard_count > WG_PAIRS_HEARD) {
    abort();
  }
  for (size_t i = 0; i < pairs->heard_count; i++) {
    if (pairs->heard[i].answers > WG_PAIRS_ANSWERS) {
      abort();
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wg_pairs pairs = {0};
  wg_reader reader = wg_reader_init(data, size);
  uint64_t now_us = 0;
  while (wg_reader_left(&reader) > 0) {
    uint8_t what = wg_read_u8(&reader);
    wg_pair pair = read_pair(&reader);
    wg_carried packet = {.sequence = 1u + wg_read_u8(&reader)};
    packet.acknowledged = (what & 8) != 0 ? wg_read_u32(&reader) : wg_read_u8(&reader);
    now_us += (uint64_t)(what >> 4) * 500000;
    if ((what & 3) == 0) {
      (void)wg_pairs_number(&pairs, &pair, (what & 4) != 0, wg_read_u8(&reader) * 0x01010101u);
    } else if ((what & 3) == 1 && (what & 4) != 0) {
      wg_pairs_settle(&pairs);
    } else {
      packet.payload = (what & 3) == 2 ? data : NULL;
      unsigned meant = wg_pairs_heard(&pairs, &pair, &packet, now_us);
      const wg_pair *sent = wg_pairs_sent(&pairs, packet.acknowledged);
      if ((meant & WG_PAIRS_NOW_PROVEN) != 0 &&
          (sent == NULL || sent->socket != pairs.out.socket ||
           !wg_addr_equal(&sent->remote, &pairs.out.remote))) {
        abort();
      }
    }
    check(&pairs);
  }
  wg_pairs_free(&pairs);
  return 0;
}
