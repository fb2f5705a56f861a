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

int wg_uv_machine_id_of_macs(char out[WG_UV_MACHINE_ID_LEN]) {
  uv_interface_address_t *list;
  int count;
  if (uv_interface_addresses(&list, &count) != 0) {
    return WARP_NOT_FOUND;
  }
  wg_mac best = {{0}}, mac;
  for (int i = 0; i < count; i++) {
    memcpy(mac.bytes, list[i].phys_addr, sizeof mac.bytes);
    if (!wg_mac_is_none(&mac) && (wg_mac_is_none(&best) || wg_mac_compare(&mac, &best) < 0)) {
      best = mac;
    }
  }
  uv_free_interface_addresses(list, count);
  if (wg_mac_is_none(&best)) {
    return WARP_NOT_FOUND;
  }
  char hex[2 * WG_MAC_LEN + 1];
  wg_hex_encode(best.bytes, sizeof best.bytes, hex);
  snprintf(out, WG_UV_MACHINE_ID_LEN, "mac=%s", hex);
  return WARP_OK;
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
