/*
 * What `natsim lab` and `natsim lab exec` say to each other over an abstract stream socket.
 *
 * The asker sends a head, its three standard descriptors along with it (SCM_RIGHTS), and the body:
 * strings that end with NUL: the host, the folder, the arguments, the environment. Then every byte
 * it sends is a signal for the program. The laboratory sends one answer, when all is over.
 */
#ifndef NATSIM_WIRE_H
#define NATSIM_WIRE_H

#include "natsim/fail.h"

#include <stdint.h>

enum {
  SIM_WIRE_MAGIC = 0x4c41421,      /* and the version: both are of one build, usually */
  SIM_WIRE_BODY = 4 * 1024 * 1024, /* more than execve takes */
  SIM_WIRE_DESCRIPTORS = 3,
  SIM_LAB_NAME = 32 /* of a laboratory */
};

typedef struct sim_wire_head {
  uint32_t magic, body_len;
  uint32_t arguments, variables; /* how many */
  uint32_t terminal;             /* stdin is a terminal for the program alone */
} sim_wire_head;

/* What is asked for. All strings are inside of `body`, which is owned. */
typedef struct sim_wire_request {
  sim_wire_head head;
  char *body;
  const char *host, *folder;
  char **argv, **envp; /* NULL-terminated, owned */
} sim_wire_request;

enum sim_wire_end {
  SIM_ENDED,  /* by itself: `value` is its exit status */
  SIM_KILLED, /* by the signal `value` */
  SIM_REFUSED /* it never ran: exit with `value`, saying `text` */
};

typedef struct sim_wire_answer {
  uint32_t end;
  int32_t value;
  char text[512];
} sim_wire_answer;

/* Puts a request's body together: *body is allocated and head filled, but for `terminal`. 0, or
 * -E2BIG or -ENOMEM. */
int sim_wire_pack(const char *host, const char *folder, char *const argv[], char *const envp[],
                  sim_wire_head *head, char **body);
/* Reads a body of head->body_len bytes, which it takes. 0, or -EBADMSG, -ENOMEM; then nothing is
 * left to free. */
int sim_wire_unpack(const sim_wire_head *head, char *body, sim_wire_request *out);
void sim_wire_free(sim_wire_request *request);

/* Whether it can be the name of a laboratory: letters, digits, - and _. */
bool sim_lab_name_ok(const char *name);

/* A listening socket for the laboratory `name` of this user, in the caller's network namespace: so
 * before the sandbox. -EADDRINUSE when there is one of that name. */
int sim_lab_listen(const char *name, ns_error *error);
/* A connection to it, when it is this user's. A negative errno with the line. */
int sim_lab_connect(const char *name, ns_error *error);
/* Whether who is at the other end is this user. */
bool sim_lab_is_own(int fd);

/* Sends and receives all of `len` bytes, with up to SIM_WIRE_DESCRIPTORS descriptors along with the
 * first (`fds` may be NULL). Received ones are closed on exec; those that did not come are -1.
 * False when the other end is gone or late. */
bool sim_wire_send(int fd, const void *bytes, size_t len, const int *fds);
bool sim_wire_receive(int fd, void *bytes, size_t len, int *fds);

#endif
