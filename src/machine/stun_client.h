/*
 * One STUN request until it is answered or given up: when to send it (again), and which packet is
 * its answer. Pure: bytes and time go in, bytes and a deadline come out.
 *
 * wg_stun_retry is the timing alone, for machines that make their own requests; wg_stun_client is a
 * whole Binding transaction.
 *
 * All machines of this room are driven alike: after the start, after every input and when the
 * deadline has come, take output until there is none, then wait for the deadline.
 */
#ifndef WG_MACHINE_STUN_CLIENT_H
#define WG_MACHINE_STUN_CLIENT_H

#include "wire/stun.h"

/* Fills `len` random bytes that nobody can guess; WARP_OK or WARP_IO. How machines get transaction
 * ids. */
typedef int (*wg_random_cb)(void *arg, void *out, size_t len);

/* ---- timing ---------------------------------------------------------------------------------- */

/* RFC 8489 section 6.2.1. Zeros stand for its defaults. */
typedef struct wg_stun_timing {
  uint32_t rto_ms; /* before the first retransmission, doubled with each; 500 */
  uint32_t sends;  /* Rc: how often it is sent at most; 7 */
  uint32_t rm;     /* Rm: after the last one it waits that many times rto_ms; 16 */
  bool reliable;   /* over TCP or TLS: sent once */
  /* Reliable: how long to wait (Ti of section 6.2.2). Else a ceiling of the whole. 39500 */
  uint32_t timeout_ms;
} wg_stun_timing;

typedef enum wg_stun_due {
  WG_STUN_DUE_NOTHING,
  WG_STUN_DUE_SEND,    /* send the request now */
  WG_STUN_DUE_TIMEOUT, /* it was not answered */
} wg_stun_due;

typedef struct wg_stun_retry {
  wg_stun_timing timing;
  bool running;
  uint32_t sent; /* how often so far */
  uint64_t first_us, next_us, end_us;
} wg_stun_retry;

/* `timing` may be NULL for the defaults. The first send is due at once. */
void wg_stun_retry_start(wg_stun_retry *retry, const wg_stun_timing *timing, uint64_t now_us);
/* What is due; SEND and TIMEOUT are told once each. */
wg_stun_due wg_stun_retry_poll(wg_stun_retry *retry, uint64_t now_us);
/* When to poll again; UINT64_MAX when stopped or timed out. */
uint64_t wg_stun_retry_deadline(const wg_stun_retry *retry);
void wg_stun_retry_stop(wg_stun_retry *retry);

/* ---- Binding --------------------------------------------------------------------------------- */

typedef enum wg_stun_client_state {
  WG_STUN_CLIENT_IDLE,
  WG_STUN_CLIENT_WAITING,
  WG_STUN_CLIENT_DONE, /* the result is there */
} wg_stun_client_state;

typedef struct wg_stun_client_result {
  int status;       /* WARP_OK, WARP_TIMEOUT, or WARP_REFUSED with `code` */
  warp_addr mapped; /* our address as the server sees it (RFC 8489 section 2) */
  warp_addr other;  /* the server's other address (RFC 5780); family 0 when it has none */
  unsigned code;    /* of an error response */
  uint32_t rtt_us;  /* from the first send to the answer: no less than the round trip */
  uint32_t sent;    /* how often the request was sent */
} wg_stun_client_result;

/* Owned by the caller; zeroed it is idle. Needs no freeing. */
typedef struct wg_stun_client {
  wg_stun_client_state state;
  warp_addr server;
  wg_stun_retry retry;
  wg_stun_client_result result;
  wg_stun_txid txid;
  uint8_t request[WG_STUN_HEADER_LEN];
} wg_stun_client;

/* Starts a Binding request to `server`; what ran before is dropped. `timing` may be NULL. */
void wg_stun_client_start(wg_stun_client *client, const wg_stun_timing *timing,
                          const warp_addr *server, const wg_stun_txid *txid, uint64_t now_us);
/* True with a datagram for the server (borrowed until the next start) when one is due now. A
 * timeout is noticed here. */
bool wg_stun_client_output(wg_stun_client *client, uint64_t now_us, const uint8_t **bytes,
                           size_t *len);
/* A packet from `from`. True when it was the answer: the state is DONE then. Others are left alone.
 * An answer without an address, or with attributes that must be understood and are not, is dropped
 * (RFC 8489 section 6.3.3). */
bool wg_stun_client_input(wg_stun_client *client, const uint8_t *bytes, size_t len,
                          const warp_addr *from, uint64_t now_us);
/* When to ask for output again; UINT64_MAX when idle or done. */
uint64_t wg_stun_client_deadline(const wg_stun_client *client);

#endif
