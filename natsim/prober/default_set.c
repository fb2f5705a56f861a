#include "natsim/prober/verify.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const dependences[] = {"ei", "ad", "apd"};
static const char *const allocs[] = {"preserving", "sequential", "random"};

/* The other axes one by one, with the mappings, filters and allocations on which they show. */
static const char *const others[] = {
    "alloc=sequential:2,map=apd",
    "alloc=sequential:7,map=ad",
    "alloc=preserving,range=30000-30999",
    "alloc=sequential,range=40000-40999,map=apd",
    "alloc=random,range=50000-50511,map=apd",
    "alloc=random,range=1024-32767,map=ad",
    "hairpin=on,filter=ei",
    "hairpin=on,filter=ad",
    "hairpin=on,filter=apd",
    "hairpin=on,filter=apd,alloc=random",
    "hairpin=on,map=apd,filter=ei,alloc=random",
    "unsolicited=reset",
    "unsolicited=reset,filter=ad",
    "unsolicited=icmp",
    "unsolicited=icmp,map=apd,alloc=random",
    "strays=reject",
    "strays=accept",
    "strays=reject,map=apd,alloc=random",
    "reuse=off,map=ad,filter=ei,alloc=random",
    "reuse=off,map=apd,filter=ei,alloc=random",
    "reuse=off,map=apd,filter=ad,alloc=sequential",
    "reuse=off,map=apd,filter=ei,alloc=preserving",
    "udp-lifetime=30,tcp-lifetime=240",
};

/* Watched for seconds: they come early, while the others go by. */
static const char *const watched[] = {
    "udp-lifetime=2,tcp-lifetime=2",
    "udp-lifetime=2,tcp-lifetime=3,map=apd,filter=ei,alloc=random",
};

/* MAP-FILTER names of the list of profiles are among the combinations. */
static const char *profile_at(size_t *i) {
  const char *name, *summary;
  size_t n = 0;
  for (; (name = sim_profile_name(n, &summary)); n++)
    if (n == *i)
      return name;
  *i -= n;
  return NULL;
}

static const char *combination_at(size_t i) {
  static char text[64];
  snprintf(text, sizeof text, "map=%s,filter=%s,alloc=%s", dependences[i / 9],
           dependences[i / 3 % 3], allocs[i % 3]);
  return text;
}

const char *sim_verify_default(size_t i) {
  const char *name = profile_at(&i);
  if (name)
    return name;
  if (i < COUNT(watched))
    return watched[i];
  i -= COUNT(watched);
  enum { COMBINATIONS = 27 };
  if (i < COMBINATIONS)
    return combination_at(i);
  i -= COMBINATIONS;
  return i < COUNT(others) ? others[i] : NULL;
}
