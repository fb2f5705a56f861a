/* Whom to connect to: the text of a signed record, or a name. */
#ifndef CLI_TARGET_H
#define CLI_TARGET_H

#include "nickname/names.h"
#include <stdbool.h>
#include <warpgate/warpgate.h>

typedef struct cli_target {
  bool is_name;
  char name[WARP_NAME_MAX + WG_NAME_SUFFIX_LEN]; /* in lower case, with the suffix it had */
  uint8_t record[WARP_RECORD_MAX];
  size_t record_len;
} cli_target;

/* Tells an address from a name, and checks it: for an address signature and expiry at `now_ms` as
 * well. WARP_INVALID: neither; an address: WARP_MALFORMED, WARP_VERSION, WARP_BAD_SIGNATURE,
 * WARP_EXPIRED. */
int cli_target_parse(const char *text, int64_t now_ms, cli_target *out);

#endif
