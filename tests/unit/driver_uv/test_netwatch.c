/* Hearing of changes of the interfaces: from the kernel, in a network namespace of this test's own,
 * and the handle's life. */
#include "harness.h"

#include "driver_uv/netwatch.h"
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

typedef struct told {
  world *w;
  wg_netwatch *watch;
  bool heard, close_at_once;
} told;

static void on_change(void *arg) {
  told *self = arg;
  self->heard = true;
  if (self->close_at_once)
    self->w->ops->netwatch_close(self->watch);
}

static void open_watch(told *self, world *w) {
  self->w = w;
  assert_int_equal(w->ops->netwatch_open(w->env, on_change, self, &self->watch), WARP_OK);
}

/* The loopback interface of a namespace that was just made is down. */
static void set_loopback(bool up) {
  struct ifreq request = {.ifr_name = "lo"};
  request.ifr_flags = up ? IFF_UP : 0;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  assert_true(fd >= 0);
  assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
  close(fd);
}

static bool sees_loopback(world *w) {
  wg_interface all[4];
  return w->ops->interfaces(w->env, all, 4) > 0;
}

static bool alone;

static int enter_namespace(void **state) {
  (void)state;
  alone = unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
  return 0;
}

static void test_up_and_down(void **state) {
  if (!alone)
    skip(); /* the kernel lets us have no namespace */
  told self = {0};
  open_watch(&self, *state);
  run_for(*state, 20);
  assert_false(self.heard);
  assert_false(sees_loopback(*state));
  set_loopback(true);
  run_until(*state, &self.heard);
  assert_true(sees_loopback(*state));
  self.heard = false;
  set_loopback(false);
  run_until(*state, &self.heard);
  assert_false(sees_loopback(*state));
  self.w->ops->netwatch_close(self.watch);
}

static void test_closed_from_within(void **state) {
  if (!alone)
    skip();
  told self = {.close_at_once = true}, other = {0};
  open_watch(&self, *state);
  open_watch(&other, *state);
  set_loopback(true);
  run_until(*state, &self.heard);
  run_until(*state, &other.heard);
  self.heard = false;
  set_loopback(false);
  run_for(*state, 20);
  assert_false(self.heard);
  other.w->ops->netwatch_close(other.watch);
}

/* A flood is read in pieces, and what overruns is no error. */
static void test_flood(void **state) {
  if (!alone)
    skip();
  told self = {0};
  open_watch(&self, *state);
  for (unsigned i = 0; i < 2000; i++)
    set_loopback(i % 2 == 0);
  run_until(*state, &self.heard);
  run_for(*state, 20);
  self.heard = false;
  set_loopback(true);
  run_until(*state, &self.heard);
  set_loopback(false);
  self.w->ops->netwatch_close(self.watch);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_up_and_down, world_up, world_down),
      cmocka_unit_test_setup_teardown(test_closed_from_within, world_up, world_down),
      cmocka_unit_test_setup_teardown(test_flood, world_up, world_down),
  };
  return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
