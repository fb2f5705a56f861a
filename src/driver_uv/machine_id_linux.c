#include "driver_uv/machine_id.h"

#if defined(__linux__)

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <warpgate/warpgate.h>

/* Reads the hex digits of a UUID, in whatever notation; false when there are none, or when all are
 * the same, which is what firmware says that was never given an identifier. */
static bool read_uuid(const char *root, const char *path, char out[33]) {
  char full[4096];
  if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full) {
    return false;
  }
  FILE *file = fopen(full, "re");
  if (file == NULL) {
    return false;
  }
  char line[64] = "";
  char *got = fgets(line, sizeof line, file);
  fclose(file);
  if (got == NULL) {
    return false;
  }
  size_t len = 0;
  bool varied = false;
  for (const char *c = line; *c != '\0' && *c != '\n'; c++) {
    if (*c == '-') {
      continue;
    }
    if (!isxdigit((unsigned char)*c) || len == 32) {
      return false;
    }
    out[len] = (char)tolower((unsigned char)*c);
    varied = varied || out[len] != out[0];
    len++;
  }
  out[len] = '\0';
  return len == 32 && varied;
}

int wg_uv_machine_id_of_system(const char *root, char out[WG_UV_MACHINE_ID_LEN]) {
  char uuid[33];
  /* The mainboard's is the better one, but often readable for the superuser only. */
  if (read_uuid(root, "/sys/class/dmi/id/product_uuid", uuid)) {
    snprintf(out, WG_UV_MACHINE_ID_LEN, "product_uuid=%s", uuid);
    return WARP_OK;
  }
  if (read_uuid(root, "/etc/machine-id", uuid)) {
    snprintf(out, WG_UV_MACHINE_ID_LEN, "machine_id=%s", uuid);
    return WARP_OK;
  }
  return WARP_NOT_FOUND;
}

#endif
