/*
 * `natsim lab`: a laboratory that stands until it is told to go, with a door for programs that a
 * person sends in (natsim/wire.h). Runs inside the sandbox.
 */
#ifndef NATSIM_LAB_H
#define NATSIM_LAB_H

#include "natsim/plan.h"
#include "natsim/programs.h"

/* Programs inside at a time, and what a file of packets may grow to. */
enum { SIM_GUESTS_MAX = 64 };
#define SIM_LAB_PCAP_BYTES (256L * 1024 * 1024)

typedef struct sim_lab_setup {
  const sim_options *options;
  const sim_trial *trial; /* the pair and its place */
  const sim_programs *programs;
  int door_fd; /* of sim_lab_listen */
  int pcap_fd; /* a folder, or -1 */
} sim_lab_setup;

/* The lab of ns_sandbox_run: `arg` is a sim_lab_setup. Says what went wrong on stderr. Returns the
 * exit status of the command: 0 after SIGINT or SIGTERM. */
int sim_lab_stand(void *arg);

#endif
