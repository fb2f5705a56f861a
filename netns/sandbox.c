/*
 * The sandbox: caller -> process 1 (reaper) -> the lab.
 *
 * Process 1 is made by a bare clone, so that one call brings both namespaces that only a new
 * process can be born into. The other namespaces follow one by one, because then the step that was
 * refused is known and can be explained. The lab is a child of process 1 and not process 1 itself:
 * the kernel drops signals to a process 1 that has no handler for them, and hands it every orphan.
 */
#include "netns/diagnose.h"
#include "netns/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Which stop signal kills the sandbox, for a lab that hangs in its own handler. */
enum { STOPS_BEFORE_KILL = 3 };

typedef struct sandbox {
  int (*lab)(void *arg);
  void *arg;
  bool user_namespace;
  uid_t uid; /* the caller's, as seen outside */
  gid_t gid;
  int report[2];   /* process 1 says which step failed; closed without a word: built */
  int lifeline[2]; /* the caller holds [1] as long as it lives */
  sigset_t caller_mask;
} sandbox;

typedef struct report {
  ns_step step;
  int err;
} report;

/* ---- process 1 ------------------------------------------------------------------------------- */

static int map_user(const sandbox *box) {
  char line[64];
  /* Without giving up setgroups an ordinary user may not write the group map, user_namespaces(7) */
  int result = ns_write_file("/proc/self/setgroups", "deny");
  snprintf(line, sizeof line, "0 %u 1", (unsigned)box->uid);
  if (result == 0)
    result = ns_write_file("/proc/self/uid_map", line);
  snprintf(line, sizeof line, "0 %u 1", (unsigned)box->gid);
  if (result == 0)
    result = ns_write_file("/proc/self/gid_map", line);
  return result;
}

/* Dies with the caller, also if it died before this could be asked for. */
static int tie_to_caller(const sandbox *box) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
    return -errno;
  struct pollfd caller = {.fd = box->lifeline[0]};
  if (poll(&caller, 1, 0) < 0)
    return -errno;
  if (caller.revents & POLLHUP)
    _exit(128 + SIGKILL);
  return 0;
}

static int raise_descriptor_limit(void) {
  struct rlimit outer;
  if (getrlimit(RLIMIT_NOFILE, &outer) < 0)
    return -errno;
  struct rlimit inner = {.rlim_cur = outer.rlim_max, .rlim_max = outer.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &inner) < 0)
    return -errno;
  int first_namespace = ns_own_namespace();
  if (first_namespace < 0)
    return first_namespace;
  ns_remember_sandbox(first_namespace, &outer);
  return 0;
}

static int failed_step(int result) {
  return result < 0 ? -errno : 0;
}

static int do_step(const sandbox *box, ns_step step) {
  switch (step) {
  case NS_STEP_PROCESS:
    return tie_to_caller(box);
  case NS_STEP_USER_MAP:
    return box->user_namespace ? map_user(box) : 0;
  case NS_STEP_MOUNTS:
    return failed_step(unshare(CLONE_NEWNS));
  case NS_STEP_NETWORK:
    return failed_step(unshare(CLONE_NEWNET));
  case NS_STEP_PRIVATE:
    return failed_step(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  case NS_STEP_PROC:
    return failed_step(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
  case NS_STEP_RUN:
    return failed_step(mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"));
  case NS_STEP_LAB:
    break;
  }
  return raise_descriptor_limit();
}

static _Noreturn void lab_main(sandbox *box) {
  close(box->report[1]);
  sigprocmask(SIG_SETMASK, &box->caller_mask, NULL);
  exit(box->lab(box->arg));
}

static int exit_status(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

/* Passes signals on to the lab and reaps all that is handed to process 1, until the lab ends. */
static _Noreturn void reap(pid_t lab, const sigset_t *signals) {
  for (;;) {
    int received = sigwaitinfo(signals, NULL);
    if (received == SIGINT || received == SIGTERM)
      kill(lab, received);
    int status;
    pid_t ended;
    while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
      if (ended == lab)
        _exit(exit_status(status));
  }
}

static _Noreturn void process_one_main(sandbox *box, const sigset_t *signals) {
  close(box->report[0]);
  close(box->lifeline[1]);
  setsid(); /* a terminal's Ctrl-C then comes once, by way of the caller */
  report said = {.step = NS_STEP_PROCESS};
  for (; said.step <= NS_STEP_LAB; said.step++) {
    said.err = -do_step(box, said.step);
    if (said.err)
      break;
  }
  pid_t lab = -1;
  if (said.err == 0) {
    close(box->lifeline[0]);
    lab = fork();
    said = (report){NS_STEP_LAB, errno};
  }
  if (lab == 0)
    lab_main(box);
  if (lab < 0) {
    ssize_t written = write(box->report[1], &said, sizeof said);
    _exit(written == sizeof said ? 1 : 2);
  }
  close(box->report[1]);
  reap(lab, signals);
}

/* ---- the caller ------------------------------------------------------------------------------ */

/* Waits for process 1 and passes stop signals on to it. */
static int supervise(pid_t process_one, const sigset_t *signals) {
  int status, stops = 0;
  while (waitpid(process_one, &status, WNOHANG) != process_one) {
    int received = sigwaitinfo(signals, NULL);
    if (received == SIGINT || received == SIGTERM)
      kill(process_one, ++stops < STOPS_BEFORE_KILL ? received : SIGKILL);
  }
  return exit_status(status);
}

/* Builds the sandbox and sees it to its end. A negative result comes with the step in *failed. */
static int attempt(sandbox *box, const sigset_t *signals, ns_step *failed) {
  *failed = NS_STEP_LAB;
  if (pipe2(box->report, O_CLOEXEC) < 0)
    return -errno;
  if (pipe2(box->lifeline, O_CLOEXEC) < 0) {
    int err = errno;
    close(box->report[0]);
    close(box->report[1]);
    return -err;
  }
  unsigned long flags = CLONE_NEWPID | SIGCHLD | (box->user_namespace ? CLONE_NEWUSER : 0);
  pid_t process_one = (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
  report said = {NS_STEP_PROCESS, errno};
  if (process_one == 0)
    process_one_main(box, signals);
  close(box->report[1]);
  close(box->lifeline[0]);
  bool built = process_one > 0 && read(box->report[0], &said, sizeof said) != sizeof said;
  close(box->report[0]);
  int result = process_one > 0 ? supervise(process_one, signals) : 0;
  close(box->lifeline[1]);
  if (built)
    return result;
  *failed = said.step;
  return -said.err;
}

int ns_sandbox_run(int (*lab)(void *arg), void *arg, ns_error *error) {
  sandbox box = {.lab = lab, .arg = arg, .uid = geteuid(), .gid = getegid()};
  fflush(NULL); /* else what is buffered would be printed twice */

  /* Blocked signals wait for sigwaitinfo; an ignored SIGCHLD would not come. */
  sigset_t signals;
  struct sigaction child_before, child_default = {.sa_handler = SIG_DFL};
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGCHLD);
  sigprocmask(SIG_BLOCK, &signals, &box.caller_mask);
  sigaction(SIGCHLD, &child_default, &child_before);

  ns_step step;
  box.user_namespace = box.uid != 0;
  int result = attempt(&box, &signals, &step);
  if (result == -EPERM && step == NS_STEP_PROCESS && !box.user_namespace) {
    box.user_namespace = true; /* a container's root, without CAP_SYS_ADMIN */
    result = attempt(&box, &signals, &step);
  }
  if (result < 0) {
    ns_facts facts;
    ns_facts_read(&facts);
    ns_explain(&facts, step, -result, error);
  }
  sigaction(SIGCHLD, &child_before, NULL);
  sigprocmask(SIG_SETMASK, &box.caller_mask, NULL);
  return result;
}
