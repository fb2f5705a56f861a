/*
 * Rules by libnftables, in one transaction, without a process.
 */
#include "netns/internal.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nftables/libnftables.h>

/* libnftables keeps global state (its parser, tables of symbols). */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

/* Asks for the rule set's generation, the cheapest question that only nf_tables can answer. */
static int ask_generation(int fd) {
  struct {
    struct nlmsghdr header;
    struct nfgenmsg body;
  } request = {
      .header = {.nlmsg_len = sizeof request,
                 .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
                 .nlmsg_flags = NLM_F_REQUEST},
      .body = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0},
  };
  unsigned char answer[4096];
  if (send(fd, &request, sizeof request, 0) < 0)
    return -errno;
  ssize_t got;
  do
    got = recv(fd, answer, sizeof answer, 0);
  while (got < 0 && errno == EINTR);
  if (got < (ssize_t)sizeof request.header)
    return got < 0 ? -errno : -EBADMSG;
  memcpy(&request.header, answer, sizeof request.header);
  return request.header.nlmsg_type == NLMSG_ERROR ? -EOPNOTSUPP : 0;
}

/* libnftables ends the program when it gets no socket, and when its socket's number is too high
 * for select(): both are found out here first. */
static int probe(const ns_host *host, ns_error *error) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  int result = fd < 0 ? -errno : ask_generation(fd);
  if (fd >= 0)
    close(fd);
  if (fd >= FD_SETSIZE)
    return ns_fail(error, EMFILE,
                   "%s: too many open files for libnftables, which needs one below %d", host->name,
                   FD_SETSIZE);
  if (result == -EPROTONOSUPPORT || result == -EOPNOTSUPP)
    return ns_fail(error, EOPNOTSUPP,
                   "%s: the kernel has no nftables; load or build nf_tables (CONFIG_NF_TABLES)",
                   host->name);
  if (result < 0)
    return ns_fail(error, -result, "%s: cannot speak to nftables: %s", host->name,
                   strerror(-result));
  return 0;
}

/* libnftables' own words go over several lines: "FILE:LINE:COLUMN: Error: ...", the rule, an
 * underline. The first two become one, without the file. */
static int fail_with_its_words(const ns_host *host, const char *file, const char *text,
                               ns_error *error) {
  if (!text || !*text)
    text = "no reason given";
  if (strncmp(text, file, strlen(file)) == 0)
    text += strlen(file) + strspn(text + strlen(file), ":");
  const char *rule = text + strcspn(text, "\n");
  int what_len = (int)(rule - text);
  rule += strspn(rule, "\n \t");
  return ns_fail(error, EINVAL, "%s: nftables rules refused: %.*s%s%.*s", host->name, what_len,
                 text, *rule ? ": " : "", (int)strcspn(rule, "\n"), rule);
}

static int run_file(const ns_host *host, const char *file, ns_error *error) {
  struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
  if (!context)
    return ns_fail(error, ENOMEM, "%s: no memory for libnftables", host->name);
  int result = 0;
  nft_ctx_buffer_error(context);
  nft_ctx_buffer_output(context);
  if (nft_run_cmd_from_filename(context, file) != 0)
    result = fail_with_its_words(host, file, nft_ctx_get_error_buffer(context), error);
  nft_ctx_free(context);
  return result;
}

/* Through a file in memory: of a buffer libnftables says neither line number nor the right line. */
static int load(const ns_host *host, const char *rules, ns_error *error) {
  char file[40];
  size_t len = strlen(rules);
  int fd = ns_fd_high(memfd_create("rules", MFD_CLOEXEC));
  if (fd < 0 || write(fd, rules, len) != (ssize_t)len) {
    int err = fd < 0 ? -fd : EIO;
    ns_fd_close(&fd, -1);
    return ns_fail(error, err, "%s: no memory for %zu bytes of rules", host->name, len);
  }
  snprintf(file, sizeof file, "/proc/self/fd/%d", fd);
  int result = run_file(host, file, error);
  close(fd);
  return result;
}

int ns_nft(const ns_host *host, const char *rules, ns_error *error) {
  int back, result = ns_visit(host, &back);
  if (result < 0)
    return ns_fail(error, -result, "%s: cannot enter the namespace: %s", host->name,
                   strerror(-result));
  pthread_mutex_lock(&one_at_a_time);
  result = probe(host, error);
  if (result == 0)
    result = load(host, rules, error);
  pthread_mutex_unlock(&one_at_a_time);
  ns_visit_end(back);
  return result;
}
