/* Two nodes in the simulated internet: started, connected, asked what happened, closed. */
#ifndef TESTS_SUPPORT_PEERS_H
#define TESTS_SUPPORT_PEERS_H

#include "sim.h"
#include "wire/record.h"
#include <warpgate/warpgate.h>

enum { PEER_ROWS = 192, PEER_INBOX = 4096, PEER_PHASES = 16 };

typedef struct peer {
  sim_world *world;
  sim_host *host;
  warp_conf conf;
  warp_node *node;
  bool start_done, connect_done, miss_done, pipe_done, end_done, closed;
  int start_status, connect_status, miss_status, end_status;
  warp_start_event phases[PEER_PHASES];
  size_t phase_count;
  warp_pipe *pipe;
  warp_pipe_info info;
  warp_report_row rows[PEER_ROWS];
  size_t row_count;
  uint8_t inbox[PEER_INBOX];
  size_t inbox_len;
  bool echo; /* sends back what comes */
  uint64_t asked_us, connected_us;
} peer;

typedef struct peers {
  sim_topology net;
  peer a, b;
} peers;

/* Builds the two sites and both nodes' configurations (all servers); nothing is started. */
void peers_build(peers *both, const char *profile_a, const char *profile_b, uint64_t seed);
/* Starts a node and waits until the start is over; the status is in start_status. */
void peer_start(peer *self);
/* Starts both and asserts that they started; b listens and echoes. */
void peers_start(peers *both);
/* a connects to the owner of a record; returns when the connect is over. */
void peers_connect_to(peers *both, const uint8_t *record, size_t len,
                      const warp_connect_options *options);
/* The same in two steps, for tests that do something in between. */
void peers_begin_connect(peers *both, const uint8_t *record, size_t len,
                         const warp_connect_options *options);
void peers_await_connect(peers *both);
/* a connects to b's own record. */
void peers_connect(peers *both, const warp_connect_options *options);
/* Sends from a, waits for the echo, asserts that it is right. */
void peers_echo(peers *both);
/* The row of a plugin in a peer's report; NULL when there is none. */
const warp_report_row *peer_row(const peer *self, const char *plugin, int route_type);
/* What a node says of itself now. */
wg_record peer_record(const peer *self);
void assert_ip(const warp_addr *addr, const char *text);
/* What a look-up or a question for a record came to; a warp_on_name whose `arg` is one. */
typedef struct peer_answer {
  bool done;
  int status;
  uint8_t record[WARP_RECORD_MAX];
  size_t len;
} peer_answer;
void on_peer_answer(void *arg, int status, const uint8_t *record, size_t len);
/* Closes both nodes and the world, asserting that nothing was left open. */
void peers_free(peers *both);

#endif
