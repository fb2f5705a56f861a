/* The servers of a world: coturn (STUN and TURN), mosquitto, and our name server. Each is awaited
 * until it answers, not merely until it runs. */
#ifndef NATSIM_SERVERS_H
#define NATSIM_SERVERS_H

#include "natsim/programs.h"

enum { SIM_SERVERS_MAX = 3 };

typedef struct sim_server {
  const char *name; /* "turnserver" and so on */
  ns_process process;
  char log_path[PATH_MAX];
} sim_server;

/* What runs, and where the peers are told to find it: "" for what is left out. */
typedef struct sim_servers {
  sim_server all[SIM_SERVERS_MAX];
  size_t count;
  char stun[64], turn[96], brokers[64], names[64];
} sim_servers;

/* Starts all servers that the options do not leave out, together, in the world's server site, and
 * awaits them. `folder` takes their files. 0, or a negative errno with a line that has the last
 * words of the server that did not come up; in any case sim_servers_stop. */
int sim_servers_start(sim_servers *servers, const ns_host *site, const sim_options *options,
                      const sim_programs *programs, const char *folder, ns_error *error);
/* A server that has ended by itself, or NULL. */
const sim_server *sim_servers_ended(const sim_servers *servers);
void sim_servers_stop(sim_servers *servers);

#endif
