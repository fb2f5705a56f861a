/*
 * A link on one side, a reader and a writer of ours on the other: standard input and output, or
 * those of a child. The link's messages are pieces of one stream. Both directions are held back by
 * who is slower, and each ends by itself.
 */
#ifndef CLI_BRIDGE_H
#define CLI_BRIDGE_H

#include "cli/handles.h"

#include <warpgate/warpgate.h>

/* Why a bridge is over. */
typedef enum cli_bridge_end {
  CLI_BRIDGE_DONE,      /* both directions came to their end */
  CLI_BRIDGE_BROKE,     /* the link broke; the status says why */
  CLI_BRIDGE_NO_READER, /* nobody reads what comes from the peer */
  CLI_BRIDGE_NO_INPUT,  /* what is for the peer cannot be read to its end */
  CLI_BRIDGE_NO_MEMORY, /* nor sent */
} cli_bridge_end;

/* Comes once. After the first two the link is closed already. The others leave it open, because the
 * peer would take a link that is closed for one that came to its end: the owner closes the node,
 * which breaks the link, and then the bridge. */
typedef void (*cli_bridge_cb)(void *arg, cli_bridge_end end, int status);

/* One direction. */
typedef enum cli_flow {
  CLI_FLOWING,
  CLI_ENDING, /* its source has ended; the rest is on its way */
  CLI_ENDED,
} cli_flow;

typedef struct cli_bridge {
  cli_reader reader; /* their handles are opened by the owner */
  cli_writer writer;
  /* A broken writer is no reason to stop what goes to the peer: a child that reads nothing. Neither
   * is a reader that breaks: the child has ended. */
  bool may_lose_reader;

  warp_link *link;     /* NULL once closed */
  cli_flow up, down;   /* to the peer, from the peer */
  const uint8_t *held; /* of the input, not taken by the link yet */
  size_t held_len;
  bool paused; /* the link is, because the writer is slow */
  int broken;  /* why the link broke or is to be aborted, WARP_OK while it has not */
  cli_bridge_end end;
  bool leaving; /* the link is being closed */
  cli_bridge_cb cb;
  void *arg;
  unsigned closing; /* handles that are still to be closed */
  cli_closed_cb closed;
  void *closed_arg;
} cli_bridge;

/* Takes the link over and begins. The bridge is zeroed but for the fields above `link`. */
void cli_bridge_start(cli_bridge *bridge, uv_loop_t *loop, warp_link *link, cli_bridge_cb cb,
                      void *arg);
/* Nothing will be read from the writer any more: its child is gone. */
void cli_bridge_lose_reader(cli_bridge *bridge);
/* Closes what is open; `closed` runs later, once. The callback does not run any more. */
void cli_bridge_close(cli_bridge *bridge, cli_closed_cb closed, void *arg);

#endif
