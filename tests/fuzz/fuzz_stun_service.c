/*
 * Requests to the STUN server. The first byte says how it came: bit 0 over UDP, bits 1 and 2 the
 * endpoint, bit 3 whether connections back are allowed. An answer is a message that can be read, it
 * goes to the requester alone, and no longer one is made of a request that is no STUN.
 */
#include "fixtures/stun/service.h"
#include "fuzz_target.h"

#include <stdlib.h>

static void check(const stun_question *question, const stun_answer *answer) {
  wg_stun_message message;
  if (answer->len == 0) {
    return;
  }
  if (answer->origin >= STUN_ENDPOINTS ||
      wg_stun_decode(answer->bytes, answer->len, &message) != WARP_OK ||
      (message.class != WG_STUN_SUCCESS && message.class != WG_STUN_ERROR) ||
      (question->udp && answer->back)) {
    abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  stun_service service = {.connect_back = false};
  if (size == 0) {
    return 0;
  }
  for (unsigned i = 0; i < STUN_ENDPOINTS; i++) {
    service.at[i] = (warp_addr){.family = WARP_IP4,
                                .ip = {203, 0, 113, i & STUN_OTHER_IP ? 11 : 10},
                                .port = i & STUN_OTHER_PORT ? 3479 : 3478};
  }
  service.connect_back = data[0] & 8;
  stun_question question = {.bytes = data + 1,
                            .len = size - 1,
                            .endpoint = (data[0] >> 1) & 3,
                            .udp = data[0] & 1,
                            .from = {.family = WARP_IP4, .ip = {192, 0, 2, 1}, .port = 5000}};
  stun_answer answer;
  stun_service_answer(&service, &question, &answer);
  check(&question, &answer);
  if (answer.back) {
    stun_service_no_way_back(&question, WARP_TIMEOUT, &answer);
    check(&question, &answer);
  }
  return 0;
}
