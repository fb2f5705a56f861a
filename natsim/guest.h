/* A program that a person has sent into a laboratory: from the request to the answer. */
#ifndef NATSIM_GUEST_H
#define NATSIM_GUEST_H

#include "natsim/servers.h"
#include "natsim/wire.h"
#include "natsim/world.h"

typedef struct sim_guest {
  int fd; /* to who asked; 0: this place is free */
  int pidfd;
  ns_process process;
} sim_guest;

/* What a guest is told and where it may go. */
typedef struct sim_inn {
  const sim_world *world;
  const sim_told *told; /* of both sides */
  const char *folder;   /* the hosts' data folders are made there */
} sim_inn;

/* Takes in who knocks: reads the request from the new connection `fd`, which it takes, and starts
 * the program. False when there is none: then who asked has been told why. */
bool sim_guest_enter(sim_guest *guest, int fd, const sim_inn *inn);
/* The connection has something to read: signals for the program, or its end, which ends the
 * program. */
void sim_guest_hear(sim_guest *guest);
/* The program has ended, or is to end now: who asked is told. Safe on a free place. */
void sim_guest_leave(sim_guest *guest);

#endif
