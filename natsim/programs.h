/* Where the programs that a lab starts are found. */
#ifndef NATSIM_PROGRAMS_H
#define NATSIM_PROGRAMS_H

#include "natsim/options.h"

#include <limits.h>

typedef struct sim_programs {
  char coturn[PATH_MAX], stun[PATH_MAX], broker[PATH_MAX], names[PATH_MAX];
  char chrony[PATH_MAX], ntp[PATH_MAX], authority[PATH_MAX], endpoint[PATH_MAX];
  /* "LD_LIBRARY_PATH=..." for servers unpacked beside, or "" */
  char libraries[PATH_MAX + 32];
} sim_programs;

/* Finds what the options ask for. Servers: in the folder named by NATSIM_FIXTURES, in
 * ../fixtures beside natsim (each holding an unpacked Debian package: usr/bin, usr/sbin), in PATH,
 * in /usr/sbin. Our own programs: beside natsim, and the servers of an installed one in
 * ../libexec/warpgate and ../sbin. Returns 0, or -1 with a line that says what to
 * install. */
int sim_programs_find(const sim_options *options, sim_programs *out, ns_error *error);

/* Finds one server program in the same way. */
int sim_programs_find_server(const char *name, const char *package, char out[PATH_MAX],
                             sim_programs *programs, ns_error *error);

#endif
