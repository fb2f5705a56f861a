/*
 * The connection tracker, by ctnetlink: the part of it that nftables cannot reach.
 */
#include "netns/internal.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A deletion that names no flow is one of all flows. */
static int flush(int fd) {
  struct {
    struct nlmsghdr header;
    struct nfgenmsg body;
  } request = {
      .header = {.nlmsg_len = sizeof request,
                 .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
      .body = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0},
  };
  struct {
    struct nlmsghdr header;
    struct nlmsgerr result;
  } answer;
  if (send(fd, &request, sizeof request, 0) < 0)
    return -errno;
  ssize_t got;
  do
    got = recv(fd, &answer, sizeof answer, 0);
  while (got < 0 && errno == EINTR);
  if (got < 0)
    return -errno;
  if ((size_t)got < sizeof answer || answer.header.nlmsg_type != NLMSG_ERROR)
    return -EBADMSG;
  return answer.result.error;
}

int ns_conntrack_flush(const ns_host *host, ns_error *error) {
  int back, result = ns_visit(host, &back);
  if (result == 0) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    result = fd < 0 ? -errno : flush(fd);
    if (fd >= 0)
      close(fd);
    ns_visit_end(back);
  }
  if (result == -EINVAL || result == -EPROTONOSUPPORT)
    return ns_fail(error, EOPNOTSUPP,
                   "%s: the kernel cannot flush its connection tracker; load or build "
                   "nf_conntrack_netlink (CONFIG_NF_CT_NETLINK)",
                   host->name);
  if (result < 0)
    return ns_fail(error, -result, "%s: cannot flush the connection tracker: %s", host->name,
                   strerror(-result));
  return 0;
}
