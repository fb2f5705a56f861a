/*
 * What is kept of a trial that failed: the packets that both hosts and the routers before them sent
 * and received, and what the programs wrote. Packets are captured all the while and written only
 * when they are wanted.
 */
#ifndef NATSIM_EVIDENCE_H
#define NATSIM_EVIDENCE_H

#include "natsim/peer.h"
#include "natsim/world.h"

/* Of each log of a server; those of the peers are kept whole up to this too. */
enum { SIM_LOG_KEPT = 256 * 1024 };

typedef struct sim_evidence {
  ns_capture *captures[SIM_NODES_MAX];
  char names[SIM_NODES_MAX][32]; /* of the captured hosts */
  int count;
  long log_begins[SIM_SERVERS_MAX]; /* how long each server's log was before the trial */
} sim_evidence;

/* Starts capturing at the hosts of the trial that is built in the world, its neighbours left out.
 * 0, or a negative errno with the line; in any case sim_evidence_end. */
int sim_evidence_begin(sim_evidence *evidence, const sim_world *world, const sim_servers *servers,
                       ns_error *error);
/* Ends capturing and writes NAME.pcap of every host, and NAME.log of both peers and every server,
 * into a new folder `folder` of `out_fd`; what was there before is replaced. 0, or a negative errno
 * with the line. */
int sim_evidence_keep(sim_evidence *evidence, int out_fd, const char *folder,
                      const sim_peer peers[SIM_SIDES], const sim_servers *servers, ns_error *error);
/* Lets go of what was captured. Safe on a zeroed one. */
void sim_evidence_end(sim_evidence *evidence);

/* The folder's name, "trials/3-open-symmetric". */
enum { SIM_FOLDER_STRLEN = 2 * SIM_PROFILE_NAME + 32 };
void sim_evidence_folder(const sim_trial *trial, char out[SIM_FOLDER_STRLEN]);

#endif
