/* Probes and carried datagrams on a shared socket. */
#include "fuzz_target.h"
#include "wire/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wg_carried packet;
  if (wg_carry_open(data, size, &packet) == WARP_OK &&
      (packet.payload == NULL ? packet.sequence == 0 || size != WG_PROBE_LEN
                              : packet.sequence != 0 || packet.payload_len == 0 ||
                                    packet.payload_len + WG_CARRY_HEADER_LEN != size)) {
    abort();
  }
  return 0;
}
