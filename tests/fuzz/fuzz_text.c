/* What people and configurations write: addresses, servers and names. What is read must be written
 * as something that is read alike. */
#include "base/addr.h"
#include "fuzz_target.h"
#include "nickname/names.h"

#include <stdlib.h>
#include <string.h>

static void check_addr(const char *text) {
  warp_addr addr, again;
  char written[WARP_ADDR_STRLEN];
  if (warp_addr_parse(text, &addr) == WARP_OK &&
      (warp_addr_parse(warp_addr_format(&addr, written), &again) != WARP_OK ||
       !wg_addr_equal(&addr, &again))) {
    abort();
  }
}

static void check_server(const char *text) {
  wg_server_name server;
  if (wg_server_name_parse(text, &server) == WARP_OK &&
      (strlen(server.host) == 0 || strlen(server.host) >= sizeof server.host ||
       strlen(server.user) >= sizeof server.user ||
       strlen(server.password) >= sizeof server.password || server.port == 0)) {
    abort();
  }
}

static void check_name(const char *text) {
  char name[WARP_NAME_MAX + 1], again[WARP_NAME_MAX + 1];
  if (wg_name_normalize(text, name) == WARP_OK &&
      (wg_name_normalize(name, again) != WARP_OK || strcmp(name, again) != 0)) {
    abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = malloc(size + 1);
  if (text == NULL) {
    return 0;
  }
  memcpy(text, data, size);
  text[size] = '\0';
  check_addr(text);
  check_server(text);
  check_name(text);
  free(text);
  return 0;
}
