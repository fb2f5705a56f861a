#include "support.h"

#include "netns/diagnose.h"

#include <errno.h>
#include <string.h>

/* A kernel without any switch that forbids something. */
static const ns_facts permissive = {.unprivileged_userns = -1,
                                    .apparmor_restricts = -1,
                                    .max_user = 1000,
                                    .max_pid = 1000,
                                    .max_mnt = 1000,
                                    .max_net = 1000,
                                    .seccomp = 0};

static void says(const ns_facts *facts, ns_step step, int err, const char *expected) {
  ns_error error;
  assert_int_equal(ns_explain(facts, step, err, &error), -err);
  if (!strstr(error.text, expected))
    fail_msg("\"%s\" is not in \"%s\"", expected, error.text);
  assert_null(strchr(error.text, '\n'));
}

static void names_the_limit(void **state) {
  (void)state;
  ns_facts facts = permissive;
  facts.max_net = 0;
  says(&facts, NS_STEP_NETWORK, ENOSPC, "sysctl -w user.max_net_namespaces=");
  says(&facts, NS_STEP_MOUNTS, ENOSPC, "user.max_mnt_namespaces");
  says(&facts, NS_STEP_PROCESS, ENOSPC, "user.max_user_namespaces");
  facts.max_pid = 0;
  says(&facts, NS_STEP_PROCESS, ENOSPC, "user.max_pid_namespaces (0)");
  facts.root = true;
  says(&facts, NS_STEP_PROCESS, ENOSPC, "user.max_pid_namespaces");
}

static void names_who_refused(void **state) {
  (void)state;
  ns_facts facts = permissive;
  says(&facts, NS_STEP_PROCESS, EPERM, "chroot");
  facts.unprivileged_userns = 0;
  says(&facts, NS_STEP_PROCESS, EPERM, "kernel.unprivileged_userns_clone=1");
  facts.apparmor_restricts = 1;
  says(&facts, NS_STEP_USER_MAP, EPERM, "kernel.apparmor_restrict_unprivileged_userns=0");
  facts.seccomp = 2;
  says(&facts, NS_STEP_PROCESS, EPERM, "seccomp=unconfined");
  facts = permissive;
  facts.root = true;
  says(&facts, NS_STEP_USER_MAP, EPERM, "CAP_SETFCAP");
  says(&facts, NS_STEP_PROC, EPERM, "systempaths=unconfined");
}

static void names_the_step(void **state) {
  (void)state;
  says(&permissive, NS_STEP_PROCESS, EPERM, "make a user and a PID namespace");
  says(&permissive, NS_STEP_USER_MAP, EACCES, "map the user");
  says(&permissive, NS_STEP_RUN, ENOENT, "mount a tmpfs on /run: No such file");
  says(&permissive, NS_STEP_NETWORK, EINVAL, "CONFIG_NET_NS");
  says(&permissive, NS_STEP_PROCESS, EUSERS, "nested too deeply");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_the_limit),
      cmocka_unit_test(names_who_refused),
      cmocka_unit_test(names_the_step),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
