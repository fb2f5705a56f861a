/*
 * The signal router: sealed messages to and from peers through MQTT brokers.
 *
 * A node subscribes to the topic of its key on each of its brokers. Everything that arrives is
 * opened, checked (signature, recipient, expiry, replay, rate) and only then handed up; what fails
 * is counted, never answered.
 */
#ifndef WG_SIGNAL_ROUTER_H
#define WG_SIGNAL_ROUTER_H

#include "env/clock.h"
#include "identity/identity.h"

typedef struct wg_router wg_router;

/* Limits. A sender's window covers reordering over two brokers; senders are forgotten least
 * recently used. */
enum {
  WG_ROUTER_BROKERS = 4,          /* as many as a record names (WG_RECORD_HINTS) */
  WG_REPLAY_SENDERS = 1024,       /* 1024 windows are 64 KiB or so */
  WG_REPLAY_WINDOW = 64,          /* sequence numbers behind the newest that may still come */
  WG_RATE_SENDER_PER_S = 50,      /* messages of one sender a second, burst of the same size */
  WG_RATE_ALL_PER_S = 1000,       /* of all senders: each costs a signature check */
  WG_SIGNAL_LIFETIME_MS = 120000, /* expiry of what we send: a broker outage, not more */
};

/* A checked message. `sender` is the key that signed it; a record in the message is verified and
 * the sender's own. The router may be closed from within. */
typedef void (*wg_router_on_message)(void *arg, const warp_key *sender, const wg_message *message);
/* A broker's subscription is acknowledged, or it went away. `server` is its hint: without
 * credentials. */
typedef void (*wg_router_on_state)(void *arg, const char *server, int status);

typedef struct wg_router_counters {
  uint64_t accepted, malformed, untrusted, bad_signature, expired, replayed, rate_limited;
} wg_router_counters;

typedef struct wg_router_options {
  wg_env *env;
  const wg_log *log;           /* must outlive the router; NULL: the environment's */
  const wg_clock *clock;       /* must outlive the router; NULL: this machine's */
  const wg_identity *identity; /* must outlive the router */
  const char *const
      *brokers; /* NULL-terminated, the first WG_ROUTER_BROKERS are used; may be empty */
  wg_router_on_message on_message;
  wg_router_on_state on_state; /* may be NULL */
  void *arg;
} wg_router_options;

/* WARP_INVALID (a broker's text), WARP_NOMEM, WARP_IO. */
int wg_router_open(const wg_router_options *options, wg_router **out);
/* NULL is allowed. Nothing of it runs afterwards. */
void wg_router_close(wg_router *router);
/* The interfaces have changed: see broker_renew of the environment. */
void wg_router_renew(wg_router *router);
/* Seals a message to the record's key and publishes it on every broker that both records name (the
 * ones that are up; at most two, copies are dropped by the replay window); on our first broker that
 * is up when the peer's record names none. WARP_NO_SERVER when no broker is shared and up. */
int wg_router_send(wg_router *router, const wg_record *peer, const wg_message *message);
/* Is there a broker of ours, up or not, by which the peer can be reached? */
bool wg_router_knows(const wg_router *router, const wg_record *peer);
/* Seals a message without sending it (for a ClientHello). Returns the length or an error. */
int wg_router_seal(wg_router *router, const warp_key *peer, const wg_message *message, uint8_t *out,
                   size_t cap);
/* Checks an envelope that came another way (a ClientHello) by the same rules. WARP_OK with sender
 * and message (borrowing `plain`, WG_ENVELOPE_MAX bytes), or what was wrong. */
int wg_router_check(wg_router *router, const uint8_t *bytes, size_t len, uint8_t *plain,
                    warp_key *sender, wg_message *message);
void wg_router_counters_get(const wg_router *router, wg_router_counters *out);

/* How a record names a broker: "host:port" without credentials. WARP_INVALID, WARP_TOO_BIG (longer
 * than a hint may be). */
int wg_broker_hint(const char *server, char out[WG_HINT_LEN]);
/* The topic of a key: "warp/1/" and 32 hex digits of its hash. */
void wg_topic(const warp_key *key, char out[WG_TOPIC_LEN]);

/* ---- address filter -------------------------------------------------------------------------- */

/* Who we are, to the filter. */
typedef struct wg_contact_self {
  const wg_record *record;
  uint8_t machine[WG_MACHINE_ID_LEN]; /* our machine id, which no record tells */
  bool loopback_only;
} wg_contact_self;

/* May we contact `to` on the word of a peer whose record is `peer`? WARP_OK, or WARP_UNTRUSTED.
 * - Global addresses: yes, but never our own broadcast or unspecified, port 0 or a port below 1024
 * other than 80 and 443.
 * - Loopback: only when the peer's machine tag proves that it knows our machine id, or
 * `loopback_only` is set.
 * - Link-local, private and shared addresses: with a proven machine, those of our own interfaces.
 * Over UDP also an interface of the peer's inside the prefix of one of ours, when the peer's
 * external address equals ours (same NAT), or neither side has a NAT and the networks are the same.
 * Both are the peer's own claims, so this is for tagged probes, which tell nobody whether something
 * is there, and not for a TCP connection, whose refusal would (connect/proof.h: once the peer has
 * answered from there).
 * - `loopback_only`: nothing but loopback.
 * The port rule holds for all of them. Nothing else. */
int wg_may_contact(const wg_contact_self *self, const wg_record *peer, warp_transport transport,
                   const warp_addr *to);

#endif
