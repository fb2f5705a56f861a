#include "natsim/programs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Joins into `out`; false when it does not fit or nobody can run the result. */
static bool executable(char out[PATH_MAX], const char *folder, const char *inside,
                       const char *name) {
  int len = snprintf(out, PATH_MAX, "%s%s/%s", folder, inside, name);
  return len > 0 && len < PATH_MAX && access(out, X_OK) == 0;
}

static bool in_search_path(char out[PATH_MAX], const char *name) {
  const char *path = getenv("PATH");
  char *copy = strdup(path ? path : ""), *rest = copy;
  bool found = false;
  for (char *folder; copy && !found && (folder = strsep(&rest, ":"));)
    found = *folder && executable(out, folder, "", name);
  free(copy);
  return found || executable(out, "/usr/sbin", "", name) || executable(out, "/usr/bin", "", name);
}

/* A package unpacked into `root`: the program, and the libraries that came with it. */
static bool in_unpacked(const char *root, const char *name, char out[PATH_MAX],
                        sim_programs *programs) {
  if (!*root ||
      (!executable(out, root, "/usr/sbin", name) && !executable(out, root, "/usr/bin", name)))
    return false;
  snprintf(programs->libraries, sizeof programs->libraries,
           "LD_LIBRARY_PATH=%.*s/usr/lib/" NATSIM_MULTIARCH, PATH_MAX - 64, root);
  return true;
}

/* ../fixtures beside this program; false when it cannot be known. */
static bool fixtures_beside(char out[PATH_MAX], char folder[PATH_MAX]) {
  ssize_t len = readlink("/proc/self/exe", folder, PATH_MAX - 1);
  if (len < 0)
    return false;
  folder[len] = 0;
  char *slash = strrchr(folder, '/');
  if (slash)
    *slash = 0;
  snprintf(out, PATH_MAX, "%.*s/../fixtures", PATH_MAX - 16, folder);
  return true;
}

static int find_server(const char *name, const char *package, const char *beside,
                       char out[PATH_MAX], sim_programs *programs, ns_error *error) {
  const char *named = getenv("NATSIM_FIXTURES");
  if ((named && in_unpacked(named, name, out, programs)) ||
      in_unpacked(beside, name, out, programs) || in_search_path(out, name))
    return 0;
  return sim_fail(error, -1,
                  "%s is not installed: run ci/setup, or install the Debian package %s, or name a "
                  "folder it is unpacked in with NATSIM_FIXTURES",
                  name, package);
}

int sim_programs_find_server(const char *name, const char *package, char out[PATH_MAX],
                             sim_programs *programs, ns_error *error) {
  char folder[PATH_MAX], beside[PATH_MAX];
  if (!fixtures_beside(beside, folder))
    return sim_fail(error, -1, "cannot read /proc/self/exe: is /proc mounted?");
  return find_server(name, package, beside, out, programs, error);
}

static int find_own(const char *folder, const char *name, char out[PATH_MAX], ns_error *error) {
  static const char *const beside[] = {"", "/../libexec/warpgate", "/../sbin"};
  for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
    if (executable(out, folder, beside[i], name))
      return 0;
  return sim_fail(error, -1, "%s is missing beside natsim: build it with ci/build", name);
}

/* Our endpoint takes a seed, so it is never installed. */
static int find_endpoint(const char *folder, char out[PATH_MAX], ns_error *error) {
  if (executable(out, folder, "", "warpgate-endpoint"))
    return 0;
  return sim_fail(error, -1,
                  "warpgate-endpoint is missing beside natsim: build it with ci/build (it is never "
                  "installed), or name other programs by --endpoint CMD");
}

int sim_programs_find(const sim_options *options, sim_programs *out, ns_error *error) {
  *out = (sim_programs){.libraries = ""};
  char folder[PATH_MAX], beside[PATH_MAX];
  if (!fixtures_beside(beside, folder))
    return sim_fail(error, -1, "cannot read /proc/self/exe: is /proc mounted?");
  int status = 0;
  if ((options->without & (SIM_STUN | SIM_TURN)) != (SIM_STUN | SIM_TURN))
    status = find_server("turnserver", "coturn", beside, out->coturn, out, error);
  if (!status && *out->coturn)
    status = find_own(folder, "warpgate-authority", out->authority, error);
  if (!status && !(options->without & SIM_BROKER))
    status = find_server("mosquitto", "mosquitto", beside, out->broker, out, error);
  if (!status && !(options->without & SIM_STUN))
    status = find_own(folder, "warpgate-stun", out->stun, error);
  if (!status && !(options->without & SIM_NAMES))
    status = find_own(folder, "warpgate-names", out->names, error);
  if (!status && !(options->without & SIM_NTP))
    status = find_server("chronyd", "chrony", beside, out->chrony, out, error);
  if (!status && !(options->without & SIM_NTP))
    status = find_own(folder, "warpgate-ntp", out->ntp, error);
  if (!status && !options->endpoint)
    status = find_endpoint(folder, out->endpoint, error);
  return status;
}
