/* The real name server on a host of the simulated internet. */
#ifndef TESTS_SIM_REGISTRY_H
#define TESTS_SIM_REGISTRY_H

#include "server.h"
#include "testing.h"

enum { NAMES_PORT = 5300 };
/* On the topology's host "server". */
static const char *const names[] = {"203.0.113.10:5300", NULL};

typedef struct registry {
  name_store *store;
  name_service *service;
  name_server *server;
} registry;

/* `quota`: names of one IPv4 address. */
static inline void start_registry_with_quota(registry *self, sim_host *host, unsigned quota) {
  name_service_config config = {
      .quota_v4 = quota, .rate_per_s = NAME_RATE_DEFAULT, .lifetime_max_s = 7200, .secret = {9}};
  char why[NAME_STORE_WHY];
  size_t failed;
  warp_addr listen = wg_addr_any(WARP_IP4, NAMES_PORT);
  assert_int_equal(name_store_open(":memory:", &self->store, why), WARP_OK);
  assert_int_equal(name_service_new(&config, self->store, &self->service), WARP_OK);
  name_server_options options = {.env = sim_host_env(host),
                                 .service = self->service,
                                 .store = self->store,
                                 .listen = &listen,
                                 .listen_count = 1};
  assert_int_equal(name_server_open(&options, &self->server, &failed), WARP_OK);
}

static inline void start_registry(registry *self, sim_host *host) {
  start_registry_with_quota(self, host, 8);
}

static inline void stop_registry(registry *self) {
  name_server_close(self->server);
  name_service_free(self->service);
  name_store_close(self->store);
}

#endif
