/* Whether the machine has room for so many labs side by side: told before the first is built, since
 * memory that runs out is not an error that comes back but a process that is killed. */
#ifndef NATSIM_LIMITS_H
#define NATSIM_LIMITS_H

#include "natsim/fail.h"

#include <stdint.h>

/* What one lab takes, at most. */
typedef struct sim_need {
  unsigned namespaces;  /* network namespaces */
  unsigned descriptors; /* of one process; 0: each lab has a process of its own */
  unsigned mebibytes;
} sim_need;

/* A lab without servers and peers: two routers with their rules and sets, the switch; the same with
 * a prober in a process of its own; and a job of trials: the same with coturn, mosquitto, the name
 * server, two peers and their sockets. */
extern const sim_need sim_need_lab, sim_need_nat, sim_need_job;

/* What there is; UINT64_MAX where the machine does not say. */
typedef struct sim_room {
  uint64_t namespaces;  /* user.max_net_namespaces */
  uint64_t descriptors; /* the hard limit of open files */
  uint64_t mebibytes;   /* available, also to the container */
} sim_room;

/* Reads it for the calling process; outside of a sandbox, whose own limits say nothing. */
void sim_room_read(sim_room *room);

/* 0, or -1 with a line that names the limit, how many labs there is room for, and `option`, which
 * asks for fewer; or the limit alone where it is too low for a single process. */
int sim_room_check(const sim_room *room, const sim_need *need, unsigned labs, const char *option,
                   ns_error *error);

#endif
