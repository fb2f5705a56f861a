/*
 * Programs inside a host. Everything that may fail or take memory is done before fork, because a
 * child of a process with threads may only make system calls until it becomes the program.
 */
#include "netns/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIXED_VARIABLES = 3 };

static const char default_path[] = "/usr/local/bin:/usr/bin:/bin";
static const char server_folders[] = ":/usr/sbin:/sbin"; /* not on an ordinary user's PATH */

/* All that the child needs. */
typedef struct launch {
  const ns_spawn_options *options;
  char path_variable[4096];
  char file[4096]; /* what argv[0] was found to be */
  const char **environment;
  int null_fd, log_fd;       /* log_fd: a copy, or -1 */
  int in[2], out[2], err[2]; /* pipes, or -1 */
  int failure[2];            /* closed by exec, or says why there was none */
  pid_t parent;
} launch;

typedef struct failure {
  int err;
  char step[28];
} failure;

/* ---- before the fork ------------------------------------------------------------------------- */

static bool is_program(const char *file) {
  struct stat info;
  return stat(file, &info) == 0 && S_ISREG(info.st_mode) && access(file, X_OK) == 0;
}

/* Looks argv[0] up; one with a slash is taken as it is. */
static int find_program(launch *job, ns_error *error) {
  const char *name = job->options->argv[0];
  if (strchr(name, '/')) {
    if ((size_t)snprintf(job->file, sizeof job->file, "%s", name) < sizeof job->file)
      return 0;
    return ns_fail(error, ENAMETOOLONG, "%.64s...: the path is too long", name);
  }
  for (const char *at = job->path_variable + strlen("PATH="); *at;) {
    size_t len = strcspn(at, ":");
    int needed = snprintf(job->file, sizeof job->file, "%.*s/%s", (int)len, at, name);
    if (len && (size_t)needed < sizeof job->file && is_program(job->file))
      return 0;
    at += len + (at[len] == ':');
  }
  return ns_fail(error, ENOENT, "%s: program not found in %s", name, job->path_variable);
}

static bool is_given(const char *const *given, const char *variable) {
  size_t len = strcspn(variable, "=") + 1;
  for (; given && *given; given++)
    if (strncmp(*given, variable, len) == 0)
      return true;
  return false;
}

static int make_environment(launch *job, ns_error *error) {
  const char *const *given = job->options->envp;
  const char *const fixed[FIXED_VARIABLES] = {job->path_variable, "HOME=/run", "LANG=C"};
  size_t count = 0, used = 0;
  while (given && given[count])
    count++;
  job->environment = calloc(count + FIXED_VARIABLES + 1, sizeof *job->environment);
  if (!job->environment)
    return ns_fail(error, ENOMEM, "no memory for an environment");
  for (size_t i = 0; i < FIXED_VARIABLES; i++)
    if (!is_given(given, fixed[i]))
      job->environment[used++] = fixed[i];
  for (size_t i = 0; i < count; i++)
    job->environment[used++] = given[i];
  return 0;
}

static int make_path(launch *job, ns_error *error) {
  const char *path = getenv("PATH");
  int needed = snprintf(job->path_variable, sizeof job->path_variable, "PATH=%s%s",
                        path && *path ? path : default_path, server_folders);
  if ((size_t)needed >= sizeof job->path_variable)
    return ns_fail(error, ENAMETOOLONG, "PATH is longer than %zu bytes", sizeof job->path_variable);
  return 0;
}

static int high_pipe(int ends[2]) {
  int low[2];
  if (pipe2(low, O_CLOEXEC) < 0)
    return -errno;
  ends[0] = ns_fd_high(low[0]);
  ends[1] = ns_fd_high(low[1]);
  return ends[0] < 0 ? ends[0] : ends[1] < 0 ? ends[1] : 0;
}

/* All descriptors are above the standard ones, so that no dup2 in the child can hit another. */
static int open_descriptors(launch *job, ns_error *error) {
  const ns_spawn_options *options = job->options;
  int result = job->null_fd = ns_fd_high(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (result >= 0 && options->log_fd >= 0)
    result = job->log_fd = ns_fd_high(dup(options->log_fd));
  if (result >= 0)
    result = high_pipe(job->failure);
  if (result >= 0 && options->pipe_stdin)
    result = high_pipe(job->in);
  if (result >= 0 && options->pipe_stdout)
    result = high_pipe(job->out);
  if (result >= 0 && options->pipe_stderr)
    result = high_pipe(job->err);
  if (result < 0)
    return ns_fail(error, -result, "%s: cannot open its input and output: %s", options->argv[0],
                   strerror(-result));
  return 0;
}

static void clean_up(launch *job) {
  int *const all[] = {&job->null_fd, &job->log_fd, &job->failure[0], &job->failure[1],
                      &job->in[0],   &job->in[1],  &job->out[0],     &job->out[1],
                      &job->err[0],  &job->err[1]};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    ns_fd_close(all[i], -1);
  free(job->environment);
}

/* ---- in the child: system calls only --------------------------------------------------------- */

static _Noreturn void give_up(const launch *job, const char *step, size_t len) {
  failure said = {.err = errno};
  memcpy(said.step, step, len < sizeof said.step ? len : sizeof said.step - 1);
  ssize_t written = write(job->failure[1], &said, sizeof said);
  _exit(written == sizeof said ? 126 : 127);
}

#define REQUIRE(job, condition, step)                                                              \
  do {                                                                                             \
    if (!(condition))                                                                              \
      give_up(job, step, sizeof(step));                                                            \
  } while (0)

/* Ignored signals stay ignored over exec, handled ones do not; the mask stays too. */
static void reset_signals(void) {
  struct sigaction usual = {.sa_handler = SIG_DFL};
  sigset_t none;
  for (int number = 1; number < NSIG; number++)
    sigaction(number, &usual, NULL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Where a program begins is no reason not to run it. */
static bool go_to(const char *folder) {
  return !folder || chdir(folder) == 0 || chdir("/") == 0;
}

static _Noreturn void become_program(const launch *job) {
  const ns_spawn_options *options = job->options;
  const struct rlimit *descriptors = ns_outer_descriptors();
  int log = job->log_fd >= 0 ? job->log_fd : job->null_fd;
  setsid();
  REQUIRE(job, prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "tying it to its parent");
  if (getppid() != job->parent)
    _exit(128 + SIGKILL); /* the parent died before this could be asked for */
  REQUIRE(job, !options->host || ns_enter(options->host) == 0, "entering the host");
  const int usual[] = {job->in[0] >= 0 ? job->in[0] : job->null_fd,
                       job->out[1] >= 0 ? job->out[1] : log, job->err[1] >= 0 ? job->err[1] : log};
  const int *standard = options->given ? options->given : usual;
  REQUIRE(job, dup2(standard[0], 0) == 0, "its input");
  REQUIRE(job, dup2(standard[1], 1) == 1, "its output");
  REQUIRE(job, dup2(standard[2], 2) == 2, "its error output");
  REQUIRE(job, !options->terminal || ioctl(0, TIOCSCTTY, 0) == 0, "its terminal");
  REQUIRE(job, go_to(options->folder), "its folder");
  REQUIRE(job, syscall(SYS_close_range, 3U, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */) == 0,
          "closing descriptors");
  REQUIRE(job, !descriptors || setrlimit(RLIMIT_NOFILE, descriptors) == 0, "its limits");
  reset_signals();
  execve(job->file, (char *const *)options->argv, (char *const *)job->environment);
  give_up(job, "running it", sizeof "running it");
}

/* ---- the parent ------------------------------------------------------------------------------ */

/* Forks with all signals blocked: a handler of the caller must not run in the child. */
static pid_t fork_quietly(launch *job) {
  sigset_t all, before;
  sigfillset(&all);
  job->parent = getpid();
  pthread_sigmask(SIG_BLOCK, &all, &before);
  pid_t pid = fork();
  if (pid == 0)
    become_program(job);
  int err = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = err;
  return pid;
}

static int start(launch *job, pid_t *pid, ns_error *error) {
  const char *name = job->options->argv[0];
  *pid = fork_quietly(job);
  if (*pid < 0)
    return ns_fail(error, errno, "%s: cannot fork: %s", name, strerror(errno));
  ns_fd_close(&job->failure[1], -1);
  failure said;
  ssize_t got;
  do
    got = read(job->failure[0], &said, sizeof said);
  while (got < 0 && errno == EINTR);
  if (got != sizeof said)
    return 0;
  while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
    continue;
  return ns_fail(error, said.err, "%s: %s failed: %s", name, said.step, strerror(said.err));
}

static int take(int *fd) {
  int taken = *fd;
  *fd = -1;
  return taken;
}

int ns_spawn(ns_process *process, const ns_spawn_options *options, ns_error *error) {
  launch job = {.options = options,
                .null_fd = -1,
                .log_fd = -1,
                .in = {-1, -1},
                .out = {-1, -1},
                .err = {-1, -1},
                .failure = {-1, -1}};
  *process = (ns_process){.pid = 0, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
  int result = make_path(&job, error);
  if (result == 0)
    result = find_program(&job, error);
  if (result == 0)
    result = make_environment(&job, error);
  if (result == 0)
    result = open_descriptors(&job, error);
  pid_t pid = 0;
  if (result == 0)
    result = start(&job, &pid, error);
  if (result == 0)
    *process = (ns_process){.pid = pid,
                            .stdin_fd = take(&job.in[1]),
                            .stdout_fd = take(&job.out[0]),
                            .stderr_fd = take(&job.err[0])};
  clean_up(&job);
  return result;
}

/* ---- its end --------------------------------------------------------------------------------- */

bool ns_ended(const ns_process *process) {
  siginfo_t info = {0};
  return process->pid > 0 &&
         waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == process->pid;
}

/* Waits until it ended, without reaping it, so that its number cannot belong to another yet. */
static void wait_for_end(const ns_process *process, unsigned grace_ms) {
  struct pollfd ended = {.fd = (int)syscall(SYS_pidfd_open, process->pid, 0), .events = POLLIN};
  if (ended.fd < 0)
    return;
  uint64_t deadline_ms = ns_now_ms() + grace_ms, now_ms;
  while ((now_ms = ns_now_ms()) < deadline_ms)
    if (poll(&ended, 1, (int)(deadline_ms - now_ms)) > 0)
      break;
  close(ended.fd);
}

int ns_stop(ns_process *process, unsigned grace_ms) {
  if (process->pid <= 0)
    return -ECHILD;
  int status = -ECHILD;
  kill(-process->pid, SIGTERM);
  wait_for_end(process, grace_ms);
  kill(-process->pid, SIGKILL); /* also for what its leader left behind */
  while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
    continue;
  ns_fd_close(&process->stdin_fd, -1);
  ns_fd_close(&process->stdout_fd, -1);
  ns_fd_close(&process->stderr_fd, -1);
  process->pid = 0;
  return status; /* as it was set if there was nothing to reap */
}
