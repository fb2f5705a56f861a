/*
 * What a host's kernel says about its interfaces and addresses, by rtnetlink(7).
 */
#include "netns/netlink.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

typedef struct link_state {
  uint64_t tx_packets;
  uint8_t operational; /* RFC 2863 ifOperStatus, IF_OPER_* */
} link_state;

enum { OPERATIONAL_UP = 6 }; /* IF_OPER_UP */

/* Sends a request and reads its one answer into `bytes`. */
static int ask(const ns_host *host, const void *request, size_t len, uint8_t bytes[NS_ANSWER_BYTES],
               ns_answer *out) {
  if (ns_netlink_send(host->netlink_fd, request, len) < 0)
    return -errno;
  ssize_t got = ns_netlink_receive(host->netlink_fd, bytes, NS_ANSWER_BYTES);
  if (got < 0)
    return -errno;
  size_t at = 0;
  int err;
  if (!ns_next_answer(bytes, (size_t)got, &at, out))
    return -EBADMSG;
  if (out->header.nlmsg_type != NLMSG_ERROR)
    return 0;
  if (out->len < sizeof err)
    return -EBADMSG;
  memcpy(&err, out->payload, sizeof err);
  return err < 0 ? err : -EBADMSG;
}

/* ---- interfaces ------------------------------------------------------------------------------ */

static int read_link(const ns_answer *got, link_state *out) {
  const size_t head = NLMSG_ALIGN(sizeof(struct ifinfomsg));
  if (got->header.nlmsg_type != RTM_NEWLINK || got->len < head)
    return -EBADMSG;
  size_t len = got->len - head, value_len;
  struct rtnl_link_stats64 stats;
  const uint8_t *value = ns_find_attribute(got->payload + head, len, IFLA_STATS64, &value_len);
  if (!value || value_len < offsetof(struct rtnl_link_stats64, rx_bytes))
    return -EBADMSG;
  memset(&stats, 0, sizeof stats);
  memcpy(&stats, value, value_len < sizeof stats ? value_len : sizeof stats);
  value = ns_find_attribute(got->payload + head, len, IFLA_OPERSTATE, &value_len);
  *out = (link_state){.tx_packets = stats.tx_packets,
                      .operational = value && value_len ? *value : (uint8_t)0};
  return 0;
}

static int query_link(const ns_host *host, int ifindex, link_state *out) {
  struct {
    struct nlmsghdr header;
    struct ifinfomsg link;
  } request = {
      .header = {.nlmsg_len = sizeof request,
                 .nlmsg_type = RTM_GETLINK,
                 .nlmsg_flags = NLM_F_REQUEST},
      .link = {.ifi_index = ifindex},
  };
  uint8_t bytes[NS_ANSWER_BYTES];
  ns_answer answer;
  int result = ask(host, &request, sizeof request, bytes, &answer);
  return result < 0 ? result : read_link(&answer, out);
}

int ns_tx_packets(const ns_host *host, int ifindex, uint64_t *out) {
  link_state state;
  int result = query_link(host, ifindex, &state);
  if (result == 0)
    *out = state.tx_packets;
  return result;
}

/* ---- addresses ------------------------------------------------------------------------------- */

/* 1 when the kernel takes packets to this address as its own. For IPv6 its route comes last, from
 * a worker thread, after the address has joined its multicast group. */
static int query_local(const ns_host *host, const ns_ip *ip) {
  struct {
    struct nlmsghdr header;
    struct rtmsg route;
    struct rtattr destination;
    uint8_t bytes[sizeof ip->bytes];
  } request = {
      .header = {.nlmsg_len = (uint32_t)(offsetof(typeof(request), bytes) + ip->len),
                 .nlmsg_type = RTM_GETROUTE,
                 .nlmsg_flags = NLM_F_REQUEST},
      .route = {.rtm_family = ip->family, .rtm_dst_len = (uint8_t)(ip->len * 8)},
      .destination = {.rta_len = (unsigned short)RTA_LENGTH(ip->len), .rta_type = RTA_DST},
  };
  memcpy(request.bytes, ip->bytes, ip->len);
  uint8_t bytes[NS_ANSWER_BYTES];
  ns_answer answer;
  struct rtmsg route;
  int result = ask(host, &request, request.header.nlmsg_len, bytes, &answer);
  if (result == -ENETUNREACH || result == -EHOSTUNREACH)
    return 0;
  if (result < 0)
    return result;
  if (answer.header.nlmsg_type != RTM_NEWROUTE || answer.len < sizeof route)
    return -EBADMSG;
  memcpy(&route, answer.payload, sizeof route);
  return route.rtm_type == RTN_LOCAL;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* Asks every millisecond until the answer is not 0; -ETIMEDOUT when it stays so. */
static int ask_until(int (*question)(const ns_host *host, const void *about), const ns_host *host,
                     const void *about, unsigned timeout_ms) {
  uint64_t deadline_ms = ns_now_ms() + timeout_ms;
  for (;;) {
    int result = question(host, about);
    if (result)
      return result < 0 ? result : 0;
    if (ns_now_ms() >= deadline_ms)
      return -ETIMEDOUT;
    poll(NULL, 0, 1);
  }
}

static int is_up(const ns_host *host, const void *ifindex) {
  link_state state;
  int result = query_link(host, *(const int *)ifindex, &state);
  return result < 0 ? result : state.operational == OPERATIONAL_UP;
}

int ns_link_wait(const ns_host *host, int index, unsigned timeout_ms, ns_error *error) {
  int result = ask_until(is_up, host, &index, timeout_ms);
  if (result < 0)
    return ns_fail(error, -result, "%s: interface %d is not up: %s", host->name, index,
                   strerror(-result));
  return 0;
}

static int is_local(const ns_host *host, const void *ip) {
  return query_local(host, ip);
}

int ns_address_wait(const ns_host *host, const char *ip, unsigned timeout_ms, ns_error *error) {
  ns_ip parsed;
  int result = -EINVAL;
  if (ns_parse_ip(ip, &parsed))
    result = ask_until(is_local, host, &parsed, timeout_ms);
  if (result < 0)
    return ns_fail(error, -result, "%s: address %s is not usable: %s", host->name, ip,
                   strerror(-result));
  return 0;
}
