/* Two nodes in the simulated internet that take every failure that lack of memory explains. */
#ifndef TESTS_OOM_NODES_H
#define TESTS_OOM_NODES_H

#include "failing.h"
#include "sim.h"

typedef struct oom_node {
  sim_world *world;
  wg_env *env;
  warp_conf conf;
  warp_node *node;
  warp_pipe *pipe;
  bool starting, connecting, awaiting; /* a callback is owed */
  bool closed, ended;
  int status; /* of the last start or connect */
  bool echoes;
  unsigned pipes, misses, connects, explained;
  size_t heard;        /* bytes */
  warp_report_row row; /* of a connect that failed: its last */
} oom_node;

typedef struct oom_nodes {
  sim_topology net;
  oom_node a, b;
} oom_nodes;

/* The sites, and configurations with all servers. */
void oom_nodes_build(oom_nodes *both, const char *profile_a, const char *profile_b);
/* Starts a node and waits for the end of the start. False when memory was lacking. */
bool oom_node_start(oom_node *self);
/* Both; b listens and echoes. */
bool oom_nodes_start(oom_nodes *both);
/* a connects to b and, when that succeeded, sends and hears an echo. When it did not, or the bytes
 * were lost, memory was lacking, and the next connect succeeds. */
void oom_nodes_connect(oom_nodes *both, const warp_connect_options *options);
/* The connect alone: true with pipes at both ends. */
bool oom_nodes_try(oom_nodes *both, const warp_connect_options *options);
/* As oom_nodes_connect, by an id that b awaits. */
void oom_nodes_rendezvous(oom_nodes *both);
/* Both connect to each other at once: either gets one pipe, or memory was lacking, and the next
 * connect succeeds. */
void oom_nodes_cross(oom_nodes *both, const warp_connect_options *options);
/* Closes everything and checks that nothing is left. */
void oom_nodes_free(oom_nodes *both);
void oom_node_close(oom_node *self);

#endif
