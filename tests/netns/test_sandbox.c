/*
 * The sandbox from outside: what it returns, how it ends, that nothing is left, and what it says
 * when it may not be built.
 */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A pipe whose writing end all processes of a sandbox inherit: its end of file says that the last
 * of them is gone. What they write says that they are ready. */
static int witness[2];

static int run(int (*lab)(void *arg), void *arg) {
  ns_error error;
  int status = ns_sandbox_run(lab, arg, &error);
  assert_ok(status, &error);
  return status;
}

/* ---- what it returns ------------------------------------------------------------------------- */

static int return_number(void *arg) {
  return *(int *)arg;
}

static void passes_the_status_on(void **state) {
  (void)state;
  for (int status = 0; status < 256; status += 51)
    assert_int_equal(run(return_number, &status), status);
}

static int die_of(void *arg) {
  raise(*(int *)arg);
  return 0;
}

static void says_which_signal_killed_the_lab(void **state) {
  (void)state;
  int number = SIGKILL;
  assert_int_equal(run(die_of, &number), 128 + SIGKILL);
  number = SIGTERM;
  assert_int_equal(run(die_of, &number), 128 + SIGTERM);
}

/* ---- what is inside -------------------------------------------------------------------------- */

static int look_around(void *arg) {
  const char *folder = arg;
  char file[256];
  struct stat info;
  ns_error error;
  ns_host host;
  if (geteuid() != 0 || getpid() != 2 || getppid() != 1)
    return 10;
  if (stat("/run/left-by-a-test", &info) == 0 || mkdir("/run/left-by-a-test", 0700) < 0)
    return 11;
  snprintf(file, sizeof file, "%s/out", folder);
  int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, "x", 1) != 1)
    return 12;
  if (ns_host_open(&host, "h", &error) < 0 ||
      ns_sysctl(&host, "ipv4/ip_forward", "1", &error) < 0) {
    fprintf(stderr, "%s\n", error.text);
    return 13;
  }
  return 0;
}

static void has_its_own_run_but_the_hosts_files(void **state) {
  (void)state;
  char folder[] = "/tmp/test-sandbox-XXXXXX", file[64];
  assert_non_null(mkdtemp(folder));
  assert_int_equal(run(look_around, folder), 0);
  snprintf(file, sizeof file, "%s/out", folder);
  struct stat info;
  assert_int_equal(stat(file, &info), 0);
  assert_int_equal(info.st_uid, geteuid());
  assert_int_equal(unlink(file), 0);
  assert_int_equal(rmdir(folder), 0);
  assert_int_equal(stat("/run/left-by-a-test", &info), -1);
}

/* Processes in /proc, those too that ended and were not reaped. */
static int count_processes(void) {
  int count = 0;
  DIR *proc = opendir("/proc");
  for (struct dirent *entry; (entry = readdir(proc));)
    count += entry->d_name[0] >= '1' && entry->d_name[0] <= '9';
  closedir(proc);
  return count;
}

static int leave_orphans(void *arg) {
  (void)arg;
  for (int i = 0; i < 20; i++) {
    pid_t parent = fork();
    if (parent == 0) {
      if (fork() == 0)
        usleep(1000);
      _exit(0);
    }
    if (waitpid(parent, NULL, 0) != parent)
      return 20;
  }
  if (waitpid(-1, NULL, 0) != -1 || errno != ECHILD)
    return 21; /* an orphan came to the lab */
  for (int tries = 0; tries < WAIT_MS / 10; tries++) {
    if (count_processes() == 2) /* process 1 and the lab */
      return 0;
    usleep(10000);
  }
  return 22;
}

static void process_one_reaps_orphans(void **state) {
  (void)state;
  assert_int_equal(run(leave_orphans, NULL), 0);
}

static int leave_a_child(void *arg) {
  if (fork() == 0) {
    setsid();
    for (;;)
      pause();
  }
  return return_number(arg);
}

static void ends_what_the_lab_leaves_running(void **state) {
  (void)state;
  int status = 5;
  char byte;
  assert_int_equal(pipe2(witness, 0), 0);
  assert_int_equal(run(leave_a_child, &status), 5);
  close(witness[1]);
  assert_int_equal(read(witness[0], &byte, 1), 0); /* or it would block for ever */
  close(witness[0]);
}

/* ---- signals and the caller's death ---------------------------------------------------------- */

static void say_ready(void) {
  if (write(witness[1], "r", 1) != 1)
    _exit(30);
}

static int wait_for_ever(void *arg) {
  (void)arg;
  say_ready();
  while (pause() < 0)
    continue;
  return 0;
}

static volatile sig_atomic_t interrupted;

static void note_interrupt(int number) {
  (void)number;
  interrupted++;
}

static int end_in_order(void *arg) {
  (void)arg;
  sigset_t none, interrupt;
  sigemptyset(&none);
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  sigprocmask(SIG_BLOCK, &interrupt, NULL); /* it may only come inside sigsuspend */
  struct sigaction action = {.sa_handler = note_interrupt};
  sigaction(SIGINT, &action, NULL);
  say_ready();
  while (!interrupted)
    sigsuspend(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (int i = 0; i < 10; i++) /* time for another one to come */
    usleep(10000);
  return 76 + interrupted;
}

static int ignore_stops(void *arg) {
  signal(SIGTERM, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  return wait_for_ever(arg);
}

/* Five hosts, and processes that left their session: one beside the lab, one inside a host. */
static int fill(void *arg) {
  ns_host hosts[5];
  ns_error error;
  for (int i = 0; i < 5; i++)
    if (ns_host_open(&hosts[i], "h", &error) < 0)
      return 40;
  for (int i = 0; i < 2; i++)
    if (fork() == 0) {
      setsid();
      if (i)
        ns_enter(&hosts[0]);
      for (;;)
        pause();
    }
  return wait_for_ever(arg);
}

static pid_t start_caller(int (*lab)(void *arg)) {
  char byte;
  assert_int_equal(pipe2(witness, 0), 0);
  fflush(NULL);
  pid_t caller = fork();
  if (caller == 0) {
    ns_error error;
    setpgid(0, 0);
    close(witness[0]);
    int status = ns_sandbox_run(lab, NULL, &error);
    _exit(status < 0 ? -status : status);
  }
  close(witness[1]);
  if (read(witness[0], &byte, 1) != 1) {
    int status;
    waitpid(caller, &status, 0);
    close(witness[0]);
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
    return -1;
  }
  return caller;
}

/* Waits until the last process of the sandbox is gone. */
static void await_nobody(void) {
  struct pollfd end = {.fd = witness[0], .events = POLLIN};
  char byte;
  assert_int_equal(poll(&end, 1, WAIT_MS), 1);
  assert_int_equal(read(witness[0], &byte, 1), 0);
  close(witness[0]);
}

static int status_after(pid_t caller) {
  int status;
  assert_int_equal(waitpid(caller, &status, 0), caller);
  await_nobody();
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void sigterm_ends_a_lab_that_does_not_handle_it(void **state) {
  (void)state;
  pid_t caller = start_caller(wait_for_ever);
  kill(caller, SIGTERM);
  assert_int_equal(status_after(caller), 128 + SIGTERM);
}

static void sigint_reaches_a_lab_that_handles_it(void **state) {
  (void)state;
  pid_t caller = start_caller(end_in_order);
  kill(caller, SIGINT);
  assert_int_equal(status_after(caller), 77);
}

/* A terminal signals the whole group of processes. */
static void ctrl_c_reaches_the_lab_once(void **state) {
  (void)state;
  pid_t caller = start_caller(end_in_order);
  kill(-caller, SIGINT);
  assert_int_equal(status_after(caller), 77);
}

static void a_third_signal_kills_a_lab_that_hangs(void **state) {
  (void)state;
  pid_t caller = start_caller(ignore_stops);
  for (int i = 0; i < 2; i++) {
    kill(caller, SIGTERM);
    usleep(50000); /* else equal signals merge */
    assert_int_equal(waitpid(caller, NULL, WNOHANG), 0);
  }
  /* Two may merge on a busy machine, and then it is the next one. */
  struct pollfd end = {.fd = witness[0], .events = POLLIN};
  do
    kill(caller, SIGTERM);
  while (poll(&end, 1, 1000) == 0);
  assert_int_equal(status_after(caller), 128 + SIGKILL);
}

static void killing_the_caller_ends_every_process(void **state) {
  (void)state;
  pid_t caller = start_caller(fill);
  assert_true(caller > 0);
  kill(caller, SIGKILL);
  assert_int_equal(status_after(caller), -SIGKILL);
}

/* With room for 8 network namespaces, labs of 6 can only follow each other if none of them is left.
 * The kernel takes namespaces apart a little later, so there may be several tries. */
static int kill_many(void) {
  write_proc("/proc/sys/user/max_net_namespaces", "8");
  for (int round = 0; round < 8; round++) {
    pid_t caller = -1;
    for (int tries = 0; caller < 0 && tries < WAIT_MS / 50; tries++) {
      if (tries)
        usleep(50000);
      caller = start_caller(fill);
    }
    if (caller < 0)
      return 1;
    kill(caller, SIGKILL);
    if (status_after(caller) != -SIGKILL)
      return 2;
  }
  return 0;
}

static void killing_the_caller_leaves_no_namespace(void **state) {
  (void)state;
  pid_t pid = fork_into_user_namespace();
  if (pid == 0)
    _exit(kill_many());
  assert_int_equal(wait_for_child(pid), 0);
}

/* ---- when it may not be built ---------------------------------------------------------------- */

/* Tries in a child that `start` made and `forbid` was called in; the line comes back. */
static void line_when(pid_t (*start)(void), void (*forbid)(void), int expected, char *line,
                      size_t size) {
  int ends[2];
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  fflush(NULL);
  pid_t pid = start();
  if (pid == 0) {
    ns_error error = {""};
    int number = 0;
    forbid();
    int result = ns_sandbox_run(return_number, &number, &error);
    if (write(ends[1], error.text, strlen(error.text)) < 0)
      _exit(1);
    _exit(-result);
  }
  close(ends[1]);
  ssize_t got = read(ends[0], line, size - 1);
  line[got > 0 ? got : 0] = '\0';
  close(ends[0]);
  assert_int_equal(wait_for_child(pid), expected);
  print_message("  %s\n", line);
}

static void allow_no_network(void) {
  write_proc("/proc/sys/user/max_net_namespaces", "0");
}

static void allow_no_pid(void) {
  write_proc("/proc/sys/user/max_pid_namespaces", "0");
}

static void explains_why_it_may_not_be_built(void **state) {
  (void)state;
  char line[sizeof(ns_error)];
  line_when(fork, forbid_namespaces, EPERM, line, sizeof line);
  assert_non_null(strstr(line, "namespace"));
  assert_non_null(strstr(line, "seccomp=unconfined"));
  line_when(fork_into_user_namespace, allow_no_network, ENOSPC, line, sizeof line);
  assert_non_null(strstr(line, "network namespace"));
  assert_non_null(strstr(line, "user.max_net_namespaces (0)"));
  line_when(fork_into_user_namespace, allow_no_pid, ENOSPC, line, sizeof line);
  assert_non_null(strstr(line, "user.max_pid_namespaces (0)"));
}

static void leaves_the_caller_as_it_was(void **state) {
  (void)state;
  sigset_t before, after;
  struct sigaction action;
  int number = 0;
  signal(SIGCHLD, SIG_IGN);
  sigprocmask(SIG_SETMASK, NULL, &before);
  assert_int_equal(run(return_number, &number), 0);
  sigprocmask(SIG_SETMASK, NULL, &after);
  sigaction(SIGCHLD, NULL, &action);
  signal(SIGCHLD, SIG_DFL);
  assert_ptr_equal(action.sa_handler, SIG_IGN);
  for (int i = 1; i < NSIG; i++)
    assert_int_equal(sigismember(&before, i), sigismember(&after, i));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(passes_the_status_on),
      cmocka_unit_test(says_which_signal_killed_the_lab),
      cmocka_unit_test(has_its_own_run_but_the_hosts_files),
      cmocka_unit_test(process_one_reaps_orphans),
      cmocka_unit_test(ends_what_the_lab_leaves_running),
      cmocka_unit_test(sigterm_ends_a_lab_that_does_not_handle_it),
      cmocka_unit_test(sigint_reaches_a_lab_that_handles_it),
      cmocka_unit_test(ctrl_c_reaches_the_lab_once),
      cmocka_unit_test(a_third_signal_kills_a_lab_that_hangs),
      cmocka_unit_test(killing_the_caller_ends_every_process),
      cmocka_unit_test(killing_the_caller_leaves_no_namespace),
      cmocka_unit_test(explains_why_it_may_not_be_built),
      cmocka_unit_test(leaves_the_caller_as_it_was),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
