/*
 * Envelopes from strangers: the input once as the envelope itself, once as what somebody sealed
 * rightly to us, which is where a stranger's bytes are parsed. The first byte chooses.
 */
#include "fuzz_target.h"
#include "identity/internal.h"

#include <stdlib.h>
#include <string.h>

static const int64_t NOW_MS = INT64_C(1700000000000);

/* A key of its own for each run would make findings hard to repeat: the recipient's is the one of
 * RFC 5903 section 8.1. */
static const uint8_t scalar[WG_SCALAR_LEN] = {
    0xc8, 0x8f, 0x01, 0xf5, 0x10, 0xd9, 0xac, 0x3f, 0x70, 0xa2, 0x92, 0xda, 0xa2, 0x31, 0x6d, 0xe5,
    0x44, 0xe9, 0xaa, 0xb8, 0xaf, 0xe8, 0x40, 0x49, 0xc6, 0x2a, 0x9c, 0x57, 0x86, 0x2d, 0x14, 0x33};
static const warp_key key = {{0x03, 0xda, 0xd0, 0xb6, 0x53, 0x94, 0x22, 0x1c, 0xf9, 0xb0, 0x51,
                              0xe1, 0xfe, 0xca, 0x57, 0x87, 0xd0, 0x98, 0xdf, 0xe6, 0x37, 0xfc,
                              0x90, 0xb9, 0xef, 0x94, 0x5d, 0x0c, 0x37, 0x72, 0x58, 0x11, 0x80}};

static void open_and_read(const wg_identity *identity, const uint8_t *bytes, size_t len) {
  uint8_t plain[WG_ENVELOPE_MAX];
  wg_letter letter;
  wg_message message;
  if (wg_envelope_open(identity, bytes, len, NOW_MS, plain, &letter) == WARP_OK &&
      wg_message_decode(letter.message, letter.message_len, &message) == WARP_OK &&
      message.record != NULL) {
    wg_record record;
    (void)wg_record_verify(message.record, message.record_len, NOW_MS, &record);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static wg_identity *identity;
  if (identity == NULL && wg_identity_from_scalar(scalar, &key, &identity) != WARP_OK) {
    abort();
  }
  if (size == 0) {
    return 0;
  }
  if (data[0] % 2 == 0) {
    open_and_read(identity, data + 1, size - 1);
    return 0;
  }
  uint8_t plain[WG_ENVELOPE_MAX], bytes[WG_ENVELOPE_MAX];
  size_t plain_len = size - 1;
  if (plain_len > sizeof plain - WG_AEAD_TAG_LEN) {
    return 0;
  }
  memcpy(plain, data + 1, plain_len);
  /* The recipient's own key as the ephemeral one: sealing is not what is tested. */
  int len = wg_seal_bytes(identity, &key, plain, plain_len, bytes, sizeof bytes);
  if (len > 0) {
    open_and_read(identity, bytes, (size_t)len);
  }
  return 0;
}
