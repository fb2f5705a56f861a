/* The address record's signature. Its layout is wire's part. */
#include "identity/internal.h"

static const char context[] = "warpgate record v1";

bool wg_expired(int64_t expires_ms, int64_t now_ms) {
  return expires_ms < now_ms - WG_CLOCK_TOLERANCE_MS;
}

int wg_record_sign(const wg_identity *identity, const wg_record *record, uint8_t *out, size_t cap) {
  if (!wg_key_equal(&record->key, &identity->key)) {
    return WARP_INVALID;
  }
  int len = wg_record_encode(record, out, cap);
  if (len < 0) {
    return len;
  }
  uint8_t signature[WG_SIGNATURE_LEN];
  int status = wg_identity_sign(identity, context, out, (size_t)len, signature);
  return status == WARP_OK ? wg_record_attach(out, (size_t)len, cap, signature) : status;
}

int wg_record_verify(const uint8_t *bytes, size_t len, int64_t now_ms, wg_record *out) {
  size_t signed_len = 0;
  uint8_t signature[WG_SIGNATURE_LEN];
  int status = wg_record_decode(bytes, len, out, &signed_len, signature);
  if (status != WARP_OK) {
    return status;
  }
  status = wg_key_verify(&out->key, context, bytes, signed_len, signature);
  if (status != WARP_OK) {
    return status;
  }
  return wg_expired(out->expires_ms, now_ms) ? WARP_EXPIRED : WARP_OK;
}
