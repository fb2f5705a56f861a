/*
 * Why a sandbox could not be built, and what to do about it: from the step that failed, its errno
 * and what the kernel says about itself, to one line of text.
 */
#ifndef NETNS_DIAGNOSE_H
#define NETNS_DIAGNOSE_H

#include "netns/netns.h"

/* The steps of building a sandbox, in their order. */
typedef enum ns_step {
  NS_STEP_PROCESS,  /* clone: PID namespace, and user namespace when not root */
  NS_STEP_USER_MAP, /* mapping the caller to root in the new user namespace */
  NS_STEP_MOUNTS,   /* mount namespace */
  NS_STEP_NETWORK,  /* network namespace */
  NS_STEP_PRIVATE,  /* cutting mounts off from the host's */
  NS_STEP_PROC,     /* a fresh /proc */
  NS_STEP_RUN,      /* the tmpfs on /run */
  NS_STEP_LAB       /* what remains: descriptors, the lab's process */
} ns_step;

/* What decides whether namespaces may be made. -1: the kernel does not know this switch. */
typedef struct ns_facts {
  bool root;                /* effective user 0 */
  long unprivileged_userns; /* kernel.unprivileged_userns_clone (Debian's old patch) */
  long apparmor_restricts;  /* kernel.apparmor_restrict_unprivileged_userns (Ubuntu) */
  long max_user, max_pid;   /* user.max_user_namespaces, user.max_pid_namespaces */
  long max_mnt, max_net;    /* user.max_mnt_namespaces, user.max_net_namespaces */
  long seccomp;             /* "Seccomp:" of /proc/self/status; 2: a filter */
} ns_facts;

/* Reads them for the calling process. */
void ns_facts_read(ns_facts *facts);
/* Writes the line and returns -err. Reads nothing. */
int ns_explain(const ns_facts *facts, ns_step step, int err, ns_error *error);

#endif
