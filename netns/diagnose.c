#include "netns/diagnose.h"

#include "netns/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long read_number(const char *path) {
  FILE *file = fopen(path, "re");
  if (!file)
    return -1;
  long value;
  if (fscanf(file, "%ld", &value) != 1)
    value = -1;
  fclose(file);
  return value;
}

static long read_seccomp(void) {
  FILE *file = fopen("/proc/self/status", "re");
  if (!file)
    return -1;
  long value = -1;
  char line[256];
  while (value < 0 && fgets(line, sizeof line, file))
    if (strncmp(line, "Seccomp:", 8) == 0)
      value = strtol(line + 8, NULL, 10);
  fclose(file);
  return value;
}

void ns_facts_read(ns_facts *facts) {
  *facts = (ns_facts){
      .root = geteuid() == 0,
      .unprivileged_userns = read_number("/proc/sys/kernel/unprivileged_userns_clone"),
      .apparmor_restricts = read_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
      .max_user = read_number("/proc/sys/user/max_user_namespaces"),
      .max_pid = read_number("/proc/sys/user/max_pid_namespaces"),
      .max_mnt = read_number("/proc/sys/user/max_mnt_namespaces"),
      .max_net = read_number("/proc/sys/user/max_net_namespaces"),
      .seccomp = read_seccomp(),
  };
}

static const char *describe(ns_step step, bool root) {
  switch (step) {
  case NS_STEP_PROCESS:
    return root ? "make a PID namespace" : "make a user and a PID namespace";
  case NS_STEP_USER_MAP:
    return "map the user in a new user namespace";
  case NS_STEP_MOUNTS:
    return "make a mount namespace";
  case NS_STEP_NETWORK:
    return "make a network namespace";
  case NS_STEP_PRIVATE:
    return "make mounts private";
  case NS_STEP_PROC:
    return "mount a fresh /proc";
  case NS_STEP_RUN:
    return "mount a tmpfs on /run";
  case NS_STEP_LAB:
    break;
  }
  return "start the laboratory's process";
}

/* ENOSPC is how the kernel says that a limit of user.max_*_namespaces is used up; for one clone of
 * two kinds it does not say which. */
static void explain_limit(const ns_facts *facts, ns_step step, char *why, size_t size) {
  const char *name = "user";
  long limit = facts->max_user;
  if (step == NS_STEP_MOUNTS) {
    name = "mnt";
    limit = facts->max_mnt;
  } else if (step == NS_STEP_NETWORK) {
    name = "net";
    limit = facts->max_net;
  } else if (facts->root || (facts->max_pid >= 0 && facts->max_pid < facts->max_user)) {
    name = "pid";
    limit = facts->max_pid;
  }
  snprintf(why, size,
           "user.max_%s_namespaces (%ld) is used up; raise it: sudo sysctl -w "
           "user.max_%s_namespaces=10000",
           name, limit, name);
}

/* Who said EPERM or EACCES, the most telling sign first. */
static const char *explain_refusal(const ns_facts *facts, ns_step step) {
  if (step == NS_STEP_PROC)
    return "a container hides parts of /proc; run it with --privileged, or with --security-opt "
           "systempaths=unconfined";
  if (facts->seccomp == 2)
    return "a seccomp filter, probably a container's, forbids it; run the container with "
           "--privileged, or with --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt "
           "seccomp=unconfined --security-opt apparmor=unconfined";
  if (!facts->root && facts->apparmor_restricts == 1)
    return "AppArmor restricts user namespaces; run as root, or: sudo sysctl -w "
           "kernel.apparmor_restrict_unprivileged_userns=0";
  if (!facts->root && facts->unprivileged_userns == 0)
    return "user namespaces are for root only here; run as root, or: sudo sysctl -w "
           "kernel.unprivileged_userns_clone=1";
  if (facts->root)
    return "root lacks CAP_SYS_ADMIN or CAP_SETFCAP here, as in a container; run it with "
           "--privileged";
  return "a chroot or a security module forbids it; run as root, outside of both";
}

int ns_explain(const ns_facts *facts, ns_step step, int err, ns_error *error) {
  char limit[160];
  const char *why = "";
  if (err == ENOSPC && step <= NS_STEP_NETWORK) {
    explain_limit(facts, step, limit, sizeof limit);
    why = limit;
  } else if (err == EPERM || err == EACCES) {
    why = explain_refusal(facts, step);
  } else if (err == EUSERS) {
    why = "namespaces are nested too deeply; run it further outside";
  } else if ((err == EINVAL || err == ENOSYS) && step <= NS_STEP_NETWORK) {
    why = "the kernel is built without such namespaces (CONFIG_USER_NS, CONFIG_PID_NS, "
          "CONFIG_NET_NS)";
  }
  /* "No space left on device" would only mislead. */
  const char *what = why == limit ? "" : strerror(err);
  return ns_fail(error, err, "cannot %s: %s%s%s", describe(step, facts->root), what,
                 *what && *why ? ": " : "", why);
}
