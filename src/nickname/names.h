/* The name-server client: registers and looks up signed records under names. */
#ifndef WG_NICKNAME_NAMES_H
#define WG_NICKNAME_NAMES_H

#include "env/clock.h"
#include "identity/identity.h"

typedef struct wg_names wg_names;
enum {
  WG_NAME_SERVERS = 4,       /* all are asked at once; more add nothing but packets */
  WG_NAME_REQUESTS = 64,     /* under way at once; each holds sockets */
  WG_NAME_LIFETIME_S = 7200, /* asked for; renewed at half of what is granted */
};
#define WG_NAME_SUFFIX ".p2p"
/* What a REGISTER or DELETE is signed for; see docs/protocol.md. */
#define WG_NAME_CONTEXT "warpgate name v1"

/* `record`, `len`: the verified record on WARP_OK of a look-up, NULL otherwise. */
typedef void (*wg_names_cb)(void *arg, int status, const uint8_t *record, size_t len);

typedef struct wg_names_options {
  wg_env *env;
  const wg_clock *clock;       /* must outlive the client; NULL: this machine's */
  const wg_identity *identity; /* must outlive the client */
  const char *const *servers;  /* "host:port", NULL-terminated; may be empty */
  uint32_t timeout_ms;         /* of one request, over all retries */
} wg_names_options;

/* WARP_INVALID (a server's text), WARP_NOMEM. */
int wg_names_open(const wg_names_options *options, wg_names **out);
/* Requests under way complete with WARP_CANCELED first; their callbacks may not start new ones.
 * What is registered stays so until its lifetime is over. NULL is allowed. */
void wg_names_close(wg_names *names);
/*
 * The three requests. They return WARP_INVALID (name, or a record that is not ours), WARP_NOMEM,
 * WARP_LIMIT (WG_NAME_REQUESTS), WARP_STATE (closing), or WARP_OK and the callback (may be NULL)
 * runs once, from the loop. `timeout_ms` bounds each: the callback's status is WARP_TIMEOUT when no
 * server answered in time, WARP_NO_SERVER when none is configured or their names could not be
 * looked up, WARP_LIMIT when all that answered were busy.
 */
/* Registers `record` (our signed record) under `name` with every server, and keeps it registered:
 * renewed at half of its lifetime, tried again while no server answers. Another record for the same
 * name replaces it from then on. WARP_OK as soon as one server took it, else also WARP_IO (the
 * server failed). Refused, and then not kept: WARP_NAME_TAKEN, WARP_QUOTA, WARP_REPLAY (a server
 * knows a newer record of ours), WARP_EXPIRED, WARP_BAD_SIGNATURE. */
int wg_names_register(wg_names *names, const char *name, const uint8_t *record, size_t len,
                      wg_names_cb cb, void *arg);
/* A new record of ours: takes the place of the old one in every name that is kept, and the servers
 * hear of it at once. WARP_INVALID (not ours), WARP_STATE (closing). */
int wg_names_update(wg_names *names, const uint8_t *record, size_t len);
/* Looks up: the first record with a good signature that any server returns. WARP_NOT_FOUND when a
 * server says so and none has it; what was wrong with the record when no server had a good one. */
int wg_names_lookup(wg_names *names, const char *name, wg_names_cb cb, void *arg);
/* Takes the name back, on every server. WARP_OK when at least one deleted it, WARP_NOT_FOUND,
 * WARP_NAME_TAKEN (it is another key's). */
int wg_names_delete(wg_names *names, const char *name, wg_names_cb cb, void *arg);
/* Lower-cases, takes the suffix off, checks: 1 to WARP_NAME_MAX of a-z, 0-9 and inner hyphens.
 * WARP_INVALID. */
int wg_name_normalize(const char *name, char out[WARP_NAME_MAX + 1]);
/* The node's derived name: "n-" and 20 base32 digits of the key's hash. */
void wg_name_derive(const warp_key *key, char out[WARP_NAME_MAX + 1]);
/* False when the (valid) name has the form of a derived one and is not this key's: such names need
 * no trust in a server. */
bool wg_name_may_belong(const char *name, const warp_key *key);

#endif
