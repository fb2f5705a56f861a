#include "natsim/commands.h"

#include "natsim/prober/verify.h"
#include "natsim/seed.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void help(void) {
  fputs("natsim verify [PROFILE...] [options]\n"
        "Builds each NAT in the kernel, measures its axes from inside with plain sockets, for UDP\n"
        "and TCP, and compares them with what is declared. Without a profile: all profiles, every\n"
        "mapping and filter with every allocation, and the other axes one by one.\n\n"
        "  --nat KEY=VALUE,...       added to every NAT\n"
        "  --seed N                  decides random ports and MAC addresses (1)\n"
        "  --rtt MS                  round trip between NAT and servers (2)\n"
        "  --jobs N                  NATs side by side (four times the number of cores)\n"
        "  --json                    one JSON object a line for each axis\n\n"
        "Examples:\n"
        "  natsim verify\n"
        "  natsim verify port-restricted symmetric --json\n"
        "  natsim verify map=ad,filter=apd,alloc=sequential:2 --nat hairpin=on\n\n"
        "Exit status: 0 all is as declared, 1 an axis differs and is named, 2 usage, 3 the\n"
        "laboratory could not be built.\n",
        stdout);
}

static int complain(const char *what, const char *text) {
  fprintf(stderr, "natsim verify: %s '%s'\n", what, text);
  return -1;
}

/* A number in [low, high]. */
static int number(const char *name, const char *text, double low, double high, double *out) {
  char *end;
  errno = 0;
  *out = strtod(text, &end);
  if (!isdigit((unsigned char)*text) || *end || errno || !(*out >= low && *out <= high)) {
    fprintf(stderr, "natsim verify: --%s takes a number from %g to %g, not '%s'\n", name, low, high,
            text);
    return -1;
  }
  return 0;
}

static int set_option(sim_verify_options *o, const char *name, const char *value) {
  enum { RTT_MAX = 1000, JOBS_MAX = 64 };
  double read;
  int status = 0;
  if (!strcmp(name, "nat")) {
    o->nat = value;
  } else if (!strcmp(name, "sabotage")) {
    o->sabotage = value;
  } else if (!strcmp(name, "rtt")) {
    status = number(name, value, 0, RTT_MAX, &o->rtt_ms);
  } else if (!strcmp(name, "seed")) {
    status = number(name, value, 0, (double)SIM_SEED_MAX, &read);
    o->seed = strtoull(value, NULL, 10);
  } else {
    status = number(name, value, 1, JOBS_MAX, &read);
    o->jobs = (unsigned)read;
  }
  return status;
}

/* One option at argv[*i]; *i moves on to its value. */
static int read_option(sim_verify_options *o, int argc, char **argv, int *i) {
  static const char *const names[] = {"nat", "seed", "rtt", "jobs", "sabotage"};
  const char *name = argv[*i] + 2;
  if (!strcmp(name, "json")) {
    o->json = true;
    return 0;
  }
  size_t len = strcspn(name, "=");
  for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
    if (strlen(names[n]) != len || strncmp(names[n], name, len) != 0)
      continue;
    const char *value = name[len] ? name + len + 1 : *i + 1 < argc ? argv[++*i] : NULL;
    return value && *value ? set_option(o, names[n], value)
                           : complain("an option needs a value:", argv[*i]);
  }
  return complain("unknown option", argv[*i]);
}

int sim_cmd_verify(int argc, char **argv) {
  sim_verify_options options = {.seed = 1, .rtt_ms = 2};
  const char **profiles = calloc((size_t)argc + 1, sizeof *profiles);
  if (!profiles)
    return SIM_EXIT_NO_LAB;
  options.profiles = profiles;
  int status = 0;
  bool helped = false;
  for (int i = 0; !status && !helped && i < argc; i++) {
    helped = !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h");
    if (helped)
      help();
    else if (!strncmp(argv[i], "--", 2))
      status = read_option(&options, argc, argv, &i);
    else
      profiles[options.profile_count++] = argv[i];
  }
  if (status)
    status = SIM_EXIT_USAGE;
  else if (!helped)
    status = sim_verify(&options);
  free(profiles);
  return status;
}
