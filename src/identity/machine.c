/* Ids that follow from the machine: its salted id and its listen ports. */
#include "base/bytes.h"
#include "identity/internal.h"

#include <string.h>

static const char machine_salt[] = "warpgate machine v1";
static const char tag_salt[] = "warpgate machine tag v1";
static const char port_salt[] = "warpgate port v1";

/* Longest identifier that the environment may give. */
enum { HARDWARE_ID_MAX = 512 };

int wg_machine_id(wg_env *env, const char *override, uint8_t out[WG_MACHINE_ID_LEN]) {
  uint8_t input[sizeof machine_salt + HARDWARE_ID_MAX];
  uint8_t *id = input + sizeof machine_salt;
  size_t len = 0;
  memcpy(input, machine_salt, sizeof machine_salt);
  if (override != NULL) {
    len = strlen(override);
    if (len == 0 || len > HARDWARE_ID_MAX) {
      return WARP_INVALID;
    }
    memcpy(id, override, len);
  } else {
    int status = env->ops->machine_id(env, id, HARDWARE_ID_MAX, &len);
    if (status != WARP_OK) {
      return status;
    }
  }
  uint8_t digest[32];
  wg_sha256(input, sizeof machine_salt + len, digest);
  memcpy(out, digest, WG_MACHINE_ID_LEN);
  return WARP_OK;
}

void wg_machine_tag(const uint8_t machine[WG_MACHINE_ID_LEN], const warp_key *key,
                    uint8_t out[WG_MACHINE_ID_LEN]) {
  uint8_t input[sizeof tag_salt + WG_MACHINE_ID_LEN + WARP_KEY_LEN];
  memcpy(input, tag_salt, sizeof tag_salt);
  memcpy(input + sizeof tag_salt, machine, WG_MACHINE_ID_LEN);
  memcpy(input + sizeof tag_salt + WG_MACHINE_ID_LEN, key->bytes, WARP_KEY_LEN);
  uint8_t digest[32];
  wg_sha256(input, sizeof input, digest);
  memcpy(out, digest, WG_MACHINE_ID_LEN);
}

/* 10000-60000 without the RTP range 10000-20000; SIP's ports lie below. */
enum { PORT_FIRST = 20001, PORT_COUNT = 40000 };

uint16_t wg_listen_port(const uint8_t machine[WG_MACHINE_ID_LEN], unsigned turn) {
  uint8_t input[sizeof port_salt + WG_MACHINE_ID_LEN];
  memcpy(input, port_salt, sizeof port_salt);
  memcpy(input + sizeof port_salt, machine, WG_MACHINE_ID_LEN);
  uint8_t digest[32];
  wg_sha256(input, sizeof input, digest);
  wg_reader reader = wg_reader_init(digest, sizeof digest);
  uint64_t first = wg_read_u64(&reader) % PORT_COUNT;
  /* A step without a common factor with 40000 = 2^6 * 5^4 comes by every port once before it
   * repeats: 10 n + 1 has none. */
  uint64_t step = wg_read_u64(&reader) % (PORT_COUNT / 10) * 10 + 1;
  return (uint16_t)(PORT_FIRST + (first + turn % PORT_COUNT * step) % PORT_COUNT);
}
