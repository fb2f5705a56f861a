/*
 * How fast bytes and messages go from one process to another, in several ways side by side. Each
 * way is a subject: one function for the process that receives, one for the process that sends. A
 * round runs a subject for a while; the receiver counts, the rounds of all subjects take turns, and
 * the ratio of two of them is taken within the same turn.
 *
 * To add a subject: write its two functions in a file subject_*.c and put a row into the table in
 * main.c.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  BENCH_CHUNK = 65536,  /* bytes that a sender of a stream hands over at once */
  BENCH_RECORD = 16384, /* and one of plain TLS: a full record (RFC 8446 section 5.1) */
  BENCH_MESSAGE = 1100, /* bytes of a message: WARP_MESSAGE_MAX */
  BENCH_ADDRESS_MAX = 2048,
  BENCH_ROUND_S = 30, /* a round that hangs for so long has failed */
};

/* What a receiver saw between the end of the warm-up and the end of the round. */
typedef struct bench_result {
  uint64_t bytes, messages;
  double seconds;
  double receiver_cpu_s, sender_cpu_s;
} bench_result;

enum {
  BENCH_SLOW = 1, /* exit status: a ratio or a rate is below its goal */
  BENCH_USAGE = 2,
  BENCH_BROKEN = 3, /* a round failed, or there is no place for it */
};

/* Where the two sides are. */
typedef struct bench_place {
  const char *name, *about;
  const char *receiver;         /* its IPv4 address */
  const char *interface;        /* of either side; NULL: loopback */
  const char *broker;           /* "host:port" of an MQTT broker, or NULL */
  bool (*enter)(bool receives); /* the process of a side goes there; NULL: it is there */
} bench_place;

#define BENCH_LINK "link" /* the name of that place */
/* Has `run` called in a laboratory with a link, and a broker if its program is named. Its exit
 * status, or BENCH_BROKEN with a line on stderr where there is none. */
typedef int (*bench_visit)(void *arg, const bench_place *place);
int bench_in_link(const char *broker_program, bench_visit run, void *arg);

/* One of the two processes of a round. */
typedef struct bench_side {
  int peer_fd, parent_fd; /* to the other side, and to who counts the results */
  int sender_pid;
  double warm_s, seconds;
  const bench_place *place;
  bool receives;
  double begun_s; /* the receiver's: when the first bytes came; 0: not yet */
  bool counting;
  bench_result at_start, sum;
} bench_side;

/* Ends a process of a round that cannot go on. */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The receiver counts what arrived, as one message. When the round is over it tells the result and
 * the process ends in here. */
void bench_count(bench_side *side, size_t bytes);
/* The receiver tells the sender where it is; the sender waits for that and gets its length. */
void bench_tell(bench_side *side, const void *address, size_t len);
size_t bench_hear(bench_side *side, void *address, size_t cap);
/* Bytes to send: the same for all, and nothing that could be compressed. */
const uint8_t *bench_payload(void);

/* A plain socket of the place, non-blocking, the receiver's bound to a port that it tells the
 * sender. SOCK_STREAM: connected at both ends. SOCK_DGRAM: the receiver's is connected when the
 * first datagram has come. */
int bench_socket(bench_side *side, int type, bool receives);
/* Waits until a socket is readable or writable (POLLIN, POLLOUT). */
void bench_wait(int fd, short events);

/* Never return. */
typedef void (*bench_run)(bench_side *side);

typedef struct bench_subject {
  const char *name;
  const char *about;
  bench_run receive, send;
  const char *baseline; /* the subject that it is compared with; NULL: none */
  double goal;          /* the ratio that it has to reach; 0: it is only told */
  double goal_rate;     /* the MB/s that it has to reach; 0: they are only told */
  bool messages;        /* counted by messages instead of bytes */
  bool needs_broker;
} bench_subject;

void bench_socket_receive(bench_side *side), bench_socket_send(bench_side *side);
void bench_datagram_receive(bench_side *side), bench_datagram_send(bench_side *side);
void bench_pipe_receive(bench_side *side), bench_pipe_send(bench_side *side);
void bench_udp_pipe_receive(bench_side *side), bench_udp_pipe_send(bench_side *side);
void bench_tls_receive(bench_side *side), bench_tls_send(bench_side *side);
void bench_dtls_receive(bench_side *side), bench_dtls_send(bench_side *side);
void bench_secure_receive(bench_side *side), bench_secure_send(bench_side *side);
void bench_secure_messages_receive(bench_side *side);
void bench_secure_messages_send(bench_side *side);
void bench_link_receive(bench_side *side), bench_link_send(bench_side *side);
void bench_udp_link_receive(bench_side *side), bench_udp_link_send(bench_side *side);

/* Runs one round of a subject in two processes. False, with a line on stderr, when it failed. */
bool bench_round(const bench_subject *subject, const bench_side *settings, bench_result *out);

#endif
