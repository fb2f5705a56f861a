#include "driver_uv/machine_id.h"
#include "base/bytes.h"
#include "driver_uv/internal.h"

#include <stdio.h>
#include <string.h>

#if !defined(__linux__)
int wg_uv_machine_id_of_system(const char *root, char out[WG_UV_MACHINE_ID_LEN]) {
  (void)root;
  (void)out;
  return WARP_NOT_FOUND;
}
#endif

/* IEEE 802: an address with this bit is somebody's choice (a virtual interface, often made up anew
 * at each start), not burnt in. */
static bool made_up(const char mac[6]) {
  return (mac[0] & 2) != 0;
}

static bool better(const char a[6], const char b[6]) {
  if (made_up(a) != made_up(b)) {
    return !made_up(a);
  }
  return memcmp(a, b, 6) < 0;
}

int wg_uv_machine_id_of_macs(char out[WG_UV_MACHINE_ID_LEN]) {
  static const char none[6];
  uv_interface_address_t *list;
  int count;
  if (uv_interface_addresses(&list, &count) != 0) {
    return WARP_NOT_FOUND;
  }
  const char *best = NULL;
  for (int i = 0; i < count; i++) {
    const char *mac = list[i].phys_addr;
    if (memcmp(mac, none, 6) != 0 && (best == NULL || better(mac, best))) {
      best = mac;
    }
  }
  if (best != NULL) {
    char hex[2 * 6 + 1];
    wg_hex_encode(best, 6, hex);
    snprintf(out, WG_UV_MACHINE_ID_LEN, "mac=%s", hex);
  }
  uv_free_interface_addresses(list, count);
  return best != NULL ? WARP_OK : WARP_NOT_FOUND;
}

int wg_uv_machine_id(wg_env *env, void *out, size_t cap, size_t *len) {
  (void)env;
  char text[WG_UV_MACHINE_ID_LEN];
  int status = wg_uv_machine_id_of_system("", text);
  if (status != WARP_OK) {
    status = wg_uv_machine_id_of_macs(text);
  }
  if (status != WARP_OK) {
    return status;
  }
  size_t length = strlen(text);
  if (length > cap) {
    return WARP_TOO_BIG;
  }
  memcpy(out, text, length);
  *len = length;
  return WARP_OK;
}
