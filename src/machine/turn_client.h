/*
 * One allocation on a TURN server, reached over UDP, TCP or TLS (RFC 8656): made with long-term
 * credentials, kept by refreshes, with permissions and channels for several peers, given back at
 * the end. Pure; driven as wire's machines are (see machine/stun_client.h): after a start, an
 * input, a permit, a bind, a close and at the deadline take output until there is none, then events
 * until there is none.
 */
#ifndef WG_MACHINE_TURN_CLIENT_H
#define WG_MACHINE_TURN_CLIENT_H

#include "machine/stun_client.h"
#include "wire/turn.h"

enum {
  WG_TURN_PEERS = 16,          /* permissions and channels of one allocation */
  WG_TURN_USER_MAX = 128,      /* credentials, with their NUL */
  WG_TURN_REALM_MAX = 256,     /* realm and nonce, with their NUL; servers send less */
  WG_TURN_REQUEST_MAX = 1024,  /* the largest request that we make */
  WG_TURN_REASON_LEN = 128,    /* of a server's reason phrase, with its NUL */
  WG_TURN_LIFETIME_S = 600,    /* asked for unless told otherwise; the RFC's default */
  WG_TURN_MARGIN_S = 60,       /* an allocation is refreshed that long before its end */
  WG_TURN_PEER_REFRESH_S = 240 /* permissions live 300 s, channels 600 s; channels renew both */
};

typedef struct wg_turn_options {
  warp_addr server;
  const char *user, *password; /* copied */
  int family;                  /* of the relayed address: WARP_IP4 (also 0) or WARP_IP6 */
  uint32_t lifetime_s;         /* 0: WG_TURN_LIFETIME_S */
  wg_stun_timing timing;       /* of each request; `reliable`: what goes out is for a stream */
  wg_random_cb random;         /* for transaction ids */
  void *random_arg;
} wg_turn_options;

typedef enum wg_turn_state {
  WG_TURN_IDLE,
  WG_TURN_ALLOCATING,
  WG_TURN_ALLOCATED,
  WG_TURN_CLOSING, /* the allocation is being given back */
  WG_TURN_ENDED,   /* closed, refused or lost */
} wg_turn_state;

typedef enum wg_turn_event_type {
  WG_TURN_EVENT_ALLOCATED, /* `relayed` and `mapped` are known */
  WG_TURN_EVENT_PERMITTED, /* `peer` may now send to us and we to it; `channel` if one was bound */
  WG_TURN_EVENT_FORBIDDEN, /* a permission or channel was refused or lost: status, code, reason */
  WG_TURN_EVENT_ENDED,     /* the allocation is gone: status (WARP_OK: as we asked), code, reason */
} wg_turn_event_type;

/* `status`: WARP_AUTH (wrong credentials), WARP_QUOTA (the user's or the server's capacity is used
 * up), WARP_UNTRUSTED (peer forbidden), WARP_REFUSED (any other error code), WARP_TIMEOUT (no
 * answer), WARP_IO (no randomness), WARP_UNSUPPORTED (no MD5 on this platform). `code`, `reason`:
 * of the server's error response, else 0 and "". */
typedef struct wg_turn_event {
  wg_turn_event_type type;
  int status;
  unsigned code;
  const char *reason; /* valid until the next input or output */
  warp_addr peer;
  uint16_t channel;
} wg_turn_event;

/* One peer: a permission (of its IP) or a channel (of IP and port). */
typedef enum wg_turn_peer_state {
  WG_TURN_PEER_FREE,
  WG_TURN_PEER_ASKING, /* not yet granted, or waiting for the allocation */
  WG_TURN_PEER_READY,  /* granted; a refresh may be under way */
  WG_TURN_PEER_LOST,   /* refused, or a refresh failed */
} wg_turn_peer_state;

/* A request and the fate of its answer. */
typedef struct wg_turn_request {
  wg_stun_retry retry;
  wg_stun_txid txid;
  unsigned nonces; /* how often the server found the nonce stale, in a row */
  int status;      /* why it failed */
  unsigned code;
  char reason[WG_TURN_REASON_LEN];
} wg_turn_request;

typedef struct wg_turn_peer {
  wg_turn_peer_state state;
  warp_addr addr;
  uint16_t channel; /* 0: a permission */
  bool told;        /* the event for the present state was taken */
  uint64_t refresh_us;
  wg_turn_request request;
} wg_turn_peer;

/* Owned by the caller; zeroed it is idle. Needs no freeing; holds a password. Read state, relayed
 * and mapped; leave the rest alone. */
typedef struct wg_turn_client {
  wg_turn_state state;
  warp_addr relayed; /* our address at the relay */
  warp_addr mapped;  /* our address as the server sees it */
  warp_addr server;
  int family;
  uint32_t lifetime_s;
  wg_stun_timing timing;
  wg_random_cb random;
  void *random_arg;
  char user[WG_TURN_USER_MAX], password[WG_TURN_USER_MAX];
  char realm[WG_TURN_REALM_MAX], nonce[WG_TURN_REALM_MAX];
  bool has_key; /* realm and nonce are known: requests are authenticated */
  uint8_t key[WG_STUN_LONG_TERM_KEY_LEN];
  wg_turn_request request; /* Allocate, Refresh */
  bool told;               /* the event for the present state was taken */
  uint64_t refresh_us;
  wg_stun_txid indication; /* counts up from a random start */
  wg_turn_peer peers[WG_TURN_PEERS];
  uint8_t out[WG_TURN_REQUEST_MAX];
} wg_turn_client;

/* Starts allocating. WARP_INVALID (no server, no user, credentials too long, no random), WARP_IO.
 */
int wg_turn_client_start(wg_turn_client *client, const wg_turn_options *options, uint64_t now_us);
/* True with the next datagram for the server, borrowed until the next call. */
bool wg_turn_client_output(wg_turn_client *client, uint64_t now_us, const uint8_t **bytes,
                           size_t *len);
/* A packet from the socket. WARP_OK: it was the server's and is dealt with. When it carried a
 * permitted peer's datagram, `*data` (borrowing `bytes`), `*data_len` and `*peer` say so, else
 * `*data` is NULL. WARP_NOT_FOUND: not for this machine; WARP_MALFORMED; WARP_BAD_SIGNATURE. */
int wg_turn_client_input(wg_turn_client *client, const uint8_t *bytes, size_t len,
                         const warp_addr *from, uint64_t now_us, warp_addr *peer,
                         const uint8_t **data, size_t *data_len);
/* The next event; false when there is none. */
bool wg_turn_client_event(wg_turn_client *client, wg_turn_event *out);
/* When to ask for output again; UINT64_MAX when ended. */
uint64_t wg_turn_client_deadline(const wg_turn_client *client);

/* Asks for a permission for the peer's IP; one that is there already is WARP_OK. May be called
 * before the allocation is made. WARP_LIMIT, WARP_STATE (ended), WARP_INVALID (family), WARP_IO. */
int wg_turn_client_permit(wg_turn_client *client, const warp_addr *peer, uint64_t now_us);
/* Asks for a channel to the peer's IP and port, which saves 32 bytes a datagram and permits the IP
 * too. Errors as above. */
int wg_turn_client_bind(wg_turn_client *client, const warp_addr *peer, uint64_t now_us);
/* Was the permission of the peer's IP granted, and not lost since? */
bool wg_turn_client_permitted(const wg_turn_client *client, const warp_addr *peer);
/* Wraps a datagram for a permitted peer: ChannelData where a channel is bound (on a stream padded
 * to four bytes, RFC 8656 section 12.5), else a Send indication. Returns the length of what goes to
 * the server, or WARP_STATE (not permitted yet), WARP_TOO_BIG. */
int wg_turn_client_send(wg_turn_client *client, const warp_addr *peer, const void *data, size_t len,
                        uint8_t *out, size_t cap);
/* Asks the server now, by a Refresh, whether the allocation is still there; an ENDED event says
 * that it is not, or that nobody answers. Nothing unless it is allocated. */
void wg_turn_client_check(wg_turn_client *client, uint64_t now_us);
/* Gives the allocation back: a Refresh with lifetime 0. Ends with an ENDED event, at once when
 * there is nothing to give back. Who cannot wait may stop driving the machine after the first
 * output. */
void wg_turn_client_close(wg_turn_client *client, uint64_t now_us);

#endif
