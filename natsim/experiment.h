/* A whole run: plan, programs, sandbox, jobs, results, table. */
#ifndef NATSIM_EXPERIMENT_H
#define NATSIM_EXPERIMENT_H

#include "natsim/options.h"

/* Carries out what the options ask for and returns the exit status of the command. What goes wrong
 * is said on stderr in one line. */
int sim_experiment(enum sim_command command, const sim_options *options);

#endif
