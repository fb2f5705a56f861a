/*
 * Asks several NTP servers (RFC 5905, client mode) what the time is, and finds out which of them
 * can be believed. Pure; driven as the other machines are (see machine/stun_client.h).
 *
 * Time is measured against the caller's monotonic clock: the result is what UTC was when that
 * clock stood at 0. Requests carry 64 random bits where a transmit timestamp stands, so that they
 * do not tell our clock and only who saw one can answer it; a reply is an answer once.
 *
 * Of each server the exchange with the smallest root distance counts: what was late on one of the
 * two ways was late for a reason (the first exchange may wait for ARP). Each server then is an
 * interval in which UTC must lie if the server is right, and servers agree where more than half of
 * the intervals overlap (after RFC 5905 section 11.2.1); the others are outvoted. It is over as
 * soon as more than half of all that are asked agree; else, when all have answered or the time is
 * up, more than half of those that answered must.
 */
#ifndef WG_MACHINE_CLOCK_SYNC_H
#define WG_MACHINE_CLOCK_SYNC_H

#include "machine/stun_client.h"
#include "wire/ntp.h"

enum {
  WG_CLOCK_SERVERS = 4,           /* three outvote a wrong one, four also when one is dead */
  WG_CLOCK_SAMPLES_MAX = 4,       /* as ntpd's iburst at its beginning: more gain little */
  WG_CLOCK_REQUESTS = 8,          /* to one server, with those that get lost */
  WG_CLOCK_DISTANCE_US = 1000000, /* MAXDIST of RFC 5905: a server that says it, or whose path
                                     makes it, this uncertain is of no use */
};

typedef struct wg_clock_options {
  size_t server_count;
  unsigned samples;    /* of each server, 1 to WG_CLOCK_SAMPLES_MAX */
  uint32_t spacing_ms; /* between an answer and the next request; 0 only at a start */
  uint32_t timeout_ms; /* of the whole */
  wg_random_cb random;
  void *random_arg;
} wg_clock_options;

typedef enum wg_clock_answer {
  WG_CLOCK_SILENT,
  WG_CLOCK_ANSWERED,
  WG_CLOCK_UNFIT,  /* it answered that it does not know the time, or not well enough */
  WG_CLOCK_BUSY,   /* kiss code RATE: not asked any more this time; what it said before counts */
  WG_CLOCK_BARRED, /* kiss codes DENY and RSTR: it must not be asked again ever */
} wg_clock_answer;

typedef struct wg_clock_result {
  /* WARP_OK; WARP_TIMEOUT: no server answered; WARP_REFUSED: none that did would tell;
   * WARP_UNTRUSTED: they contradict each other and none is in the majority. */
  int status;
  int64_t epoch_us;        /* UTC since 1970 when the monotonic clock was 0 */
  uint32_t uncertainty_us; /* either way, if the majority is right */
  uint64_t measured_us;    /* monotonic time to which the uncertainty belongs */
  unsigned answered, agreed;
} wg_clock_result;

typedef struct wg_clock_request {
  bool open;
  uint64_t nonce, sent_us;
} wg_clock_request;

typedef struct wg_clock_server {
  wg_clock_answer answer;
  unsigned samples;
  size_t request_count;
  wg_clock_request requests[WG_CLOCK_REQUESTS];
  uint64_t next_us;     /* when to ask again */
  int64_t epoch_us;     /* of the best sample */
  uint64_t distance_us; /* how wrong that may be */
} wg_clock_server;

/* Owned by the caller; zeroed it is idle. Needs no freeing. Read done, result, the servers' answers
 * and `rejected`; leave the rest alone. */
typedef struct wg_clock_sync {
  bool done;
  wg_clock_result result;
  wg_clock_server servers[WG_CLOCK_SERVERS];
  unsigned rejected; /* packets that answered no request, or were malformed */
  wg_clock_options options;
  uint64_t give_up_us;
  uint8_t out[WG_NTP_LEN];
} wg_clock_sync;

/* WARP_INVALID (no servers or too many, samples out of range, no random). */
int wg_clock_sync_start(wg_clock_sync *sync, const wg_clock_options *options, uint64_t now_us);
/* A packet to send now (WG_NTP_LEN bytes, borrowed until the next call) and to which server. */
bool wg_clock_sync_output(wg_clock_sync *sync, uint64_t now_us, size_t *server,
                          const uint8_t **bytes);
/* A datagram that came from a server's address. True when it answered a request. */
bool wg_clock_sync_input(wg_clock_sync *sync, size_t server, const uint8_t *bytes, size_t len,
                         uint64_t now_us);
/* When to ask for output again; UINT64_MAX when done. */
uint64_t wg_clock_sync_deadline(const wg_clock_sync *sync);

#endif
