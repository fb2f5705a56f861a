/*
 * Measures how a NAT treats UDP: the axes of RFC 4787, by the tests of RFC 5780. Pure; driven as
 * the other machines are (see machine/stun_client.h).
 *
 * Two local sockets are needed, both used for nothing else: socket 0 talks to every address of the
 * servers and shows how the NAT maps; socket 1 talks to one address of one server only, so that an
 * answer from another address tells what the NAT lets in unasked. Had socket 1 ever sent to that
 * other address, the answer would prove nothing.
 *
 * All tests run at once. A test counts as not answered only when it was sent three times and
 * max(300 ms, four times the largest round trip seen) have passed since: a slow path is no filter,
 * and a lost packet is none either.
 */
#ifndef WG_MACHINE_NAT_PROBE_H
#define WG_MACHINE_NAT_PROBE_H

#include "machine/stun_client.h"
#include <warpgate/plugin.h>

enum {
  WG_PROBE_SERVERS = 4,
  WG_PROBE_TESTS = 10, /* one for each server, three more destinations, three on socket 1 */
  WG_PROBE_TIMEOUT_MS = 2000,
  WG_PROBE_PACKET_LEN = 28, /* the largest request: with a CHANGE-REQUEST */
};

typedef enum wg_probe_socket {
  WG_PROBE_MAPPING = 0,
  WG_PROBE_FILTERING = 1,
  WG_PROBE_SOCKETS = 2,
} wg_probe_socket;

typedef struct wg_probe_options {
  /* Addresses of servers of one family, the preferred one first. One that answers with an
   * OTHER-ADDRESS (RFC 5780) is enough; of servers without, two show how the NAT maps, and
   * filtering stays unknown. */
  warp_addr servers[WG_PROBE_SERVERS];
  size_t server_count;
  /* Where the two sockets are bound. A local IP that is unspecified leaves it open whether there is
   * translation when the port is preserved. */
  warp_addr local[WG_PROBE_SOCKETS];
  uint32_t timeout_ms; /* gives up when no server answered; 0: WG_PROBE_TIMEOUT_MS */
  wg_random_cb random;
  void *random_arg;
} wg_probe_options;

typedef struct wg_probe_result {
  int status; /* WARP_OK, or WARP_TIMEOUT: no server answered and nothing is known */
  /* What could not be measured is unknown. The confidence is the sum of what each axis adds:
   * translation, mapping, filtering and allocation up to 25 each, less where the evidence is thin.
   */
  warp_nat_axes axes;
  warp_addr external; /* of socket 0, as the first server to answer sees it */
  uint32_t rtt_us;    /* the largest round trip seen */
} wg_probe_result;

/* What a request asks for. */
typedef enum wg_probe_kind {
  WG_PROBE_PLAIN,       /* which mapping does this destination see? */
  WG_PROBE_CHANGE_PORT, /* does an answer from the server's other port come through? */
  WG_PROBE_CHANGE_BOTH, /* ... from its other address? */
} wg_probe_kind;

typedef enum wg_probe_outcome {
  WG_PROBE_RUNNING,
  WG_PROBE_ANSWERED,
  WG_PROBE_SILENT,  /* no answer came */
  WG_PROBE_REFUSED, /* an error response, or the answer came from the address that was asked */
} wg_probe_outcome;

typedef struct wg_probe_test {
  wg_probe_socket socket;
  wg_probe_kind kind;
  wg_probe_outcome outcome;
  warp_addr server;
  wg_stun_txid txid;
  unsigned sent;
  uint64_t first_us, last_us;
  warp_addr mapped; /* of an answer */
  warp_addr from;   /* where the answer came from */
} wg_probe_test;

/* Owned by the caller; zeroed it is idle. Needs no freeing. Read done and result; leave the rest
 * alone. */
typedef struct wg_nat_probe {
  bool done;
  wg_probe_result result;
  warp_addr local[WG_PROBE_SOCKETS];
  wg_random_cb random;
  void *random_arg;
  uint64_t give_up_us;
  bool running;
  bool filtering; /* the tests of socket 1 are under way */
  size_t count;
  wg_probe_test tests[WG_PROBE_TESTS];
  uint8_t out[WG_PROBE_PACKET_LEN];
} wg_nat_probe;

/* WARP_INVALID (no servers or too many, of different families, no random), WARP_IO (no randomness).
 */
int wg_nat_probe_start(wg_nat_probe *probe, const wg_probe_options *options, uint64_t now_us);
/* A datagram to send now (borrowed until the next call), and from which socket to where. */
typedef struct wg_probe_packet {
  wg_probe_socket socket;
  warp_addr to;
  const uint8_t *bytes;
  size_t len;
} wg_probe_packet;
bool wg_nat_probe_output(wg_nat_probe *probe, uint64_t now_us, wg_probe_packet *out);
/* A datagram that came in on a socket. True when it belonged to a test. */
bool wg_nat_probe_input(wg_nat_probe *probe, wg_probe_socket socket, const uint8_t *bytes,
                        size_t len, const warp_addr *from, uint64_t now_us);
/* When to ask for output again; UINT64_MAX when done. */
uint64_t wg_nat_probe_deadline(const wg_nat_probe *probe);

#endif
