#include "cli/target.h"

#include "base/bytes.h"
#include "identity/identity.h"
#include "nickname/names.h"

#include <stdio.h>
#include <string.h>

/* Every packet of ours begins with the same three bytes, so every address with the same four
 * characters: one that was cut off is known by them. One of them is a capital, so no name as names
 * are usually written begins like that. */
static bool looks_like_address(const char *text) {
  static const uint8_t magic[3] = {WG_MAGIC_0, WG_MAGIC_1, WG_PROTOCOL_VERSION};
  char prefix[5];
  wg_base64url_encode(magic, sizeof magic, prefix);
  return strncmp(text, prefix, strlen(prefix)) == 0 ||
         strlen(text) >= WARP_NAME_MAX + WG_NAME_SUFFIX_LEN;
}

int cli_target_parse(const char *text, int64_t now_ms, cli_target *out) {
  memset(out, 0, sizeof *out);
  if (!looks_like_address(text)) {
    out->is_name = true;
    char plain[WARP_NAME_MAX + 1], suffix[WG_NAME_SUFFIX_LEN];
    int status = wg_name_split(text, plain, suffix);
    if (status == WARP_OK) {
      snprintf(out->name, sizeof out->name, "%s%s", plain, suffix);
    }
    return status;
  }
  long len = wg_base64url_decode(text, strlen(text), out->record, sizeof out->record);
  if (len <= 0) {
    return WARP_MALFORMED;
  }
  wg_record record;
  out->record_len = (size_t)len;
  return wg_record_verify(out->record, out->record_len, now_ms, &record);
}
