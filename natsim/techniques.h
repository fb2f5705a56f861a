/* What --plugin and --set name: natsim knows none of it, our endpoint does. */
#ifndef NATSIM_TECHNIQUES_H
#define NATSIM_TECHNIQUES_H

#include "natsim/programs.h"

/* Asks our own endpoint (`warpgate-endpoint --check`) whether the options' techniques and settings
 * can be; of another program as endpoint nothing is known. 0, or -1 with the line. */
int sim_techniques_check(const sim_options *options, const sim_programs *programs, ns_error *error);

#endif
