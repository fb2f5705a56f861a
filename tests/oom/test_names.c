/* The name server's memory of names while its own runs out: what it said was kept is there. */
#include "failing.h"
#include "nodes.h"

#include "base/addr.h"
#include "server.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { NAMES = 8 };
static const int64_t now_ms = 1700000000000, later_ms = 1700000100000;

static void name_of(unsigned number, char out[16]) {
  snprintf(out, 16, "name-%u", number);
}

/* Puts names into the store and commits: how many were kept for sure. */
static unsigned fill(name_store *store) {
  unsigned put = 0;
  while (put < NAMES) {
    char name[16];
    name_row row = {.sequence = put + 1, .expires_ms = later_ms, .record_len = WARP_RECORD_MAX};
    row.source.bytes[0] = 4;
    name_of(put, name);
    if (!oom_ok(name_store_put(store, name, &row)))
      break;
    put++;
  }
  return oom_ok(name_store_commit(store)) ? put : 0;
}

static void ask(name_store *store) {
  name_row row;
  unsigned count;
  uint64_t total;
  name_source source = {{4}};
  int status = name_store_get(store, "name-0", &row);
  if (status != WARP_NOT_FOUND)
    oom_ok(status);
  oom_ok(name_store_count(store, &source, NAME_SOURCE_LEN, now_ms, 100, &count));
  oom_ok(name_store_total(store, now_ms, &total));
  int purged = name_store_purge(store, now_ms);
  oom_ok(purged < 0 ? purged : WARP_OK);
}

static void keep(void *arg) {
  const char *path = arg;
  char why[NAME_STORE_WHY];
  name_store *store = NULL;
  unsigned kept = 0;
  if (oom_ok(name_store_open(path, &store, why))) {
    kept = fill(store);
    ask(store);
    name_store_close(store);
  }
  oom_hold(true);
  assert_int_equal(name_store_open(path, &store, why), WARP_OK);
  for (unsigned i = 0; i < kept; i++) {
    char name[16];
    name_row row;
    name_of(i, name);
    assert_int_equal(name_store_get(store, name, &row), WARP_OK);
    assert_int_equal(row.sequence, i + 1);
  }
  name_store_close(store);
  oom_hold(false);
  remove(path);
}

static void serve(void *arg) {
  (void)arg;
  char why[NAME_STORE_WHY];
  name_store *store = NULL;
  name_service *service = NULL;
  name_server *server = NULL;
  size_t failed;
  sim_world *world = sim_world_new(3);
  sim_network *network = sim_network_new(world, "net", NULL);
  sim_host *host = sim_host_new(network, "host", "192.0.2.1/25");
  warp_addr listen = wg_addr_any(WARP_IP4, 5300);
  name_service_config config = {.quota_v4 = 8, .rate_per_s = 20, .lifetime_max_s = 7200};
  if (oom_ok(name_store_open(":memory:", &store, why)) &&
      oom_ok(name_service_new(&config, store, &service))) {
    name_server_options options = {.env = oom_env(sim_host_env(host)),
                                   .service = service,
                                   .store = store,
                                   .listen = &listen,
                                   .listen_count = 1};
    if (oom_ok(name_server_open(&options, &server, &failed))) {
      assert_int_equal(sim_run_for(world, SIM_SECOND), WARP_OK);
      name_server_close(server);
    }
  }
  name_service_free(service);
  name_store_close(store);
  assert_int_equal(sim_run_until_idle(world, 10 * SIM_SECOND), WARP_OK);
  assert_int_equal(sim_world_free(world), 0);
}

static void test_store(void **state) {
  (void)state;
  char folder[] = "/tmp/warpgate-oom-XXXXXX", path[64];
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/names", folder);
  oom_run(&(oom_walk){.name = "store", .scenario = keep, .arg = path});
  oom_run(&(oom_walk){.name = "store, inside SQLite",
                      .scenario = keep,
                      .arg = path,
                      .kinds = OOM_SQLITE,
                      .most = 100});
  assert_int_equal(rmdir(folder), 0);
}

static void test_server(void **state) {
  (void)state;
  oom_run(&(oom_walk){.name = "name server", .scenario = serve});
}

int main(void) {
  oom_init();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_store),
      cmocka_unit_test(test_server),
  };
  return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
