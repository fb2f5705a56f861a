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
/* Room for a suffix: its dot, up to six characters and the NUL. */
enum { WG_NAME_SUFFIX_LEN = 8 };
#define WG_NAME_DEFAULT_SUFFIX ".p2p"

/* A set of name servers, by which names are told apart: "alice" of one set is not "alice" of
 * another. Each set has a suffix of its own, a dot and six base32 digits of a hash over its
 * servers; the names of the default set end with ".p2p". See docs/protocol.md. */
typedef struct wg_name_set {
  char suffix[WG_NAME_SUFFIX_LEN]; /* what full names end with */
  char own[WG_NAME_SUFFIX_LEN];    /* understood as well */
} wg_name_set;

/* What a REGISTER or DELETE is signed for; see docs/protocol.md. */
#define WG_NAME_CONTEXT "warpgate name v1"

/* `record`, `len`: the verified record on WARP_OK of a look-up, NULL otherwise. */
typedef void (*wg_names_cb)(void *arg, int status, const uint8_t *record, size_t len);

typedef struct wg_names_options {
  wg_env *env;
  const wg_clock *clock;       /* must outlive the client; NULL: this machine's */
  const wg_identity *identity; /* must outlive the client */
  const char *const *servers;  /* "host:port", NULL-terminated; may be empty */
  const char *const *defaults; /* the default set, likewise; NULL or empty: `servers` are */
  uint32_t timeout_ms;         /* of one request, over all retries */
  bool loopback_only;          /* servers elsewhere are not asked */
} wg_names_options;

/* WARP_INVALID (a server's text), WARP_NOMEM, WARP_IO (no digest). */
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
/* Looks up: of the records with a good signature that the servers return, the newest of the key
 * that most of them name. WARP_NOT_FOUND when a server says so and none has it; what was wrong with
 * the record when no server had a good one; WARP_UNTRUSTED also when they contradict each other,
 * and as many say one key as the other. */
int wg_names_lookup(wg_names *names, const char *name, wg_names_cb cb, void *arg);
/* Takes the name back, on every server. WARP_OK when at least one deleted it, WARP_NOT_FOUND,
 * WARP_NAME_TAKEN (it is another key's). */
int wg_names_delete(wg_names *names, const char *name, wg_names_cb cb, void *arg);
/* The set of the client's servers. */
const wg_name_set *wg_names_set(const wg_names *names);

/* Takes the options' lists: the order, the case of hosts and repetitions do not matter, and of each
 * list the first WG_NAME_SERVERS count. WARP_INVALID (a server's text), WARP_IO (no digest). */
int wg_name_set_init(wg_name_set *set, const char *const *servers, const char *const *defaults);
/* Cuts a name, in lower case, into what stands before the suffix, 1 to WARP_NAME_MAX of a-z, 0-9
 * and inner hyphens, and the suffix of any set, "" when it has none. WARP_INVALID. */
int wg_name_split(const char *name, char plain[WARP_NAME_MAX + 1], char suffix[WG_NAME_SUFFIX_LEN]);
/* The part before the suffix of a name of this set. WARP_INVALID, also with another set's suffix.
 */
int wg_name_normalize(const char *name, const wg_name_set *set, char out[WARP_NAME_MAX + 1]);
/* The node's derived name: "n-" and 20 base32 digits of the key's hash. */
void wg_name_derive(const warp_key *key, char out[WARP_NAME_MAX + 1]);
/* False when the (valid) name has the form of a derived one and is not this key's: such names need
 * no trust in a server. */
bool wg_name_may_belong(const char *name, const warp_key *key);

#endif
