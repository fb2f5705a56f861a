/* Keeps a library that writes to sockets without MSG_NOSIGNAL from ending the program. */
#ifndef WG_DRIVER_UV_SIGPIPE_H
#define WG_DRIVER_UV_SIGPIPE_H

#include <signal.h>
#include <stdbool.h>

/* How the thread stood before. */
typedef struct wg_sigpipe {
  sigset_t mask;
  bool pending;
} wg_sigpipe;

/* Blocks SIGPIPE in this thread; the program's own handling of it stays as it is. */
void wg_sigpipe_hold(wg_sigpipe *held);
/* Drops a SIGPIPE that came meanwhile and restores the thread's mask. Leaves errno alone. */
void wg_sigpipe_let_go(const wg_sigpipe *held);

#endif
