/*
 * A stand for measuring links: a lab between two full cones, where every packet passes and every
 * address is known, and trains of numbered packets through it.
 */
#ifndef NATSIM_STAND_H
#define NATSIM_STAND_H

#include "natsim/datagram.h"
#include "natsim/world.h"

typedef struct sim_stand {
  sim_world world;
  sim_site sites[SIM_SIDES];
  int a_fd, b_fd, server_fd;       /* UDP sockets */
  struct sockaddr_in a, b, server; /* as the others reach them */
} sim_stand;

/* Builds it with the options' links and seed. Hello packets pass before it returns. 0, or a
 * negative errno with the line; in any case sim_stand_close. */
int sim_stand_open(sim_stand *stand, const sim_options *options, ns_error *error);
void sim_stand_close(sim_stand *stand);

/* A train, and how it came through; `delays_ms` and `copies` have room for `count` and are the
 * caller's. */
typedef struct sim_train {
  unsigned count;
  size_t size;              /* of each, SIM_LETTER_MIN..SIM_LETTER_MAX bytes */
  double spacing_ms;        /* from one to the next */
  double longest_ms;        /* a packet may take; after the last one, more are waited for so long */
  double *delays_ms;        /* of the first copy of each, by number */
  uint8_t *copies;          /* that came of each, by number */
  unsigned came;            /* different ones */
  double first_ms, last_ms; /* when the first and the last copy came */
} sim_train;
enum { SIM_LETTER_MIN = 16, SIM_LETTER_MAX = 1400, SIM_HEADERS = 42 /* Ethernet, IPv4, UDP */ };

/* Sends it from one socket to `to` and takes in what comes at the other. */
void sim_train_run(sim_train *train, int from_fd, const struct sockaddr_in *to, int at_fd);

/* Copies the delays of those that came into `out`, which has room for `count`; how many. */
size_t sim_train_delays(const sim_train *train, double *out);
/* How many came more than once. */
unsigned sim_train_twice(const sim_train *train);

#endif
