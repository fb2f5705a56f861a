/*
 * Programs inside hosts: their input, output, environment, descriptors, signals and end.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void start(ns_process *process, const ns_spawn_options *options) {
  ns_error error;
  assert_ok(ns_spawn(process, options, &error), &error);
  assert_true(process->pid > 0);
}

/* Reads all that a program writes until it closes its end; at most `size` - 1 bytes. */
static void read_all(int fd, char *text, size_t size) {
  size_t len = 0;
  for (ssize_t n; len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0;)
    len += (size_t)n;
  text[len] = '\0';
}

/* Runs a shell script in a host (or none) and gives back what it printed. */
static void output_of(const ns_host *host, const char *script, const char *const *envp, char *text,
                      size_t size) {
  ns_process process;
  const char *const argv[] = {"sh", "-c", script, NULL};
  start(&process, &(ns_spawn_options){
                      .host = host, .argv = argv, .envp = envp, .pipe_stdout = true, .log_fd = -1});
  assert_int_equal(process.stdin_fd, -1);
  assert_int_equal(process.stderr_fd, -1);
  read_all(process.stdout_fd, text, size);
  int status = ns_stop(&process, WAIT_MS);
  assert_true(WIFEXITED(status) || WTERMSIG(status) == SIGTERM);
}

static void speaks_by_pipes(void **state) {
  (void)state;
  ns_process cat;
  const char *const argv[] = {"cat", NULL};
  char got[32];
  start(&cat,
        &(ns_spawn_options){.argv = argv, .pipe_stdin = true, .pipe_stdout = true, .log_fd = -1});
  assert_int_equal(write(cat.stdin_fd, "there and back", 14), 14);
  close(cat.stdin_fd);
  cat.stdin_fd = -1;
  read_all(cat.stdout_fd, got, sizeof got);
  assert_string_equal(got, "there and back");
  for (int tries = 0; tries < WAIT_MS / 10 && !ns_ended(&cat); tries++)
    usleep(10000);
  assert_true(ns_ended(&cat));
  assert_int_equal(ns_stop(&cat, 0), 0);
  assert_int_equal(cat.pid, 0);
  assert_int_equal(cat.stdout_fd, -1);
}

static void runs_inside_its_host(void **state) {
  (void)state;
  ns_host host;
  ns_error error;
  struct stat own;
  char inside[128], before[64], expected[64];
  assert_ok(ns_host_open(&host, "h", &error), &error);
  assert_int_equal(fstat(host.ns_fd, &own), 0);
  ssize_t len = readlink("/proc/thread-self/ns/net", before, sizeof before - 1);
  before[len] = '\0';
  output_of(&host, "readlink /proc/self/ns/net", NULL, inside, sizeof inside);
  snprintf(expected, sizeof expected, "net:[%lu]\n", (unsigned long)own.st_ino);
  assert_string_equal(inside, expected);
  output_of(NULL, "readlink /proc/self/ns/net", NULL, inside, sizeof inside);
  assert_memory_equal(inside, before, strlen(before));
  ns_host_close(&host);
}

static void has_a_small_environment(void **state) {
  (void)state;
  char text[8192];
  const char *const envp[] = {"NATSIM_ROLE=a", "LANG=de_DE", NULL};
  setenv("SECRET_OF_THE_CALLER", "1", 1);
  output_of(NULL, "env", envp, text, sizeof text);
  unsetenv("SECRET_OF_THE_CALLER");
  assert_non_null(strstr(text, "NATSIM_ROLE=a\n"));
  assert_non_null(strstr(text, "LANG=de_DE\n"));
  assert_null(strstr(text, "LANG=C"));
  assert_non_null(strstr(text, "HOME=/run\n"));
  assert_non_null(strstr(text, ":/usr/sbin:/sbin\n"));
  assert_null(strstr(text, "SECRET"));
}

/* Also one that was opened without care by somebody else. */
static void has_no_other_descriptors(void **state) {
  (void)state;
  char text[256];
  int careless = open("/dev/null", O_RDONLY);
  output_of(NULL, "ls /proc/self/fd | tr '\\n' ' '", NULL, text, sizeof text);
  close(careless);
  assert_string_equal(text, "0 1 2 3 "); /* 3 is the folder that ls reads */
}

static void gets_the_outer_descriptor_limit(void **state) {
  char text[32], expected[32];
  output_of(NULL, "ulimit -n", NULL, text, sizeof text);
  snprintf(expected, sizeof expected, "%lu\n", *(unsigned long *)*state);
  assert_string_equal(text, expected);
}

static void has_default_signal_handling(void **state) {
  (void)state;
  char text[256];
  sigset_t all, before;
  sigfillset(&all);
  signal(SIGPIPE, SIG_IGN);
  sigprocmask(SIG_BLOCK, &all, &before);
  output_of(NULL, "grep -E '^Sig(Blk|Ign)' /proc/self/status", NULL, text, sizeof text);
  sigprocmask(SIG_SETMASK, &before, NULL);
  signal(SIGPIPE, SIG_DFL);
  assert_string_equal(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

static void writes_to_the_log_what_is_not_piped(void **state) {
  (void)state;
  char text[64] = "";
  ns_process process;
  const char *const argv[] = {"sh", "-c", "echo out; echo err >&2; cat", NULL};
  int log = open("/run/log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  start(&process, &(ns_spawn_options){.argv = argv, .log_fd = log});
  while (!ns_ended(&process))
    usleep(1000);
  assert_int_equal(ns_stop(&process, 0), 0);
  assert_true(pread(log, text, sizeof text - 1, 0) > 0);
  assert_string_equal(text, "out\nerr\n");
  close(log);
}

/* The log may be one of the standard descriptors themselves. */
static int log_to_own_output(void *arg) {
  ns_process process;
  ns_error error;
  const char *const argv[] = {"sh", "-c", "echo out; echo err >&2", NULL};
  int to = *(int *)arg;
  dup2(to, 1);
  if (ns_spawn(&process, &(ns_spawn_options){.argv = argv, .pipe_stdout = true, .log_fd = 1},
               &error) < 0)
    return 1;
  while (!ns_ended(&process))
    usleep(1000);
  return ns_stop(&process, 0);
}

static void the_log_may_be_ones_own_output(void **state) {
  (void)state;
  char text[64] = "";
  int log = open("/run/log2", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_int_equal(status_of_child(log_to_own_output, &log), 0);
  assert_true(pread(log, text, sizeof text - 1, 0) > 0);
  assert_string_equal(text, "err\n");
  close(log);
}

static void says_why_it_cannot_run(void **state) {
  (void)state;
  ns_process process;
  ns_error error;
  const char *const missing[] = {"no-such-program", NULL};
  const char *const folder[] = {"/etc", NULL};
  const char *const absent[] = {"/no/such/program", NULL};
  ns_spawn_options options = {.argv = missing, .pipe_stdout = true, .log_fd = -1};
  assert_int_equal(ns_spawn(&process, &options, &error), -ENOENT);
  assert_non_null(strstr(error.text, "no-such-program: program not found in PATH="));
  assert_int_equal(ns_stop(&process, 0), -ECHILD);
  options.argv = folder;
  assert_int_equal(ns_spawn(&process, &options, &error), -EACCES);
  assert_non_null(strstr(error.text, "/etc: running it failed: Permission denied"));
  options.argv = absent;
  assert_int_equal(ns_spawn(&process, &options, &error), -ENOENT);
  ns_host nowhere = {.name = "nowhere", .ns_fd = 0};
  const char *const argv[] = {"true", NULL};
  options = (ns_spawn_options){.argv = argv, .host = &nowhere, .log_fd = -1};
  assert_true(ns_spawn(&process, &options, &error) < 0);
  assert_non_null(strstr(error.text, "true: entering the host failed"));
}

/* Programs of the administrator are found though an ordinary user's PATH lacks their folder. */
static void finds_programs_beside_the_path(void **state) {
  (void)state;
  ns_process process;
  char *before = strdup(getenv("PATH"));
  const char *const argv[] = {"ldconfig", "--version", NULL};
  setenv("PATH", "/nowhere", 1);
  start(&process, &(ns_spawn_options){.argv = argv, .log_fd = -1});
  setenv("PATH", before, 1);
  free(before);
  ns_stop(&process, WAIT_MS);
}

/* ---- its end --------------------------------------------------------------------------------- */

static void wait_for_line(const ns_process *process) {
  char byte;
  assert_int_equal(read(process->stdout_fd, &byte, 1), 1);
}

static void stops_by_sigterm(void **state) {
  (void)state;
  ns_process process;
  const char *const argv[] = {"sh", "-c", "trap 'exit 9' TERM; echo; while :; do sleep 1; done",
                              NULL};
  start(&process, &(ns_spawn_options){.argv = argv, .pipe_stdout = true, .log_fd = -1});
  wait_for_line(&process);
  assert_false(ns_ended(&process));
  int status = ns_stop(&process, WAIT_MS);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

static void stops_by_sigkill_what_does_not_listen(void **state) {
  (void)state;
  ns_process process;
  const char *const argv[] = {"sh", "-c", "trap '' TERM; echo; while :; do sleep 1; done", NULL};
  start(&process, &(ns_spawn_options){.argv = argv, .pipe_stdout = true, .log_fd = -1});
  wait_for_line(&process);
  int status = ns_stop(&process, 100);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* What it started ends with it: the pipe that all of them hold comes to its end. */
static void stops_its_children_too(void **state) {
  (void)state;
  ns_process process;
  const char *const argv[] = {"sh", "-c", "(trap '' TERM; echo; sleep 100) & wait", NULL};
  char rest[16];
  start(&process, &(ns_spawn_options){.argv = argv, .pipe_stdout = true, .log_fd = -1});
  wait_for_line(&process);
  int pipe_end = fcntl(process.stdout_fd, F_DUPFD_CLOEXEC, 3);
  ns_stop(&process, 100);
  struct pollfd end = {.fd = pipe_end, .events = POLLIN};
  assert_int_equal(poll(&end, 1, WAIT_MS), 1);
  assert_int_equal(read(pipe_end, rest, sizeof rest), 0);
  close(pipe_end);
}

static int start_and_die(void *arg) {
  ns_process process;
  ns_error error;
  const char *const argv[] = {"sleep", "100", NULL};
  if (ns_spawn(&process, &(ns_spawn_options){.argv = argv, .log_fd = *(int *)arg}, &error) < 0)
    return 1;
  return 0;
}

static void dies_with_who_started_it(void **state) {
  (void)state;
  int ends[2];
  char byte;
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  assert_int_equal(status_of_child(start_and_die, &ends[1]), 0);
  close(ends[1]);
  struct pollfd end = {.fd = ends[0], .events = POLLIN};
  assert_int_equal(poll(&end, 1, WAIT_MS), 1); /* sleep held its writing end */
  assert_int_equal(read(ends[0], &byte, 1), 0);
  close(ends[0]);
}

static void stopping_nothing_is_said(void **state) {
  (void)state;
  ns_process zeroed = {0};
  assert_false(ns_ended(&zeroed));
  assert_int_equal(ns_stop(&zeroed, 0), -ECHILD);
  assert_true(fcntl(0, F_GETFD) >= 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

static atomic_bool busy_stop;
static void *volatile busy_memory;

static void *busy(void *arg) {
  (void)arg;
  while (!atomic_load(&busy_stop)) {
    busy_memory = malloc(100);
    free(busy_memory);
  }
  return NULL;
}

static void starts_while_other_threads_are_busy(void **state) {
  (void)state;
  pthread_t thread;
  const char *const argv[] = {"true", NULL};
  ns_host host;
  ns_error error;
  assert_ok(ns_host_open(&host, "h", &error), &error);
  atomic_store(&busy_stop, false);
  assert_int_equal(pthread_create(&thread, NULL, busy, NULL), 0);
  for (int i = 0; i < 50; i++) {
    ns_process process;
    start(&process, &(ns_spawn_options){.host = &host, .argv = argv, .log_fd = -1});
    while (!ns_ended(&process))
      usleep(100);
    assert_int_equal(ns_stop(&process, 0), 0);
  }
  atomic_store(&busy_stop, true);
  pthread_join(thread, NULL);
  ns_host_close(&host);
}

static unsigned long outer_limit;

static int group(void *arg) {
  (void)arg;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(speaks_by_pipes),
      cmocka_unit_test(runs_inside_its_host),
      cmocka_unit_test(has_a_small_environment),
      cmocka_unit_test(has_no_other_descriptors),
      cmocka_unit_test_prestate(gets_the_outer_descriptor_limit, &outer_limit),
      cmocka_unit_test(has_default_signal_handling),
      cmocka_unit_test(writes_to_the_log_what_is_not_piped),
      cmocka_unit_test(the_log_may_be_ones_own_output),
      cmocka_unit_test(says_why_it_cannot_run),
      cmocka_unit_test(finds_programs_beside_the_path),
      cmocka_unit_test(stops_by_sigterm),
      cmocka_unit_test(stops_by_sigkill_what_does_not_listen),
      cmocka_unit_test(stops_its_children_too),
      cmocka_unit_test(dies_with_who_started_it),
      cmocka_unit_test(stopping_nothing_is_said),
      cmocka_unit_test(starts_while_other_threads_are_busy),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = 512; /* lower than usual, to see that it comes back */
  setrlimit(RLIMIT_NOFILE, &limit);
  outer_limit = limit.rlim_cur;
  return run_in_sandbox(group);
}
