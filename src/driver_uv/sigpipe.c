#include "driver_uv/sigpipe.h"

#include <errno.h>
#include <pthread.h>

static bool is_pending(void) {
  sigset_t pending;
  return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

static sigset_t only_sigpipe(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  return set;
}

void wg_sigpipe_hold(wg_sigpipe *held) {
  sigset_t set = only_sigpipe();
  held->pending = is_pending();
  pthread_sigmask(SIG_BLOCK, &set, &held->mask);
}

void wg_sigpipe_let_go(const wg_sigpipe *held) {
  int error = errno;
  /* A write's SIGPIPE goes to the writing thread, so one that is new here is ours. */
  if (!held->pending && is_pending()) {
    sigset_t set = only_sigpipe();
    int signal_number;
    sigwait(&set, &signal_number);
  }
  pthread_sigmask(SIG_SETMASK, &held->mask, NULL);
  errno = error;
}
