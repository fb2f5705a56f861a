/* A port that a router on loopback opens by NAT-PMP, while memory runs out. The router is a thread
 * of its own, which takes nothing from the library. */
#include "failing.h"

#include "base/addr.h"
#include "driver_uv/driver.h"
#include "env/loop.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* Real; only a busy machine comes near: where the router was not heard in time, it is asked again
 * after 15 s. */
enum { LIMIT_MS = 90000 };
enum { PORT = 40123 };

/* ---- the router ------------------------------------------------------------------------------ */

typedef struct router {
  int fd;
  warp_addr addr;
  pthread_t thread;
  unsigned opened, removed; /* the thread's, until it has ended */
  unsigned expected;        /* ports that were opened and closed while nothing failed */
} router;

/* RFC 6886 sections 3.2 and 3.3. Ends with the first datagram that is neither. */
static void *serve(void *arg) {
  router *r = arg;
  uint8_t request[16];
  struct sockaddr_in from;
  socklen_t len = sizeof from;
  ssize_t got;
  while ((got = recvfrom(r->fd, request, sizeof request, 0, (struct sockaddr *)&from, &len)) == 2 ||
         got == 12) {
    uint8_t answer[16] = {0, (uint8_t)(request[1] | 0x80)};
    if (got == 2) {
      memcpy(answer + 8, (const uint8_t[]){198, 51, 100, 7}, 4);
    } else {
      bool removes = memcmp(request + 8, "\0\0\0", 4) == 0;
      r->removed += removes;
      r->opened += !removes;
      memcpy(answer + 8, request + 4, 8);
    }
    sendto(r->fd, answer, got == 2 ? 12 : 16, 0, (struct sockaddr *)&from, len);
  }
  return NULL;
}

static void router_up(router *r) {
  struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t len = sizeof local;
  *r = (router){.fd = socket(AF_INET, SOCK_DGRAM, 0)};
  assert_int_equal(bind(r->fd, (struct sockaddr *)&local, len), 0);
  assert_int_equal(getsockname(r->fd, (struct sockaddr *)&local, &len), 0);
  r->addr = wg_addr_loopback(WARP_IP4, ntohs(local.sin_port));
  assert_int_equal(pthread_create(&r->thread, NULL, serve, r), 0);
}

static void router_down(router *r) {
  struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons(r->addr.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  assert_int_equal(sendto(fd, "", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
  assert_int_equal(pthread_join(r->thread, NULL), 0);
  close(fd);
  close(r->fd);
}

/* ---- the port -------------------------------------------------------------------------------- */

typedef struct port {
  warp_loop *loop;
  wg_env *env;
  bool told;
  int status;
} port;

static void on_grant(void *arg, int status, const wg_portmap_grant *grant) {
  port *p = arg;
  assert_false(p->told && p->status == status);
  p->status = status;
  p->told = status == WARP_OK || status == WARP_NOMEM;
  if (status == WARP_OK)
    assert_int_equal(grant->external.port, PORT);
  if (p->told)
    warp_loop_stop(p->loop);
}

static void on_limit(void *arg) {
  (void)arg;
  fail();
}

static void open_and_close(port *p) {
  warp_addr local = wg_addr_loopback(WARP_IP4, PORT);
  wg_portmap *portmap;
  wg_timer limit = {0};
  wg_timer_start(p->env, &limit, LIMIT_MS * 1000u, on_limit, NULL);
  if (oom_ok(p->env->ops->portmap_open(p->env, &local, WARP_TCP, on_grant, p, &portmap))) {
    while (!p->told)
      warp_loop_run(p->loop);
    oom_ok(p->status);
    p->env->ops->portmap_close(portmap);
  }
  wg_timer_stop(p->env, &limit);
}

static void map(void *arg) {
  router *r = arg;
  port p = {.loop = warp_loop_new()};
  oom_unless_hit(p.loop != NULL);
  if (p.loop == NULL)
    return;
  p.env = warp_loop_env(p.loop);
  wg_uv_env_set_gateway(p.env, &r->addr);
  open_and_close(&p);
  warp_loop_run(p.loop); /* until the router has been told */
  assert_int_equal(warp_loop_close(p.loop), WARP_OK);
  r->expected += !oom_hit();
}

static void test_natpmp(void **state) {
  (void)state;
  router r;
  router_up(&r);
  oom_run(&(oom_walk){.name = "a port of the router", .scenario = map, .arg = &r});
  router_down(&r);
  assert_true(r.expected > 0);
  assert_true(r.opened >= r.expected); /* a request is repeated where the answer is slow */
  assert_true(r.removed >= r.expected);
}

int main(void) {
  oom_init();
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_natpmp)};
  return cmocka_run_group_tests_name("portmap", tests, NULL, NULL);
}
