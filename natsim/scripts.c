#include "natsim/scripts.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Exits 0 where the interpreter is new enough and has the module; imports nothing large. */
static const char probe[] = "import importlib.util, sys\n"
                            "sys.exit(sys.version_info < (3, 9) or\n"
                            "         importlib.util.find_spec(sys.argv[1]) is None)";

static _Noreturn void become_probe(const char *python, const char *module) {
  int nowhere = open("/dev/null", O_RDWR);
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    dup2(nowhere, fd);
  execlp(python, python, "-c", probe, module, (char *)NULL);
  _exit(127);
}

static bool fits(const char *python, const char *module) {
  pid_t pid = fork();
  if (pid == 0)
    become_probe(python, module);
  int status = -1;
  while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  return status == 0;
}

/* The first on the PATH may be another than the system's, without the system's packages. */
static const char *find_python(const char *module) {
  static const char *const candidates[] = {"python3", "/usr/bin/python3"};
  for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
    if (fits(candidates[i], module ? module : "json"))
      return candidates[i];
  return NULL;
}

static int find_folder(char out[PATH_MAX], ns_error *error) {
  char self[PATH_MAX];
  ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
  if (len < 0)
    return sim_fail(error, -1, "cannot read /proc/self/exe: is /proc mounted?");
  self[len] = 0;
  snprintf(out, PATH_MAX, "%.*s/../share/natsim/report", PATH_MAX - 32, dirname(self));
  if (access(out, X_OK) < 0)
    return sim_fail(error, -1, "%s: %s: build natsim with ci/build", out, strerror(errno));
  return 0;
}

int sim_script_run(const sim_script *script, int argc, char **argv, ns_error *error) {
  enum { BEFORE = 4 }; /* python, -B, folder, command */
  char folder[PATH_MAX];
  if (find_folder(folder, error))
    return SIM_EXIT_NO_LAB;
  const char *python = find_python(script->module);
  if (!python)
    return sim_fail(error, SIM_EXIT_NO_LAB,
                    "it needs Python 3.9%s%s: install the Debian package%s python3%s%s",
                    script->module ? " with " : "", script->module ? script->module : "",
                    script->package ? "s" : "", script->package ? " and " : "",
                    script->package ? script->package : "");
  const char **args = calloc((size_t)argc + BEFORE + 1, sizeof *args);
  if (!args)
    return sim_fail(error, SIM_EXIT_NO_LAB, "out of memory");
  args[0] = python;
  args[1] = "-B"; /* leaves no __pycache__ in a folder that is not the user's */
  args[2] = folder;
  args[3] = script->command;
  for (int i = 0; i < argc; i++)
    args[BEFORE + i] = argv[i];
  execvp(python, (char *const *)args);
  free(args);
  return sim_fail(error, SIM_EXIT_NO_LAB, "cannot run %s: %s", python, strerror(errno));
}
