/* The hardware addresses of the interfaces. */
#include "driver_uv/internal.h"

#include <string.h>

size_t wg_uv_add_mac(const void *bytes, wg_mac *out, size_t count, size_t max) {
  wg_mac mac;
  memcpy(mac.bytes, bytes, sizeof mac.bytes);
  if (wg_mac_is_none(&mac) || count == max) {
    return count;
  }
  for (size_t i = 0; i < count; i++) {
    if (memcmp(&out[i], &mac, sizeof mac) == 0) {
      return count;
    }
  }
  out[count] = mac;
  return count + 1;
}

#if !defined(__linux__)
int wg_uv_macs(wg_env *env, wg_mac *out, size_t max) {
  (void)env;
  uv_interface_address_t *list;
  int total;
  size_t count = 0;
  int error = uv_interface_addresses(&list, &total);
  if (error != 0) {
    return wg_uv_status(error);
  }
  for (int i = 0; i < total; i++) {
    if (!list[i].is_internal) {
      count = wg_uv_add_mac(list[i].phys_addr, out, count, max);
    }
  }
  uv_free_interface_addresses(list, total);
  return (int)count;
}
#endif
