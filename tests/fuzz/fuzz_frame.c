/* What a link reads of its peer: the header and frames, one after the other. */
#include "fuzz_target.h"
#include "wire/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wg_frame frame;
  if (wg_link_header_read(data, size) != WARP_OK) {
    return 0;
  }
  data += WG_LINK_HEADER_LEN;
  size -= WG_LINK_HEADER_LEN;
  while (wg_frame_read(data, size, &frame) == WARP_OK) {
    if (frame.len > WG_FRAME_BODY_MAX || frame.len > size - WG_FRAME_HEAD_LEN) {
      abort();
    }
    data += WG_FRAME_HEAD_LEN + frame.len;
    size -= WG_FRAME_HEAD_LEN + frame.len;
  }
  return 0;
}
