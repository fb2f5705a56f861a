/* One endpoint program: its process, its folder, and the lines it prints. */
#ifndef NATSIM_PEER_H
#define NATSIM_PEER_H

#include "natsim/plan.h"
#include "natsim/programs.h"
#include "natsim/results.h"
#include "natsim/servers.h"

#include <jansson.h>

/* The longest line a peer may print: a report of thousands of attempts. */
enum { SIM_LINE_MAX = 1024 * 1024 };

typedef struct sim_peer {
  int side;
  ns_process process;
  char folder[PATH_MAX];
  char log_path[PATH_MAX + 16];
  char *buffer; /* what was read and is not yet a whole line */
  size_t len, size;
  bool at_end; /* it closed its output */
} sim_peer;

/* What every peer of a run is told. */
typedef struct sim_peer_setup {
  const sim_options *options;
  const sim_programs *programs;
  const sim_servers *servers;
  const sim_topology *topology; /* of this trial */
  const char *session;          /* of this trial, the same for both */
  const char *folder;           /* for the peers' own folders */
} sim_peer_setup;

/* Starts the program of `side` in `host`. 0, or a negative errno with the line; in any case
 * sim_peer_stop. */
int sim_peer_start(sim_peer *peer, int side, const ns_host *host, const sim_trial *trial,
                   const sim_peer_setup *setup, ns_error *error);
/* Writes to its stdin. False when it does not take it. */
bool sim_peer_tell(sim_peer *peer, const char *line);
/* Closes its stdin: the sign to end. */
void sim_peer_hang_up(sim_peer *peer);
/* Reads what is there and hands every whole line to `on_line`. At the end of its output, or after
 * a line longer than SIM_LINE_MAX, at_end is set. */
void sim_peer_read(sim_peer *peer, void (*on_line)(void *arg, int side, const char *line),
                   void *arg);
/* Ends it, by force after grace_ms, and frees all but its folder. Returns the wait status, or
 * -ECHILD if it never ran. Safe on a zeroed peer. */
int sim_peer_stop(sim_peer *peer, unsigned grace_ms);

#endif
