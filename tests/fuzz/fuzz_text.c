/* What people and configurations write: addresses, servers, relays, names, settings, NATs, and
 * records as text. What is read must be written as something that is read alike. */
#include "base/addr.h"
#include "base/bytes.h"
#include "connect/settings.h"
#include "fuzz_target.h"
#include "nat/names.h"
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

static void check_relay(const char *text) {
  wg_relay_name relay;
  if (wg_relay_name_parse(text, &relay) == WARP_OK &&
      (relay.server.port == 0 || relay.transports == 0 ||
       (relay.transports & ~(unsigned)(WARP_UDP | WARP_TCP)) != 0 ||
       (relay.tls && relay.transports != WARP_TCP))) {
    abort();
  }
}

/* Bytes have one spelling only. */
static void check_base64url(const char *text, size_t size) {
  uint8_t bytes[300];
  char again[404];
  long len = wg_base64url_decode(text, size, bytes, sizeof bytes);
  if (len >= 0) {
    wg_base64url_encode(bytes, (size_t)len, again);
    if (strlen(again) != size || memcmp(again, text, size) != 0) {
      abort();
    }
  }
}

static void check_axes(const char *text) {
  warp_nat_axes axes, again;
  char written[WG_AXES_STRLEN];
  if (wg_axes_parse(text, &axes) == WARP_OK &&
      (wg_axes_parse(wg_axes_format(&axes, written), &again) != WARP_OK ||
       !wg_axes_equal(&axes, &again))) {
    abort();
  }
}

static void check_name(const char *text) {
  char name[WARP_NAME_MAX + 1], again[WARP_NAME_MAX + 1];
  char suffix[WG_NAME_SUFFIX_LEN], none[WG_NAME_SUFFIX_LEN];
  if (wg_name_split(text, name, suffix) == WARP_OK &&
      (wg_name_split(name, again, none) != WARP_OK || strcmp(name, again) != 0 || none[0] != '\0' ||
       strlen(name) + strlen(suffix) != strlen(text))) {
    abort();
  }
}

static void check_setting(const char *text) {
  static const warp_setting table[] = {{"rate", 100, 1, 1000, "a second"}, {0}};
  static const warp_plugin plugin = {.name = "probe", .settings = table};
  static const warp_plugin *const plugins[] = {&plugin, NULL};
  const char *const list[] = {text, "probe.rate=5", text, NULL};
  wg_settings settings;
  char why[40];
  int status = wg_settings_read(&settings, list, plugins, why, sizeof why);
  uint64_t rate = wg_settings_get(&settings, table, "rate");
  wg_budget_limits limits = wg_settings_limits(&settings);
  if ((status != WARP_OK && memchr(why, 0, sizeof why) == NULL) || rate < 1 || rate > 1000 ||
      limits.probes_per_s == 0 || limits.flows == 0 || limits.syns == 0) {
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
  check_relay(text);
  check_base64url(text, size);
  check_axes(text);
  check_name(text);
  check_setting(text);
  free(text);
  return 0;
}
