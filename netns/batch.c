/*
 * Links, addresses, routes and neighbours by raw rtnetlink(7): requests are put together in one
 * buffer, and every one of them is acknowledged.
 */
#include "netns/netlink.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
  /* Requests sent at once: their acknowledgements must fit into the socket's receive buffer. */
  REQUESTS_AT_ONCE = 64,
  MAC_BYTES = 6
};

/* ---- putting requests together --------------------------------------------------------------- */

void ns_begin(ns_batch *batch, const ns_host *host) {
  batch->host = host;
  batch->len = 0;
  batch->count = 0;
  batch->overflow = false;
  batch->bad[0] = '\0';
}

/* Appends `len` bytes and zeros up to the next multiple of four. */
static void append(ns_batch *batch, const void *bytes, size_t len) {
  size_t padded = NLMSG_ALIGN(len);
  if (batch->overflow || padded > sizeof batch->bytes - batch->len) {
    batch->overflow = true;
    return;
  }
  if (len)
    memcpy(batch->bytes + batch->len, bytes, len);
  memset(batch->bytes + batch->len + len, 0, padded - len);
  batch->len += padded;
}

/* Starts a request and returns where it begins, for end_request. */
static size_t begin_request(ns_batch *batch, uint16_t type, unsigned flags, const void *body,
                            size_t body_len) {
  size_t start = batch->len;
  struct nlmsghdr header = {
      .nlmsg_type = type,
      .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags),
      .nlmsg_seq = ++batch->count,
  };
  append(batch, &header, sizeof header);
  append(batch, body, body_len);
  return start;
}

static void end_request(ns_batch *batch, size_t start) {
  uint32_t len = (uint32_t)(batch->len - start);
  if (!batch->overflow)
    memcpy(batch->bytes + start + offsetof(struct nlmsghdr, nlmsg_len), &len, sizeof len);
}

static void attribute(ns_batch *batch, unsigned short type, const void *value, size_t len) {
  struct rtattr header = {.rta_len = (unsigned short)(sizeof header + len), .rta_type = type};
  append(batch, &header, sizeof header);
  append(batch, value, len);
}

static void text_attribute(ns_batch *batch, unsigned short type, const char *text) {
  attribute(batch, type, text, strlen(text) + 1);
}

static void int_attribute(ns_batch *batch, unsigned short type, int value) {
  attribute(batch, type, &value, sizeof value);
}

static size_t begin_nest(ns_batch *batch, unsigned short type) {
  size_t start = batch->len;
  attribute(batch, type, NULL, 0);
  return start;
}

static void end_nest(ns_batch *batch, size_t start) {
  unsigned short len = (unsigned short)(batch->len - start);
  if (!batch->overflow)
    memcpy(batch->bytes + start + offsetof(struct rtattr, rta_len), &len, sizeof len);
}

static void remember_bad(ns_batch *batch, const char *text) {
  if (!batch->bad[0])
    snprintf(batch->bad, sizeof batch->bad, "%s", *text ? text : "(empty)");
}

/* An address of a request; a bad one spoils the batch. */
static bool understand(ns_batch *batch, const char *text, ns_ip *out) {
  if (ns_parse_ip(text, out))
    return true;
  remember_bad(batch, text);
  return false;
}

/* ---- the requests ---------------------------------------------------------------------------- */

static bool name_fits(ns_batch *batch, const char *name) {
  if (*name && strlen(name) < NS_IFNAME)
    return true;
  remember_bad(batch, name);
  return false;
}

void ns_add_veth(ns_batch *batch, const char *name, int index, const uint8_t *mac,
                 const ns_host *peer, const char *peer_name, int peer_index,
                 const uint8_t *peer_mac) {
  if (!name_fits(batch, name) || !name_fits(batch, peer_name))
    return;
  struct ifinfomsg here = {.ifi_index = index}, there = {.ifi_index = peer_index};
  size_t start = begin_request(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &here, sizeof here);
  text_attribute(batch, IFLA_IFNAME, name);
  if (mac)
    attribute(batch, IFLA_ADDRESS, mac, MAC_BYTES);
  size_t link_info = begin_nest(batch, IFLA_LINKINFO);
  text_attribute(batch, IFLA_INFO_KIND, "veth");
  size_t data = begin_nest(batch, IFLA_INFO_DATA);
  size_t other = begin_nest(batch, VETH_INFO_PEER);
  append(batch, &there, sizeof there);
  text_attribute(batch, IFLA_IFNAME, peer_name);
  if (peer_mac)
    attribute(batch, IFLA_ADDRESS, peer_mac, MAC_BYTES);
  int_attribute(batch, IFLA_NET_NS_FD, peer->ns_fd);
  end_nest(batch, other);
  end_nest(batch, data);
  end_nest(batch, link_info);
  end_request(batch, start);
}

void ns_add_up(ns_batch *batch, int index) {
  struct ifinfomsg link = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  end_request(batch, begin_request(batch, RTM_NEWLINK, 0, &link, sizeof link));
}

void ns_add_address(ns_batch *batch, int index, const char *ip) {
  ns_ip parsed;
  if (!understand(batch, ip, &parsed))
    return;
  struct ifaddrmsg address = {.ifa_family = parsed.family,
                              .ifa_prefixlen = parsed.prefix_len,
                              .ifa_flags = IFA_F_NODAD,
                              .ifa_index = (unsigned)index};
  size_t start =
      begin_request(batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address, sizeof address);
  attribute(batch, IFA_LOCAL, parsed.bytes, parsed.len);
  attribute(batch, IFA_ADDRESS, parsed.bytes, parsed.len);
  end_request(batch, start);
}

void ns_delete_address(ns_batch *batch, int index, const char *ip) {
  ns_ip parsed;
  if (!understand(batch, ip, &parsed))
    return;
  struct ifaddrmsg address = {.ifa_family = parsed.family,
                              .ifa_prefixlen = parsed.prefix_len,
                              .ifa_index = (unsigned)index};
  size_t start = begin_request(batch, RTM_DELADDR, 0, &address, sizeof address);
  attribute(batch, IFA_LOCAL, parsed.bytes, parsed.len);
  end_request(batch, start);
}

static void put_route(ns_batch *batch, unsigned flags, unsigned char table, const char *prefix,
                      const char *via, int index) {
  ns_ip to, gateway;
  if (!understand(batch, prefix, &to) || (via && !understand(batch, via, &gateway)))
    return;
  if (via && gateway.family != to.family) {
    remember_bad(batch, via);
    return;
  }
  struct rtmsg route = {
      .rtm_family = to.family,
      .rtm_dst_len = to.prefix_len,
      .rtm_table = table,
      .rtm_protocol = RTPROT_STATIC,
      .rtm_scope = via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
      .rtm_type = RTN_UNICAST,
  };
  size_t start = begin_request(batch, RTM_NEWROUTE, NLM_F_CREATE | flags, &route, sizeof route);
  if (to.prefix_len)
    attribute(batch, RTA_DST, to.bytes, to.len);
  if (via)
    attribute(batch, RTA_GATEWAY, gateway.bytes, gateway.len);
  int_attribute(batch, RTA_OIF, index);
  end_request(batch, start);
}

void ns_add_route(ns_batch *batch, const char *prefix, const char *via, int index) {
  put_route(batch, NLM_F_EXCL, RT_TABLE_MAIN, prefix, via, index);
}

void ns_put_route(ns_batch *batch, const char *prefix, const char *via, int index) {
  put_route(batch, NLM_F_REPLACE, RT_TABLE_MAIN, prefix, via, index);
}

void ns_add_source_route(ns_batch *batch, const char *from, const char *via, int index, int table) {
  ns_ip source;
  if (!understand(batch, from, &source))
    return;
  struct fib_rule_hdr rule = {.family = source.family,
                              .src_len = (uint8_t)(source.len * 8),
                              .table = (uint8_t)table,
                              .action = FR_ACT_TO_TBL};
  put_route(batch, NLM_F_EXCL, (unsigned char)table, source.len == 4 ? "0.0.0.0/0" : "::/0", via,
            index);
  size_t start = begin_request(batch, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, &rule, sizeof rule);
  attribute(batch, FRA_SRC, source.bytes, source.len);
  end_request(batch, start);
}

void ns_add_bridge(ns_batch *batch, const char *name, int index) {
  if (!name_fits(batch, name))
    return;
  struct ifinfomsg link = {.ifi_index = index};
  size_t start = begin_request(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof link);
  text_attribute(batch, IFLA_IFNAME, name);
  size_t link_info = begin_nest(batch, IFLA_LINKINFO);
  text_attribute(batch, IFLA_INFO_KIND, "bridge");
  end_nest(batch, link_info);
  end_request(batch, start);
}

void ns_add_master(ns_batch *batch, int index, int bridge_index) {
  struct ifinfomsg link = {.ifi_index = index};
  size_t start = begin_request(batch, RTM_NEWLINK, 0, &link, sizeof link);
  int_attribute(batch, IFLA_MASTER, bridge_index);
  end_request(batch, start);
}

void ns_add_neighbour(ns_batch *batch, const char *ip, const uint8_t *mac, int index) {
  ns_ip parsed;
  if (!understand(batch, ip, &parsed))
    return;
  struct ndmsg neighbour = {
      .ndm_family = parsed.family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT};
  size_t start = begin_request(batch, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &neighbour,
                               sizeof neighbour);
  attribute(batch, NDA_DST, parsed.bytes, parsed.len);
  attribute(batch, NDA_LLADDR, mac, MAC_BYTES);
  end_request(batch, start);
}

/* ---- netem ----------------------------------------------------------------------------------- */

/* TCA_NETEM_PRNG_SEED, which headers before Linux 6.7 do not have; such kernels pass over it. */
enum { NETEM_PRNG_SEED = 14 };

/* The kernel's probabilities are parts of 2^32 - 1. */
static uint32_t probability(double part) {
  if (!(part > 0)) /* also when it is not a number */
    return 0;
  return part < 1 ? (uint32_t)(part * UINT32_MAX + 0.5) : UINT32_MAX;
}

static int64_t nanoseconds(double ms) {
  return ms > 0 ? (int64_t)(ms * 1e6 + 0.5) : 0;
}

/* Packets that netem holds: those under way, and with a limited rate what NS_RATE_QUEUE_MS of full
 * packets makes. */
static uint32_t netem_limit(const ns_impairment *what) {
  enum { FULL_PACKET = 1514 };
  if (!(what->rate_mbit > 0))
    return NS_SWITCH_QUEUE;
  double ms = what->delay_ms + what->jitter_ms + NS_RATE_QUEUE_MS;
  double packets = ms * what->rate_mbit * 1000 / (8 * FULL_PACKET) + 1;
  return packets < NS_SWITCH_QUEUE ? (uint32_t)packets : NS_SWITCH_QUEUE;
}

void ns_add_netem(ns_batch *batch, int index, const ns_impairment *what, uint64_t seed) {
  struct tcmsg at = {.tcm_ifindex = index, .tcm_parent = TC_H_ROOT};
  /* Times in this structure are ticks of the packet scheduler; the 64-bit attributes take
   * nanoseconds and stand for them. A gap of 1 makes every packet one that may overtake. */
  struct tc_netem_qopt options = {.limit = netem_limit(what),
                                  .loss = probability(what->loss),
                                  .gap = what->reorder > 0,
                                  .duplicate = probability(what->duplicate)};
  struct tc_netem_reorder reorder = {.probability = probability(what->reorder)};
  struct tc_netem_rate rate = {.rate = 0}; /* bytes a second; RATE64 is needed from 2^32 on */
  double bytes = what->rate_mbit > 0 ? what->rate_mbit * 1e6 / 8 : 0;
  int64_t delay_ns = nanoseconds(what->delay_ms), jitter_ns = nanoseconds(what->jitter_ms);
  uint64_t rate64 = (uint64_t)bytes;
  rate.rate = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
  size_t start = begin_request(batch, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &at, sizeof at);
  text_attribute(batch, TCA_KIND, "netem");
  size_t nest = begin_nest(batch, TCA_OPTIONS);
  append(batch, &options, sizeof options);
  attribute(batch, TCA_NETEM_LATENCY64, &delay_ns, sizeof delay_ns);
  attribute(batch, TCA_NETEM_JITTER64, &jitter_ns, sizeof jitter_ns);
  if (what->reorder > 0)
    attribute(batch, TCA_NETEM_REORDER, &reorder, sizeof reorder);
  if (rate64 > UINT32_MAX)
    attribute(batch, TCA_NETEM_RATE64, &rate64, sizeof rate64);
  if (rate64)
    attribute(batch, TCA_NETEM_RATE, &rate, sizeof rate);
  attribute(batch, NETEM_PRNG_SEED, &seed, sizeof seed);
  end_nest(batch, nest);
  end_request(batch, start);
}

int ns_netem(const ns_host *host, int index, const ns_impairment *what, uint64_t seed,
             ns_error *error) {
  ns_batch batch;
  ns_begin(&batch, host);
  ns_add_netem(&batch, index, what, seed);
  int result = ns_commit(&batch, error);
  if (result == -ENOENT) /* "Specified qdisc kind is unknown" */
    return ns_fail(error, EOPNOTSUPP,
                   "the kernel has no netem: load or build sch_netem (CONFIG_NET_SCH_NETEM), or "
                   "take the built-in link");
  return result;
}

/* ---- sending and reading answers ------------------------------------------------------------- */

static const char *request_name(uint16_t type) {
  switch (type) {
  case RTM_NEWLINK:
    return "link";
  case RTM_NEWADDR:
    return "address";
  case RTM_DELADDR:
    return "removal of an address";
  case RTM_NEWROUTE:
    return "route";
  case RTM_NEWRULE:
    return "routing rule";
  case RTM_NEWNEIGH:
    return "neighbour";
  case RTM_NEWQDISC:
    return "netem";
  default:
    return "request";
  }
}

/* An acknowledgement: 0, or the negative errno it carries, put into words. The original request's
 * header follows the error number, then come attributes with the kernel's explanation. */
static int read_ack(const ns_batch *batch, const ns_answer *ack, ns_error *error) {
  struct nlmsgerr body;
  if (ack->len < sizeof body)
    return ns_fail(error, EBADMSG, "%s: a short netlink answer", batch->host->name);
  memcpy(&body, ack->payload, sizeof body);
  if (body.error == 0)
    return 0;
  size_t words_len = 0;
  const uint8_t *words = NULL;
  if (ack->header.nlmsg_flags & NLM_F_ACK_TLVS)
    words = ns_find_attribute(ack->payload + sizeof body, ack->len - sizeof body, NLMSGERR_ATTR_MSG,
                              &words_len);
  return ns_fail(error, -body.error, "%s: %s (message %u of %u) refused: %s%s%.*s",
                 batch->host->name, request_name(body.msg.nlmsg_type), body.msg.nlmsg_seq,
                 batch->count, strerror(-body.error), words ? ": " : "", (int)words_len,
                 words ? (const char *)words : "");
}

/* Reads acknowledgements until `count` of them came; keeps the first failure. */
static int read_acks(const ns_batch *batch, unsigned count, ns_error *error) {
  int result = 0;
  for (unsigned seen = 0; seen < count;) {
    uint8_t bytes[NS_ANSWER_BYTES];
    ssize_t got = ns_netlink_receive(batch->host->netlink_fd, bytes, sizeof bytes);
    if (got < 0)
      return ns_fail(error, errno, "%s: netlink: %s", batch->host->name, strerror(errno));
    size_t at = 0;
    ns_answer ack;
    while (ns_next_answer(bytes, (size_t)got, &at, &ack)) {
      if (ack.header.nlmsg_type != NLMSG_ERROR)
        continue;
      seen++;
      int one = read_ack(batch, &ack, result == 0 ? error : NULL);
      if (result == 0)
        result = one;
    }
  }
  return result;
}

/* The end of a slice of at most REQUESTS_AT_ONCE requests from `start` on. */
static size_t slice_end(const ns_batch *batch, size_t start, unsigned *count) {
  size_t at = start;
  ns_answer request;
  *count = 0;
  while (*count < REQUESTS_AT_ONCE && ns_next_answer(batch->bytes, batch->len, &at, &request))
    ++*count;
  return at;
}

static int send_slices(const ns_batch *batch, ns_error *error) {
  int result = 0;
  for (size_t start = 0; start < batch->len;) {
    unsigned count;
    size_t end = slice_end(batch, start, &count);
    if (ns_netlink_send(batch->host->netlink_fd, batch->bytes + start, end - start) < 0)
      return ns_fail(error, errno, "%s: netlink: %s", batch->host->name, strerror(errno));
    int one = read_acks(batch, count, result == 0 ? error : NULL);
    if (result == 0)
      result = one;
    start = end;
  }
  return result;
}

int ns_commit(ns_batch *batch, ns_error *error) {
  int result;
  if (batch->overflow)
    result = ns_fail(error, EMSGSIZE, "%s: more netlink messages than fit into one batch",
                     batch->host->name);
  else if (batch->bad[0])
    result = ns_fail(error, EINVAL, "%s: \"%s\" is no valid address or interface name",
                     batch->host->name, batch->bad);
  else
    result = send_slices(batch, error);
  ns_begin(batch, batch->host);
  return result;
}
