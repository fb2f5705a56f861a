/* Mappings: what their two kinds share. */
#include "node/mapping.h"

#include <stdlib.h>

void wg_mapping_init(wg_mapping *mapping, wg_env *env, const warp_addr *server, unsigned refresh_s,
                     wg_mapping_cb cb, void *arg) {
  mapping->env = env;
  mapping->server = *server;
  mapping->refresh_us = (uint64_t)refresh_s * 1000000;
  mapping->cb = cb;
  mapping->arg = arg;
}

void wg_mapping_input(wg_mapping *mapping, const uint8_t *data, size_t len, const warp_addr *from) {
  if (mapping->input != NULL)
    mapping->input(mapping, data, len, from);
}

void wg_mapping_ask(wg_mapping *mapping) {
  mapping->ask(mapping);
}

void wg_mapping_set_refresh(wg_mapping *mapping, unsigned refresh_s) {
  mapping->refresh_us = (uint64_t)refresh_s * 1000000;
}

void wg_mapping_close(wg_mapping *mapping) {
  wg_timer_stop(mapping->env, &mapping->timer);
  if (mapping->close != NULL)
    mapping->close(mapping);
  free(mapping);
}
