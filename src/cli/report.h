/* Starts, pipes and reports as events in JSON, and as lines and tables for a person. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <stdbool.h>
#include <warpgate/warpgate.h>

/* Room for a key in hex with its NUL. */
enum { CLI_KEY_HEX_LEN = 2 * WARP_KEY_LEN + 1 };
const char *cli_key_hex(const warp_key *key, char out[CLI_KEY_HEX_LEN]);

/* A start step ended; a line only when `verbose`. */
void cli_report_start(const warp_start_event *event, bool verbose);
/* A pipe is there: the event; lines when asked: `tell` one, `verbose` the table of the attempts,
 * too. `lookup_ms` negative: there was no look-up. */
void cli_report_connected(const warp_pipe *pipe, const warp_report *report, double lookup_ms,
                          bool tell, bool verbose);
/* A connect ended without a pipe: the event, and how each attempt ended; when `verbose` the whole
 * story. */
void cli_report_failed(int status, const warp_report *report, bool verbose);
/* A pipe that was reported is explained: the event, and the story when `verbose`. */
void cli_report_explained(const warp_report *report, bool verbose);
/* The same of a peer's connect, for one who listens. */
void cli_report_missed(const warp_key *peer, int status, const warp_report *report, bool verbose);
/* A peer's pipe is over: WARP_CLOSED in good order, or why. */
void cli_report_ended(const warp_key *peer, int status);
/* The node is up and can be reached. `name` may be NULL. */
void cli_report_ready(const warp_node *node, const char *name, bool tell);
/* The node has another address than the one that was told last. */
void cli_report_address(const warp_node *node);

#endif
