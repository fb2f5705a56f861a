/*
 * What `warpgate listen` does with a peer: echo, or a command. A peer has a list of its own kind to
 * stand in, so that all can be closed at the end.
 */
#ifndef CLI_PEERS_H
#define CLI_PEERS_H

#include "base/list.h"
#include "cli/run.h"

/* Sends back what the peer sends, until it ends; `all` is the list it stands in. Takes the link. */
void cli_echo_start(wg_list *all, warp_link *link);
/* Closes all of them. */
void cli_echo_stop(wg_list *all);

typedef struct cli_children {
  wg_list list;   /* of those whose link is open */
  unsigned count; /* also of commands that go on without their peer */
} cli_children;
/* Runs `command` by sh with the link as its standard input and output, in a session of its own. In
 * its environment: WARPGATE_PEER (the peer's key in hex), WARPGATE_PATH ("direct", "relay") and
 * WARPGATE_REMOTE (the address at the other end). Takes the link. */
void cli_child_start(cli_children *all, cli_run *run, const char *command, warp_link *link);
/* Closes all of them; commands that still run get SIGTERM. */
void cli_child_stop(cli_children *all);

#endif
