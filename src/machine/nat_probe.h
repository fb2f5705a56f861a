/*
 * Measures how a NAT treats UDP: the axes of RFC 4787, by the tests of RFC 5780. Pure; driven as
 * the other machines are (see machine/stun_client.h).
 *
 * Eight local sockets are needed, all used for nothing else. Socket 0 talks to every address of the
 * servers and shows how the NAT maps. Socket 1 talks to one address of one server only, so that an
 * answer from another address tells what the NAT lets in unasked; had it ever sent to that other
 * address, the answer would prove nothing. When such an answer came, socket 1 answers it with a
 * request of its own: the mapping which that one is seen by shows whether the NAT reuses sessions
 * that began outside. Sockets 2 and 3 send to each other's external address (hairpin, RFC 4787
 * section 6). Those and the rest show, by the ports that they get, how the NAT allocates.
 *
 * All tests run at once, as soon as what they need is known, so that the usual NAT is measured
 * within four round trips. A request that should be answered counts as lost only when it was sent
 * three times and max(300 ms, four times the largest round trip seen) have passed since. Where
 * silence is the usual outcome, the three are sent close together (more of them where packets are
 * lost), and the time is twice the largest round trip and twice the spread of all; it does not end
 * before the address that the answer would come from has answered or was given up, nor before a
 * plain request has been answered (or was given up) that followed the last of them from the same
 * socket to the same server: until then the server may have had no processor. So a slow path is no
 * filter, a lost packet is none, and a busy server is none either. Nor is a computer that stood
 * still: an end of waiting that is noticed late proves nothing, because answers may lie unread, and
 * is waited for anew.
 */
#ifndef WG_MACHINE_NAT_PROBE_H
#define WG_MACHINE_NAT_PROBE_H

#include "machine/stun_client.h"
#include <warpgate/plugin.h>

enum {
  WG_PROBE_SERVERS = 4,
  /* One for each server, three more destinations, four on socket 1 and two that answer there, one
   * on each other socket, two between sockets 2 and 3. */
  WG_PROBE_TESTS = 21,
  WG_PROBE_TIMEOUT_MS = 2000,
  /* An end that is noticed so much later is waited for anew, so many times at most. */
  WG_PROBE_LATE_MS = 20,
  WG_PROBE_RESTS = 3,
  WG_PROBE_PACKET_LEN = 28, /* the largest request: with a CHANGE-REQUEST */
};

typedef enum wg_probe_socket {
  WG_PROBE_MAPPING = 0,
  WG_PROBE_FILTERING = 1,
  WG_PROBE_HAIRPIN_A = 2,
  WG_PROBE_HAIRPIN_B = 3,
  WG_PROBE_SAMPLE = 4, /* from here on */
  /* Eight ports within a sixteenth of all are a block: by chance that comes once in 10^8 times. */
  WG_PROBE_SOCKETS = 8,
} wg_probe_socket;

typedef struct wg_probe_options {
  /* Addresses of servers of one family, the preferred one first. One that answers with an
   * OTHER-ADDRESS (RFC 5780) is enough; of servers without, two show how the NAT maps, and
   * filtering stays unknown. */
  warp_addr servers[WG_PROBE_SERVERS];
  size_t server_count;
  /* Where the sockets are bound. A local IP that is unspecified leaves it open whether there is
   * translation when the port is preserved. */
  warp_addr local[WG_PROBE_SOCKETS];
  uint32_t timeout_ms; /* gives up when no server answered; 0: WG_PROBE_TIMEOUT_MS */
  wg_random_cb random;
  void *random_arg;
} wg_probe_options;

typedef struct wg_probe_result {
  int status; /* WARP_OK, or WARP_TIMEOUT: no server answered and nothing is known */
  /* What could not be measured is unknown. The confidence is the sum of what each axis adds:
   * translation, mapping, filtering and allocation up to 25 each, less where the evidence is thin,
   * half of all when servers contradict each other.
   */
  warp_nat_axes axes;
  warp_addr external; /* of socket 0, as the preferred server sees it; family 0: none answered */
  size_t server;      /* the first one of the list that answered, and is not outvoted */
  uint32_t rtt_us;    /* the largest round trip seen */
  uint32_t server_rtt_us[WG_PROBE_SERVERS]; /* of each server; 0: no answer came */
} wg_probe_result;

/* What a request asks for. */
typedef enum wg_probe_kind {
  WG_PROBE_PLAIN,       /* which mapping does this destination see? */
  WG_PROBE_CHANGE_PORT, /* does an answer from the server's other port come through? */
  WG_PROBE_CHANGE_BOTH, /* ... from its other address? */
  WG_PROBE_REUSE,       /* which mapping has the answer to what came in unasked? */
  WG_PROBE_WITNESS,     /* has the server come to what was asked before this? */
  WG_PROBE_HAIRPIN,     /* does our own external address lead back inside? */
} wg_probe_kind;

typedef enum wg_probe_outcome {
  WG_PROBE_RUNNING,
  WG_PROBE_ANSWERED,
  WG_PROBE_SILENT,  /* no answer came */
  WG_PROBE_REFUSED, /* an error response, or the answer came from the address that was asked; a
                       hairpin that shows the inside address (against RFC 4787 REQ-9) */
} wg_probe_outcome;

typedef struct wg_probe_test {
  wg_probe_socket socket;
  wg_probe_kind kind;
  wg_probe_outcome outcome;
  warp_addr local;  /* where the socket is bound */
  warp_addr server; /* where it is sent to */
  unsigned owner;   /* number of the configured server whose address that is, or who told it */
  wg_stun_txid txid;
  unsigned sent, rests;
  uint64_t first_us, last_us;
  uint32_t rtt_us;  /* of an answer, since the first time it was sent */
  warp_addr mapped; /* of an answer */
  warp_addr from; /* where the answer came from; before, where that to a change should come from */
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
  unsigned rests;
  uint32_t rtt_least_us;
  bool running;
  bool sampling;       /* the tests of sockets 2 and up are under way */
  bool filtering;      /* the tests of socket 1 are under way */
  warp_addr other;     /* that was told by the server of the tests of socket 1, */
  unsigned owner;      /* which has this number */
  bool hairpin;        /* sockets 2 and 3 know each other's external address */
  bool loss;           /* something had to be sent again */
  size_t server_count; /* the first so many tests; one that was named twice is one */
  size_t count;
  wg_probe_test tests[WG_PROBE_TESTS];
  uint8_t out[WG_PROBE_PACKET_LEN];
} wg_nat_probe;

/* May the address that a server names as its other one be asked? It must be as far out as the
 * server's own, so that nobody sends us into a private network by that, and no service's: below
 * 1024 there is none that is asked over STUN, unless the configured server is there itself. */
bool wg_nat_probe_may_ask(const warp_addr *server, const warp_addr *other);
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
/* Have the servers of the list answered, after one round trip as a rule, or, where one is silent,
 * one of them twice? Then `*external` is what the first of them sees. */
bool wg_nat_probe_first(const wg_nat_probe *probe, warp_addr *external);
/* Do the answers so far fit to axes that were measured earlier? Of mapping and allocation more can
 * be told than of filtering. */
bool wg_nat_probe_agrees(const wg_nat_probe *probe, const warp_nat_axes *axes);
/* When to ask for output again; UINT64_MAX when done. */
uint64_t wg_nat_probe_deadline(const wg_nat_probe *probe);

#endif
