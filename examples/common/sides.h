/*
 * What the examples of two nodes have in common, so that each shows only what it is about. Run
 *
 *   EXAMPLE                      both nodes in this process, on loopback
 *   EXAMPLE listen               one node; prints the address to give to the other
 *   EXAMPLE connect ADDRESS      the other one, in another terminal or on another machine
 *
 * two_nodes.c does by itself, in one file, what sides.c does for the others.
 */
#ifndef EXAMPLE_SIDES_H
#define EXAMPLE_SIDES_H

#include <warpgate/warpgate.h>

typedef struct example_sides {
  /* A pipe came to the listening node, or the connecting one has it; each sets its handlers. */
  void (*on_accepted)(warp_pipe *pipe);
  void (*on_connected)(warp_pipe *pipe);
  warp_connect_options options; /* of the connect */
  const char *plugin;           /* a pinned connect with these three, unless it is NULL */
  int family, route_type;
} example_sides;

/* Runs until example_end. Returns the exit status. */
int example_run(int argc, char **argv, const example_sides *sides);
/* It is over: closes the nodes, which ends their pipes: close a pipe in its on_end. May be called
 * from any callback. */
void example_end(int exit_status);

#endif
