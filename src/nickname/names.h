/* The name-server client: registers and looks up signed records under names. */
#ifndef WG_NICKNAME_NAMES_H
#define WG_NICKNAME_NAMES_H

#include "identity/identity.h"

typedef struct wg_names wg_names;
enum {
  WG_NAME_SERVERS = 4,
  WG_NAME_REQUESTS = 64,     /* under way at once */
  WG_NAME_LIFETIME_S = 7200, /* asked for; renewed at half of what is granted */
};
#define WG_NAME_SUFFIX ".p2p"

/* `record`, `len`: the verified record on WARP_OK of a look-up, NULL otherwise. */
typedef void (*wg_names_cb)(void *arg, int status, const uint8_t *record, size_t len);

typedef struct wg_names_options {
  wg_env *env;
  const wg_identity *identity; /* must outlive the client */
  const char *const *servers;  /* "host:port", NULL-terminated; may be empty */
  uint32_t timeout_ms;         /* of one request, over all retries */
} wg_names_options;

int wg_names_open(const wg_names_options *options, wg_names **out);
/* Requests under way complete with WARP_CANCELED first. */
void wg_names_close(wg_names *names);
/* Registers `record` (our signed record) under `name` with every server; WARP_OK when at least one
 * took it. Ends with WARP_NAME_TAKEN, WARP_QUOTA, WARP_TIMEOUT (none answered), WARP_NO_SERVER
 * (none configured). */
int wg_names_register(wg_names *names, const char *name, const uint8_t *record, size_t len,
                      wg_names_cb cb, void *arg);
/* Looks up: the newest record with a good signature that any server returns; waits for the first
 * good answer, not for all. WARP_NOT_FOUND when a server says so and none has it. */
int wg_names_lookup(wg_names *names, const char *name, wg_names_cb cb, void *arg);
/* The node's record changed: every name that is kept registered is registered anew with it, now and
 * at renewals. */
void wg_names_update(wg_names *names, const uint8_t *record, size_t len);
int wg_names_delete(wg_names *names, const char *name, wg_names_cb cb, void *arg);
/* Lower-cases, takes the suffix off, checks: 1 to WARP_NAME_MAX of a-z, 0-9 and inner hyphens.
 * WARP_INVALID. */
int wg_name_normalize(const char *name, char out[WARP_NAME_MAX + 1]);
/* The node's derived name: "n-" and 20 base32 digits of the key's hash. */
void wg_name_derive(const warp_key *key, char out[WARP_NAME_MAX + 1]);

#endif
