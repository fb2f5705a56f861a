#include "natsim/techniques.h"

#include "natsim/fail.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Exit statuses of `warpgate-endpoint --check`. */
enum { BAD_PLUGINS = 3, BAD_SET = 4 };

/* Runs the endpoint; its standard output goes into `line`. Returns the exit status, or -1. */
static int ask(const sim_options *options, const char *program, char *line, size_t size) {
  char plugins[1100], set[1100];
  snprintf(plugins, sizeof plugins, "NATSIM_PLUGINS=%s", options->plugin);
  snprintf(set, sizeof set, "NATSIM_SET=%s", options->set);
  char *argv[] = {(char *)program, "--check", NULL}, *envp[] = {plugins, set, NULL};
  int ends[2], status = -1;
  pid_t pid;
  posix_spawn_file_actions_t actions;
  *line = 0;
  if (pipe2(ends, O_CLOEXEC) < 0)
    return -1;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  int failed = posix_spawn(&pid, program, &actions, NULL, argv, envp);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  size_t len = 0;
  for (ssize_t got = 1; !failed && got > 0 && len<size - 1; len += got> 0 ? (size_t)got : 0)
    got = read(ends[0], line + len, size - 1 - len);
  close(ends[0]);
  if (failed || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
    return -1;
  line[len] = 0;
  line[strcspn(line, "\n")] = 0;
  return WEXITSTATUS(status);
}

int sim_techniques_check(const sim_options *options, const sim_programs *programs,
                         ns_error *error) {
  char why[512];
  if (options->endpoint || (!strcmp(options->plugin, "auto") && !*options->set))
    return 0;
  int status = ask(options, programs->endpoint, why, sizeof why);
  if (status == BAD_PLUGINS)
    return sim_fail(error, -1, "--plugin %s: %s", options->plugin, why);
  if (status)
    return sim_fail(error, -1, "--set: %s", status == BAD_SET ? why : "the endpoint does not run");
  return 0;
}
