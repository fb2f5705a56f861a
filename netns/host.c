#include "netns/internal.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A new namespace takes its IPv4 settings from the host's, which would make results depend on the
 * machine. Settings of a protocol that the kernel does not have are skipped. */
static const struct {
  const char *path, *value;
} plain_settings[] = {
    {"/proc/sys/net/ipv4/ip_forward", "0"},
    {"/proc/sys/net/ipv4/conf/all/rp_filter", "0"},
    {"/proc/sys/net/ipv4/conf/default/rp_filter", "0"},
    {"/proc/sys/net/ipv6/conf/all/accept_dad", "0"},
    {"/proc/sys/net/ipv6/conf/default/accept_dad", "0"},
    {"/proc/sys/net/ipv6/conf/default/router_solicitations", "0"},
    {"/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1"}, /* no link-local address */
};

static int apply_plain_settings(const char *name, ns_error *error) {
  for (size_t i = 0; i < sizeof plain_settings / sizeof *plain_settings; i++) {
    int result = ns_write_file(plain_settings[i].path, plain_settings[i].value);
    if (result < 0 && result != -ENOENT)
      return ns_fail(error, -result, "%s: cannot set %s: %s", name, plain_settings[i].path,
                     strerror(-result));
  }
  return 0;
}

/* Acknowledgements shall not carry the request again, but shall say what was wrong with it. */
static int open_netlink(void) {
  int fd = ns_fd_high(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  int one = 1;
  if (fd >= 0 && (setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one) < 0 ||
                  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one) < 0)) {
    int err = errno;
    close(fd);
    return -err;
  }
  return fd;
}

/* The calling thread is in the new namespace already. */
static int furnish(ns_host *host, ns_error *error) {
  int result = apply_plain_settings(host->name, error);
  if (result < 0)
    return result;
  result = host->ns_fd = ns_own_namespace();
  if (result >= 0)
    result = host->netlink_fd = open_netlink();
  if (result < 0)
    return ns_fail(error, -result, "%s: cannot open the namespace: %s", host->name,
                   strerror(-result));
  ns_batch batch;
  ns_begin(&batch, host);
  ns_add_up(&batch, 1); /* loopback is always interface 1 */
  return ns_commit(&batch, error);
}

int ns_host_open(ns_host *host, const char *name, ns_error *error) {
  memset(host, 0, sizeof *host);
  snprintf(host->name, sizeof host->name, "%s", name);
  int back = ns_own_namespace();
  if (back < 0)
    return ns_fail(error, -back, "%s: cannot open the present network namespace: %s", name,
                   strerror(-back));
  if (unshare(CLONE_NEWNET) < 0) {
    int err = errno;
    close(back);
    return ns_fail(error, err, "%s: cannot make a network namespace: %s", name,
                   err == ENOSPC ? "user.max_net_namespaces is used up" : strerror(err));
  }
  int result = furnish(host, error);
  ns_visit_end(back);
  if (result < 0)
    ns_host_close(host);
  return result;
}

void ns_host_close(ns_host *host) {
  ns_fd_close(&host->ns_fd, 0);
  ns_fd_close(&host->netlink_fd, 0);
  memset(host, 0, sizeof *host);
}

int ns_sysctl(const ns_host *host, const char *path, const char *value, ns_error *error) {
  char file[256];
  int back, result = -ENAMETOOLONG;
  if ((size_t)snprintf(file, sizeof file, "/proc/sys/net/%s", path) < sizeof file) {
    result = ns_visit(host, &back);
    if (result == 0) {
      result = ns_write_file(file, value);
      ns_visit_end(back);
    }
  }
  if (result < 0)
    return ns_fail(error, -result, "%s: cannot set net/%s to %s: %s", host->name, path, value,
                   strerror(-result));
  return 0;
}
