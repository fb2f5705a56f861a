/*
 * What the files of this room share. Not for other rooms.
 *
 * A job is one request of the caller; it asks every server at once, by one exchange each. What is
 * registered is kept: renewed at half of its lifetime until it is deleted or the client closes.
 */
#ifndef WG_NICKNAME_INTERNAL_H
#define WG_NICKNAME_INTERNAL_H

#include "base/addr.h"
#include "base/list.h"
#include "nickname/names.h"
#include "wire/names.h"

enum {
  WG_NAME_RTO_MS = 250,     /* first retransmission, then doubling */
  WG_NAME_COOKIE_TRIES = 3, /* a server that goes on asking for cookies is broken */
  /* Renewal after no server answered: soon, then doubling up to half of WG_NAME_LIFETIME_S. */
  WG_NAME_RETRY_MS = 15000,
  /* After the first good record of a look-up the other servers have this long to contradict it: one
   * retransmission and a long round trip. Who misses it is not waited for next time. */
  WG_NAME_GRACE_MS = 500,
};

typedef struct wg_name_job wg_name_job;

typedef struct wg_name_server {
  wg_server_name name;
  warp_addr addrs[WG_RESOLVE_MAX];
  size_t addr_count;
  bool stale;  /* a request was not answered: look the addresses up again */
  bool silent; /* it missed its time: nobody waits for it until it answers again */
  size_t good; /* the address that answered last */
  bool has_cookie;
  uint8_t cookie[WG_NAME_COOKIE_LEN];
} wg_name_server;

struct wg_names {
  wg_env *env;
  const wg_clock *clock;
  const wg_identity *identity;
  wg_name_set set;
  uint32_t timeout_ms;
  size_t server_count;
  wg_name_server servers[WG_NAME_SERVERS];
  wg_udp *udp4, *udp6; /* opened with the first request of the family */
  wg_list jobs;
  size_t job_count;
  wg_list kept;
  bool closing;
};

/* ---- exchanges ------------------------------------------------------------------------------- */

/* UDP is asked first and goes on being asked: a network that lets only one of the two through, or
 * loses much, is found out by the other. */
typedef enum wg_exchange_state {
  WG_EXCHANGE_IDLE,
  WG_EXCHANGE_RESOLVING, /* the server's name is being looked up */
  WG_EXCHANGE_UDP,       /* asked over UDP */
  WG_EXCHANGE_BOTH,      /* asked over UDP and TCP */
  WG_EXCHANGE_DONE,      /* `status` is what came of it */
} wg_exchange_state;

typedef struct wg_exchange {
  wg_name_job *job;
  wg_name_server *server;
  wg_exchange_state state;
  int status;
  uint32_t lifetime_s; /* REGISTER: granted */
  warp_key key;        /* LOOKUP: of the record that was found */
  uint64_t sequence;
  uint8_t record[WARP_RECORD_MAX];
  size_t record_len;
  wg_resolve *resolve;
  uint8_t nonce[WG_NAME_NONCE_LEN];
  uint8_t request[WG_NAME_FRAME_LEN + WG_NAME_REQUEST_MAX]; /* framed, for TCP */
  size_t request_len;                                       /* without the frame */
  unsigned cookie_tries;
  wg_timer resend, fallback;
  uint32_t rto_ms;
  size_t addr; /* the address that is asked over UDP next */
  wg_tcp *tcp;
  size_t tcp_tries;
  uint8_t inbox[WG_NAME_FRAME_LEN + WG_NAME_REPLY_MAX];
  size_t inbox_len;
} wg_exchange;

/* Sets an exchange out; it ends by wg_job_progress, or by wg_exchange_stop. */
void wg_exchange_start(wg_exchange *exchange);
/* Ends it with `status`, quietly. Harmless when it is done. */
void wg_exchange_stop(wg_exchange *exchange, int status);
/* A reply that came over UDP: true when it is this exchange's. Everything may be freed then. */
bool wg_exchange_udp_reply(wg_exchange *exchange, const warp_addr *from,
                           const wg_name_reply *reply);

/* ---- jobs ------------------------------------------------------------------------------------ */

struct wg_name_job {
  wg_list link;
  wg_names *names;
  uint8_t op; /* wg_name_op */
  char name[WARP_NAME_MAX + 1];
  uint8_t record[WARP_RECORD_MAX]; /* REGISTER: to store */
  size_t record_len;
  uint64_t sequence; /* DELETE */
  wg_names_cb cb;    /* NULL once it has run, or for renewals */
  void *arg;
  wg_timer begin, deadline, grace;
  bool in_grace, grace_over;
  wg_exchange exchanges[WG_NAME_SERVERS];
  size_t exchange_count;
};

/* Starts a request with a name that is valid. WARP_LIMIT, WARP_NOMEM, WARP_STATE (closing). */
int wg_job_start(wg_names *names, uint8_t op, const char *name, const uint8_t *record, size_t len,
                 uint64_t sequence, wg_names_cb cb, void *arg);
/* An exchange is done: answers the caller and frees the job when its time has come. The job and the
 * client may be gone afterwards. */
void wg_job_progress(wg_name_job *job);
/* Ends a job with WARP_CANCELED. */
void wg_job_cancel(wg_name_job *job);

/* ---- kept registrations ---------------------------------------------------------------------- */

/* Keeps `name` registered with this record from now on. WARP_NOMEM. */
int wg_keep_set(wg_names *names, const char *name, const uint8_t *record, size_t len);
/* Registers every kept name anew, with this record. */
void wg_keep_update(wg_names *names, const uint8_t *record, size_t len);
void wg_keep_drop(wg_names *names, const char *name);
void wg_keep_drop_all(wg_names *names);
/* The sequence of the kept record. False when the name is not kept. */
bool wg_keep_sequence(wg_names *names, const char *name, uint64_t *out);
/* A REGISTER ended: plans the renewal, or forgets the name when it was refused. `lifetime_s`: the
 * shortest that was granted; `silent`: a server could not be heard. */
void wg_keep_result(wg_names *names, const char *name, int status, uint32_t lifetime_s,
                    bool silent);

#endif
