/* Name-server packets, as a server and as a client read them, and the frames on TCP. */
#include "fuzz_target.h"
#include "wire/names.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wg_name_request request;
  wg_name_reply reply;
  size_t signed_len, packet_len;
  uint8_t signature[WG_SIGNATURE_LEN], bytes[WG_NAME_REQUEST_MAX];
  if (wg_name_request_decode(data, size, &request, &signed_len, signature) == WARP_OK &&
      wg_name_request_encode(&request, bytes, sizeof bytes) < 0) {
    abort();
  }
  if (wg_name_reply_decode(data, size, &reply) == WARP_OK &&
      wg_name_reply_encode(&reply, bytes, sizeof bytes) < 0) {
    abort();
  }
  if (wg_name_frame_next(data, size, WG_NAME_REQUEST_MAX, &packet_len) == WARP_OK &&
      packet_len + WG_NAME_FRAME_LEN > size) {
    abort();
  }
  return 0;
}
