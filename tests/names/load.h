/*
 * Many clients of a name server in one thread. Each lane is a client with a source address of its
 * own (127.1.0.1 and on, so that quotas and rates see many), a socket, and one request at a time,
 * sent again until it is answered.
 */
#ifndef NAMES_LOAD_H
#define NAMES_LOAD_H

#include "identity/identity.h"
#include "nickname/names.h"
#include "wire/names.h"

#include <netinet/in.h>

enum {
  LOAD_LANES_MAX = 64,      /* so many long requests fit into a usual socket buffer at once */
  LOAD_SEQUENCES = 2,       /* records there are, with sequence 1 and 2 */
  LOAD_RESEND_MS = 500,     /* loopback loses only what overflows a socket's buffer */
  LOAD_SILENCE_MS = 100000, /* then the server hangs: one that is gone is refused at once, and one
                               whose disk is busy may take long to synchronise it */
};

/* One request. */
typedef struct load_job {
  wg_name_op op;
  char name[WARP_NAME_MAX + 1];
  uint64_t sequence; /* REGISTER: of which record; DELETE: its own */
  size_t index;      /* the caller's */
} load_job;

typedef struct load_record {
  size_t len;
  uint8_t bytes[WARP_RECORD_MAX];
} load_record;

typedef struct load {
  struct sockaddr_in server;
  size_t lanes;
  /* What a lane is to do next; false: nothing any more. */
  bool (*next)(void *arg, size_t lane, load_job *out);
  /* The server's answer, neither COOKIE nor BUSY, and how long it took. */
  void (*done)(void *arg, size_t lane, const load_job *job, const wg_name_reply *reply, double ms);
  void *arg;
  wg_identity *identity;                   /* by load_open */
  load_record records[LOAD_SEQUENCES + 1]; /* by their sequence */
} load;

/* Makes the key and its records. Ends the program when it cannot. */
void load_open(load *self);
void load_close(load *self);
/* Runs until no lane has more to do: true. False when the server is gone. */
bool load_run(load *self);
double load_now_ms(void);

#endif
