/* The servers of a world: coturn (STUN and TURN), our STUN server beside it (also for mappings of
 * TCP), mosquitto (two when the options ask for it), our name server, chrony and two NTP servers of
 * our own beside it, one of which may be wrong. Each is awaited until it answers, not merely until
 * it runs. */
#ifndef NATSIM_SERVERS_H
#define NATSIM_SERVERS_H

#include "natsim/programs.h"
#include "natsim/topology.h"

enum { SIM_SERVERS_MAX = 8, SIM_SERVER_ARGS = 20 };

typedef struct sim_server {
  const char *name; /* "turnserver" and so on */
  unsigned serves;  /* enum sim_server_bit */
  ns_process process;
  char log_path[PATH_MAX];
  char *argv[SIM_SERVER_ARGS + 1]; /* to start it again; owned */
  bool pipe_stdout;
  bool unsettled; /* it was stopped, or started and not awaited */
} sim_server;

/* Our STUN server stands on the addresses of the others, with ports of its own. */
enum { SIM_OWN_STUN_PORT = 3488, SIM_OWN_STUN_OTHER_PORT = 3489 };

/* What runs. */
typedef struct sim_servers {
  sim_server all[SIM_SERVERS_MAX];
  size_t count;
  unsigned without;         /* servers that were left out */
  char authority[PATH_MAX]; /* file of the authority that the relay's certificate is by, or "" */
  const ns_host *site;
  const sim_options *options;
  const sim_programs *programs;
} sim_servers;

/* Where a peer is told to find the servers: host:port separated by commas, "" for what is left
 * out. */
typedef struct sim_told {
  char stun[128], turn[192], brokers[192], names[128], ntp[128];
} sim_told;

/* Starts all servers that the options do not leave out, together, in the world's server site, and
 * awaits them. `folder` takes their files. 0, or a negative errno with a line that has the last
 * words of the server that did not come up; in any case sim_servers_stop. */
int sim_servers_start(sim_servers *servers, const ns_host *site, const sim_options *options,
                      const sim_programs *programs, const char *folder, ns_error *error);
/* What the peer of this side is told: the addresses of its families, those first that both sides
 * have; where a router lets only ports 80 and 443 out, the servers' second ports there, so that
 * both peers name the same broker. */
void sim_servers_tell(const sim_servers *servers, const sim_topology *topology, int side,
                      sim_told *out);
/* A server that has ended by itself, or NULL. */
const sim_server *sim_servers_ended(const sim_servers *servers);
void sim_servers_stop(sim_servers *servers);

/* In the middle of a trial: kills the programs that serve any of `bits` (coturn serves two), or
 * starts those of them that do not run, without waiting for their answer. */
void sim_servers_kill(sim_servers *servers, unsigned bits);
int sim_servers_revive(sim_servers *servers, unsigned bits, ns_error *error);
/* After it: all run and answer again. 0, or a negative errno with the line. */
int sim_servers_settle(sim_servers *servers, ns_error *error);

#endif
