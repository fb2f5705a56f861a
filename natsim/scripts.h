/* Commands that are Python programs: what reads results needs no speed but a statistics library. */
#ifndef NATSIM_SCRIPTS_H
#define NATSIM_SCRIPTS_H

#include "natsim/fail.h"

typedef struct sim_script {
  const char *command; /* of natsim, and the script's first argument */
  const char *module;  /* Python module that it cannot do without, or NULL */
  const char *package; /* Debian package of that module, or NULL */
} sim_script;

/* Becomes the script in ../share/natsim/report beside natsim, run by the first of `python3` in PATH
 * and /usr/bin/python3 that has the module. Does not return; on failure SIM_EXIT_NO_LAB with the
 * line that says what to install. */
int sim_script_run(const sim_script *script, int argc, char **argv, ns_error *error);

#endif
