/* gettimeofday for libraries that read the system's clock by themselves (usrsctp): in virtual time
 * their own measurements must not say that no time has passed. This definition goes before the C
 * library's. */
#include "process_clock.h"

#include <sys/time.h>
#include <time.h>

static const uint64_t *virtual_us;

void sim_process_clock(const uint64_t *now_us) {
  virtual_us = now_us;
}

void sim_process_clock_forget(const uint64_t *now_us) {
  if (virtual_us == now_us) {
    virtual_us = NULL;
  }
}

__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict now,
                                                        void *restrict zone) {
  struct timespec real;
  (void)zone;
  if (virtual_us != NULL) {
    now->tv_sec = (time_t)(*virtual_us / 1000000);
    now->tv_usec = (suseconds_t)(*virtual_us % 1000000);
    return 0;
  }
  clock_gettime(CLOCK_REALTIME, &real);
  now->tv_sec = real.tv_sec;
  now->tv_usec = (suseconds_t)(real.tv_nsec / 1000);
  return 0;
}
