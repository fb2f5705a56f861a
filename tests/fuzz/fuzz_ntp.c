/* What a node takes from its NTP servers: packets one after the other, before each a byte of which
 * the low two bits choose the server and the others how much time has passed. */
#include "fuzz_target.h"
#include "machine/clock_sync.h"

#include <stdlib.h>
#include <string.h>

enum { STEP_US = 2000 };

/* The origin timestamps of the corpus. */
static int same_every_time(void *arg, void *out, size_t len) {
  const uint64_t nonce = UINT64_C(0x0001020304050607);
  (void)arg;
  memcpy(out, &nonce, len < sizeof nonce ? len : sizeof nonce);
  return WARP_OK;
}

static void drain(wg_clock_sync *sync, uint64_t now_us) {
  size_t server;
  const uint8_t *bytes;
  while (wg_clock_sync_output(sync, now_us, &server, &bytes)) {
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wg_clock_sync sync;
  const wg_clock_options options = {
      .server_count = 3, .samples = 2, .timeout_ms = 2000, .random = same_every_time};
  uint64_t now_us = 1000000;
  if (wg_clock_sync_start(&sync, &options, now_us) != WARP_OK) {
    abort();
  }
  while (size > 0) {
    drain(&sync, now_us);
    size_t len = size - 1 < WG_NTP_LEN ? size - 1 : WG_NTP_LEN;
    now_us += (data[0] >> 2) * (uint64_t)STEP_US;
    (void)wg_clock_sync_input(&sync, data[0] & 3, data + 1, len, now_us);
    data += 1 + len;
    size -= 1 + len;
  }
  drain(&sync, wg_clock_sync_deadline(&sync));
  drain(&sync, now_us + 3000000);
  if (!sync.done ||
      (sync.result.status == WARP_OK && 2 * sync.result.agreed <= sync.result.answered)) {
    abort();
  }
  return 0;
}
