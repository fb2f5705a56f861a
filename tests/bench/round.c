/* One round: two processes, and what the receiver says. */
#include "bench.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each side stays on a processor of its own: where the system puts two processes that wake each
 * other is chance, and worth a factor of two. */
static void keep_to_processor(int side) {
  cpu_set_t all, one;
  if (sched_getaffinity(0, sizeof all, &all) != 0 || CPU_COUNT(&all) < 2) {
    return;
  }
  CPU_ZERO(&one);
  int seen = 0;
  for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &all) && seen++ == side) {
      CPU_SET(cpu, &one);
    }
  }
  sched_setaffinity(0, sizeof one, &one);
}

typedef struct ends {
  int talk[2], tell[2]; /* sender and receiver; parent and receiver */
} ends;

/* An end that a process keeps although it is not its own would hide that the other side is gone. */
static void become(const bench_subject *subject, bench_side *side, const ends *e, bool receives) {
  close(e->tell[0]);
  close(e->talk[receives ? 0 : 1]);
  if (!receives) {
    close(e->tell[1]);
  }
  side->peer_fd = e->talk[receives ? 1 : 0];
  side->parent_fd = e->tell[1];
  side->receives = receives;
  keep_to_processor(receives ? 1 : 0);
  if (side->place->enter != NULL && !side->place->enter(receives)) {
    bench_die("cannot enter the host");
  }
  (receives ? subject->receive : subject->send)(side);
}

/* -1: no more processes. */
static pid_t start(const bench_subject *subject, const bench_side *settings, const ends *e,
                   bool receives) {
  pid_t parent = getpid(), pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) {
      bench_side side = *settings;
      become(subject, &side, e, receives);
    }
    _exit(EXIT_FAILURE);
  }
  return pid;
}

static void end(pid_t pid) {
  if (pid > 0) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
  }
}

/* The result, or false when the receiver ended without one or nothing came in time. */
static bool await(int fd, bench_result *out) {
  struct pollfd one = {.fd = fd, .events = POLLIN};
  return poll(&one, 1, BENCH_ROUND_S * 1000) == 1 && read(fd, out, sizeof *out) == sizeof *out;
}

bool bench_round(const bench_subject *subject, const bench_side *settings, bench_result *out) {
  ends e;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, e.talk) != 0 ||
      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, e.tell) != 0) {
    perror("pipe_bench");
    return false;
  }
  bench_side side = *settings;
  side.sender_pid = start(subject, &side, &e, false);
  pid_t receiver = side.sender_pid > 0 ? start(subject, &side, &e, true) : -1;
  close(e.talk[0]);
  close(e.talk[1]);
  close(e.tell[1]);
  bool good = receiver > 0 && await(e.tell[0], out);
  close(e.tell[0]);
  end(side.sender_pid);
  end(receiver);
  if (!good) {
    fprintf(stderr, "pipe_bench: no result of %s\n", subject->name);
  }
  return good;
}
