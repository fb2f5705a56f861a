/* A laboratory as a person sees it: who is where, drawn with characters. */
#ifndef NATSIM_PICTURE_H
#define NATSIM_PICTURE_H

#include "natsim/servers.h"
#include "natsim/world.h"

typedef struct sim_picture {
  const char *name; /* of the laboratory */
  const sim_options *options;
  const sim_programs *programs;
  const sim_topology *topology;
  const sim_told *told; /* of both sides */
  bool ascii;           /* no other characters */
} sim_picture;

/* The tree of networks, routers and hosts with their addresses, and the servers. */
void sim_picture_draw(const sim_picture *picture, FILE *out);
/* Commands to start with, servers filled in. */
void sim_picture_commands(const sim_picture *picture, FILE *out);

#endif
