#include "netns/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { NS_FIRST_HIGH_FD = 1100, NS_FIRST_FREE_FD = 3 };

static int first_namespace_fd = -1;
static struct rlimit outer_descriptors;

int ns_fail(ns_error *error, int err, const char *format, ...) {
  if (error) {
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
  }
  return -err;
}

int ns_fd_high(int fd) {
  if (fd < 0)
    return -errno;
  int high = fcntl(fd, F_DUPFD_CLOEXEC, NS_FIRST_HIGH_FD);
  if (high < 0)
    high = fcntl(fd, F_DUPFD_CLOEXEC, NS_FIRST_FREE_FD);
  int err = errno;
  close(fd);
  return high < 0 ? -err : high;
}

void ns_fd_close(int *fd, int none) {
  if (*fd > 0)
    close(*fd);
  *fd = none;
}

int ns_own_namespace(void) {
  return ns_fd_high(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
}

int ns_visit(const ns_host *host, int *back) {
  *back = ns_own_namespace();
  if (*back < 0)
    return *back;
  int result = ns_enter(host);
  if (result < 0)
    ns_fd_close(back, -1);
  return result;
}

static void return_to(int fd) {
  if (setns(fd, CLONE_NEWNET) < 0) {
    perror("netns: cannot return from a network namespace");
    abort();
  }
}

void ns_visit_end(int back) {
  return_to(back);
  close(back);
}

int ns_enter(const ns_host *host) {
  return setns(host->ns_fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

void ns_leave(void) {
  return_to(first_namespace_fd);
}

void ns_remember_sandbox(int first_namespace, const struct rlimit *descriptors) {
  first_namespace_fd = first_namespace;
  outer_descriptors = *descriptors;
}

const struct rlimit *ns_outer_descriptors(void) {
  return first_namespace_fd < 0 ? NULL : &outer_descriptors;
}

int ns_write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return -errno;
  int result = write(fd, text, strlen(text)) < 0 ? -errno : 0;
  close(fd);
  return result;
}

uint64_t ns_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t ns_now_ms(void) {
  return ns_now_ns() / 1000000;
}
