/* STUN messages of strangers: the structure, every attribute as every type, integrity, frames. */
#include "fuzz_target.h"
#include "wire/stun.h"

static void read_attribute(const wg_stun_message *message, const wg_stun_attr *attr) {
  warp_addr addr;
  uint32_t number;
  char text[64];
  (void)wg_stun_find_addr(message, attr->type, &addr);
  (void)wg_stun_find_u32(message, attr->type, &number);
  (void)wg_stun_find_text(message, attr->type, text, sizeof text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  wg_stun_message message;
  wg_stun_attr attr;
  warp_addr mapped;
  unsigned code;
  char reason[32];
  uint16_t unknown[4];
  size_t frame;
  (void)wg_stun_is(data, size);
  (void)wg_stun_frame_next(data, size, &frame);
  if (wg_stun_decode(data, size, &message) != WARP_OK) {
    return 0;
  }
  wg_stun_iter iter = wg_stun_attrs(&message);
  while (wg_stun_next(&iter, &attr)) {
    read_attribute(&message, &attr);
  }
  (void)wg_stun_find_mapped(&message, &mapped);
  (void)wg_stun_find_error(&message, &code, reason, sizeof reason);
  (void)wg_stun_unknown(&message, unknown, 4);
  (void)wg_stun_check_integrity(&message, "key", 3);
  (void)wg_stun_check_integrity_sha256(&message, "key", 3);
  return 0;
}
