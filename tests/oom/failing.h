/*
 * Memory that runs out when a test says so. The programs of this folder link a copy of the library
 * whose calls of malloc and its kin lead here (see CMakeLists.txt); the simulated internet and the
 * tests keep the real ones. Environments made here fail their own calls in the same way.
 *
 * A scenario builds something, uses it and takes it down again. It is run once for every
 * allocation that it makes, and each time another one fails. It must take any failure that follows
 * from that, and check that callbacks come as promised; the walk checks that no memory is left.
 *
 *   WARPGATE_OOM_STEP=K  takes every K-th allocation of each scenario instead of its own choice
 *   WARPGATE_OOM_SCENARIO=NAME  runs only that one
 *   WARPGATE_OOM_ONLY=N  runs only with the N-th one failing, and says where it stands
 */
#ifndef TESTS_OOM_FAILING_H
#define TESTS_OOM_FAILING_H

#include "env/env.h"
#include <stdio.h>

/* Whose allocations are counted, and fail. */
enum {
  OOM_OURS = 1,    /* the library's own, and its calls of what allocates for it in PCRE2 */
  OOM_ENV = 2,     /* calls of an environment from oom_env: they return WARP_NOMEM */
  OOM_OPENSSL = 4, /* those inside OpenSSL; whether it frees them is its own affair */
  OOM_SQLITE = 8,  /* those inside SQLite */
  /* Not those inside libuv, which ends the process when its table of descriptors cannot grow. */
};

typedef struct oom_walk {
  const char *name;
  void (*scenario)(void *arg);
  void *arg;
  unsigned kinds; /* 0: OOM_OURS and OOM_ENV */
  unsigned most;  /* runs, unless WARPGATE_OOM_STEP says otherwise; 0: as many as allocations */
} oom_walk;

/* To be called first in main(), before OpenSSL and SQLite allocate anything. */
void oom_init(void);
/* Runs the scenario without a failure, then with each allocation failing alone, then with each and
 * the nine after it. Fails the test when memory is left. */
void oom_run(const oom_walk *walk);
/* Whether an allocation has failed in this run: only then may anything else fail. */
bool oom_hit(void);
/* Fails the test unless `right` holds or an allocation has failed in this run. */
void oom_unless_hit(bool right);
/* Fails the test unless the status is WARP_OK, or WARP_NOMEM after a hit (any error after one
 * inside OpenSSL or SQLite, which do not always say what they lacked). True if it is WARP_OK. */
bool oom_ok(int status);
/* Lets nothing fail while it is true: for what a scenario needs in order to look at the rest. */
void oom_hold(bool held);
/* For whole programs, which are run once for each failure (program.c): from now on those from
 * `from` to `to` fail; 0: none. */
void oom_begin(unsigned of_kinds, unsigned long from, unsigned long to);
/* How many there were, whether one failed, and how many blocks are left; and where they come from,
 * if memory is left, to standard error. */
void oom_end(FILE *out);
/* Has the calls of an environment that can lack memory fail too. */
wg_env *oom_env(wg_env *env);

#endif
