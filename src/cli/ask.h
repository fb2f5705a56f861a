/* Asks every configured server whether it answers, and how fast: all at once, each by its own
 * protocol. */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "cli/settings.h"
#include "env/env.h"
#include "signal/router.h"

#include <stdbool.h>

enum {
  CLI_ASKS = CLI_KINDS * CLI_SERVERS_MAX,
  CLI_ASK_MS =
      2500, /* until a server counts as silent: as long as a node's start waits, and more */
};

/* How one server answered. */
typedef struct cli_answer {
  cli_kind kind;
  char server[WG_HINT_LEN]; /* without credentials */
  /* WARP_OK; WARP_TIMEOUT; WARP_NOT_FOUND (its name), WARP_AUTH, WARP_CONN_REFUSED, ... */
  int status;
  double ms; /* from the first packet to the answer; negative: none came */
  /* Silent over UDP, but a TCP connection to it opens in so many milliseconds; negative: no. */
  double tcp_ms;
  warp_addr addr; /* that it was asked at; family 0: of a broker, or not found */
} cli_answer;

typedef struct cli_asks cli_asks;
/* Starts asking; `done` runs once, from the loop. NULL when out of memory. */
cli_asks *cli_asks_start(wg_env *env, const cli_settings *settings, void (*done)(void *arg),
                         void *arg);
/* In the order of the settings; complete after `done`. */
const cli_answer *cli_asks_answers(const cli_asks *asks, size_t *count);
/* NULL is allowed. */
void cli_asks_free(cli_asks *asks);

#endif
