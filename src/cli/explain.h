/* What went wrong, in one line that says what to do about it, and the exit status that goes with
 * it. All of them say it and return the status. */
#ifndef CLI_EXPLAIN_H
#define CLI_EXPLAIN_H

#include "cli/run.h"

/* A server of this kind is needed and none is configured. */
int cli_explain_missing(const cli_options *options, cli_kind kind);
/* Is a server of this kind configured? */
bool cli_has_server(const cli_options *options, cli_kind kind);
/* Peers have to reach each other somehow: -1 when a broker is configured, or none is wanted, or
 * everything stays on this machine; else as cli_explain_missing. */
int cli_check_broker(const cli_options *options);
/* A broker is configured and the node has started: -1 when it is up. */
int cli_explain_broker(const cli_run *run);
/* A note where the way through NATs is not known, as it could be. */
void cli_warn_stun(const cli_run *run);
/* The node, or its name, did not come up. */
int cli_explain_start(const cli_run *run, int status);
/* A record that was given cannot be used. */
int cli_explain_address(int status);
/* A look-up failed. */
int cli_explain_lookup(const cli_run *run, const char *name, int status);
/* A connect failed; the report follows in lines of its own. */
int cli_explain_connect(const cli_run *run, const char *to, int status, const warp_report *report);

#endif
