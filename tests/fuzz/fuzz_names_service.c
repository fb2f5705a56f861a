/*
 * Requests to the name server. The first byte's lowest bit says whether it came over UDP; the rest
 * is the request. It is asked as it is, and then once more as its owner would send it: with the
 * cookie and rightly signed, so that what lies behind those checks is reached too.
 */
#include "fuzz_target.h"
#include "identity/internal.h"
#include "nickname/names.h"
#include "service.h"

#include <stdlib.h>
#include <string.h>

static const int64_t NOW_MS = INT64_C(1700000000000);

/* The key of the record in the corpus: RFC 6979 appendix A.2.5. */
static const uint8_t scalar[WG_SCALAR_LEN] = {
    0xc9, 0xaf, 0xa9, 0xd8, 0x45, 0xba, 0x75, 0x16, 0x6b, 0x5c, 0x21, 0x57, 0x67, 0xb1, 0xd6, 0x93,
    0x4e, 0x50, 0xc3, 0xdb, 0x36, 0xe8, 0x9b, 0x12, 0x7b, 0x8a, 0x62, 0x2b, 0x12, 0x0f, 0x67, 0x21};
static const warp_key key = {{0x03, 0x60, 0xfe, 0xd4, 0xba, 0x25, 0x5a, 0x9d, 0x31, 0xc9, 0x61,
                              0xeb, 0x74, 0xc6, 0x35, 0x6d, 0x68, 0xc0, 0x49, 0xb8, 0x92, 0x3b,
                              0x61, 0xfa, 0x6c, 0xe6, 0x69, 0x62, 0x2e, 0x60, 0xf2, 0x9f, 0xb6}};

static size_t ask(name_service *service, name_store *store, const uint8_t *bytes, size_t len,
                  bool udp, uint8_t reply[WG_NAME_REPLY_MAX]) {
  name_question question = {.bytes = bytes,
                            .len = len,
                            .from = {.family = WARP_IP4, .ip = {192, 0, 2, 1}, .port = 5000},
                            .udp = udp,
                            .wall_ms = NOW_MS,
                            .now_us = UINT64_C(1000000000)};
  name_change change;
  bool changes;
  size_t reply_len = name_service_answer(service, &question, reply, &change, &changes);
  if (changes) {
    name_change_make(&change, store);
    if (name_store_commit(store) != WARP_OK) {
      abort();
    }
    reply_len = name_service_reply(service, &change, reply);
  }
  if (udp && reply_len > len) {
    abort(); /* more than was asked with */
  }
  return reply_len;
}

/* Encodes what was decoded, with a cookie and signed. Returns the length, or an error. */
static int write_signed(const wg_identity *identity, const wg_name_request *request,
                        uint8_t bytes[WG_NAME_REQUEST_MAX]) {
  uint8_t signature[WG_SIGNATURE_LEN];
  int len = wg_name_request_encode(request, bytes, WG_NAME_REQUEST_MAX);
  if (len < 0 ||
      wg_identity_sign(identity, WG_NAME_CONTEXT, bytes, (size_t)len, signature) != WARP_OK) {
    return -1;
  }
  return wg_name_request_attach(bytes, (size_t)len, WG_NAME_REQUEST_MAX, signature);
}

static void ask_as_owner(name_service *service, name_store *store, const wg_identity *identity,
                         const uint8_t *bytes, size_t len) {
  wg_name_request request;
  wg_name_reply decoded;
  size_t signed_len;
  uint8_t signature[WG_SIGNATURE_LEN], reply[WG_NAME_REPLY_MAX], own[WG_NAME_REQUEST_MAX];
  if (wg_name_request_decode(bytes, len, &request, &signed_len, signature) != WARP_OK ||
      request.op == WG_NAME_LOOKUP) {
    return;
  }
  request.key = key;
  for (int round = 0; round < 2; round++) { /* the first one brings the cookie */
    int own_len = write_signed(identity, &request, own);
    if (own_len < 0) {
      return;
    }
    size_t reply_len = ask(service, store, own, (size_t)own_len, false, reply);
    if (wg_name_reply_decode(reply, reply_len, &decoded) != WARP_OK || !decoded.has_cookie) {
      abort(); /* a request that can be read gets an answer */
    }
    request.has_cookie = true;
    memcpy(request.cookie, decoded.cookie, sizeof request.cookie);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static wg_identity *identity;
  name_service_config config = {.quota_v4 = 4,
                                .quota_v6 = 4,
                                .quota_v6_site = 4,
                                .rate_per_s = NAME_RATE_DEFAULT,
                                .lifetime_max_s = 7200};
  name_store *store = NULL;
  name_service *service = NULL;
  char why[NAME_STORE_WHY];
  uint8_t reply[WG_NAME_REPLY_MAX];
  if (identity == NULL && wg_identity_from_scalar(scalar, &key, &identity) != WARP_OK) {
    abort();
  }
  if (size == 0) {
    return 0;
  }
  if (name_store_open(":memory:", &store, why) != WARP_OK ||
      name_service_new(&config, store, &service) != WARP_OK) {
    abort();
  }
  (void)ask(service, store, data + 1, size - 1, data[0] % 2 == 1, reply);
  ask_as_owner(service, store, identity, data + 1, size - 1);
  name_service_free(service);
  name_store_close(store);
  return 0;
}
