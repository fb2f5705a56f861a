/* What the two kinds of mapping share. Not for other rooms. */
#ifndef WG_NODE_MAPPING_H
#define WG_NODE_MAPPING_H

#include "node/measure.h"
#include "wire/stun.h"

struct wg_mapping {
  wg_env *env;
  warp_addr server;
  uint64_t refresh_us;
  wg_timer timer;
  wg_mapping_cb cb;
  void *arg;
  void (*input)(wg_mapping *mapping, const uint8_t *data, size_t len,
                const warp_addr *from); /* may be NULL */
  void (*ask)(wg_mapping *mapping);
  void (*close)(wg_mapping *mapping); /* of what the kind holds; may be NULL */
};

void wg_mapping_init(wg_mapping *mapping, wg_env *env, const warp_addr *server, unsigned refresh_s,
                     wg_mapping_cb cb, void *arg);

#endif
