/* What a node's measured NATs mean: which peers it will reach directly, how, and how fast. */
#ifndef CLI_OUTLOOK_H
#define CLI_OUTLOOK_H

#include <stdbool.h>
#include <warpgate/plugin.h>

enum { CLI_OUTLOOKS = 6, CLI_OUTLOOK_LEN = 160 };

typedef enum cli_way {
  CLI_WAY_UNKNOWN, /* too little is measured */
  CLI_WAY_DIRECT,  /* one side can simply dial the other */
  CLI_WAY_PUNCH,   /* both send at once, addresses are known or foretold */
  CLI_WAY_PROBE,   /* ports have to be guessed */
  CLI_WAY_RELAY,   /* nothing direct is known */
} cli_way;

typedef struct cli_outlook {
  const char *peer, *axes; /* a typical peer, and its axes as text; static storage */
  cli_way way;
  warp_transport transport; /* over which that is */
  double seconds;           /* PROBE: half of all connects take less */
  char why[CLI_OUTLOOK_LEN];
} cli_outlook;

/* For each typical peer the best way of both transports. */
void cli_outlook_make(const warp_endpoint *self, cli_outlook out[CLI_OUTLOOKS]);
/* "direct", "punch", "probe", "relay", "unknown". Static storage. */
const char *cli_way_name(cli_way way);

#endif
