/*
 * Links, addresses, routes and neighbours by raw rtnetlink(7): requests are put together in one
 * buffer, and every one of them is acknowledged.
 */
#include "netns/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
  /* Requests sent at once: their acknowledgements must fit into the socket's receive buffer. */
  REQUESTS_AT_ONCE = 64,
  /* The longest answer is that to RTM_GETLINK, some 2 KiB. */
  ANSWER_BYTES = 32768,
  MAC_BYTES = 6
};

/* An address from text, as it goes into attributes. */
typedef struct parsed_ip {
  uint8_t family;
  uint8_t prefix_len;
  uint8_t len;
  uint8_t bytes[16];
} parsed_ip;

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

/* "192.0.2.1/24" or "2001:db8::1/64"; without a prefix it is that of one address. */
static bool parse_ip(ns_batch *batch, const char *text, parsed_ip *out) {
  char address[INET6_ADDRSTRLEN];
  size_t len = strcspn(text, "/");
  memset(out, 0, sizeof *out);
  if (len < sizeof address) {
    memcpy(address, text, len);
    address[len] = '\0';
    out->family = strchr(address, ':') ? AF_INET6 : AF_INET;
    out->len = out->family == AF_INET6 ? 16 : 4;
    long bits = out->len * 8;
    char *end = NULL;
    if (text[len] == '/')
      bits = strtol(text + len + 1, &end, 10);
    bool prefix_ok = !end || (end != text + len + 1 && !*end && bits >= 0 && bits <= out->len * 8);
    if (prefix_ok && inet_pton(out->family, address, out->bytes) == 1) {
      out->prefix_len = (uint8_t)bits;
      return true;
    }
  }
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
  parsed_ip parsed;
  if (!parse_ip(batch, ip, &parsed))
    return;
  struct ifaddrmsg address = {.ifa_family = parsed.family,
                              .ifa_prefixlen = parsed.prefix_len,
                              .ifa_index = (unsigned)index};
  size_t start =
      begin_request(batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address, sizeof address);
  attribute(batch, IFA_LOCAL, parsed.bytes, parsed.len);
  attribute(batch, IFA_ADDRESS, parsed.bytes, parsed.len);
  end_request(batch, start);
}

void ns_add_route(ns_batch *batch, const char *prefix, const char *via, int index) {
  parsed_ip to, gateway;
  if (!parse_ip(batch, prefix, &to) || (via && !parse_ip(batch, via, &gateway)))
    return;
  if (via && gateway.family != to.family) {
    remember_bad(batch, via);
    return;
  }
  struct rtmsg route = {
      .rtm_family = to.family,
      .rtm_dst_len = to.prefix_len,
      .rtm_table = RT_TABLE_MAIN,
      .rtm_protocol = RTPROT_STATIC,
      .rtm_scope = via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
      .rtm_type = RTN_UNICAST,
  };
  size_t start =
      begin_request(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route, sizeof route);
  if (to.prefix_len)
    attribute(batch, RTA_DST, to.bytes, to.len);
  if (via)
    attribute(batch, RTA_GATEWAY, gateway.bytes, gateway.len);
  int_attribute(batch, RTA_OIF, index);
  end_request(batch, start);
}

void ns_add_neighbour(ns_batch *batch, const char *ip, const uint8_t *mac, int index) {
  parsed_ip parsed;
  if (!parse_ip(batch, ip, &parsed))
    return;
  struct ndmsg neighbour = {
      .ndm_family = parsed.family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT};
  size_t start = begin_request(batch, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &neighbour,
                               sizeof neighbour);
  attribute(batch, NDA_DST, parsed.bytes, parsed.len);
  attribute(batch, NDA_LLADDR, mac, MAC_BYTES);
  end_request(batch, start);
}

/* ---- sending and reading answers ------------------------------------------------------------- */

/* One message of an answer. `payload` points behind its header. */
typedef struct answer {
  struct nlmsghdr header;
  const uint8_t *payload;
  size_t len;
} answer;

static bool next_answer(const uint8_t *bytes, size_t len, size_t *at, answer *out) {
  if (*at > len || len - *at < sizeof out->header)
    return false;
  memcpy(&out->header, bytes + *at, sizeof out->header);
  size_t whole = out->header.nlmsg_len;
  if (whole < sizeof out->header || whole > len - *at)
    return false;
  out->payload = bytes + *at + sizeof out->header;
  out->len = whole - sizeof out->header;
  *at += NLMSG_ALIGN(whole);
  return true;
}

/* Finds an attribute among `len` bytes of them. */
static const uint8_t *find_attribute(const uint8_t *bytes, size_t len, unsigned short type,
                                     size_t *value_len) {
  struct rtattr header;
  while (len >= sizeof header) {
    memcpy(&header, bytes, sizeof header);
    if (header.rta_len < sizeof header || header.rta_len > len)
      break;
    if ((header.rta_type & NLA_TYPE_MASK) == type) {
      *value_len = header.rta_len - sizeof header;
      return bytes + sizeof header;
    }
    size_t step = RTA_ALIGN(header.rta_len);
    if (step > len)
      break;
    bytes += step;
    len -= step;
  }
  return NULL;
}

static ssize_t send_all(int fd, const void *bytes, size_t len) {
  ssize_t sent;
  do
    sent = send(fd, bytes, len, 0);
  while (sent < 0 && errno == EINTR);
  return sent;
}

static ssize_t receive(int fd, void *bytes, size_t size) {
  ssize_t got;
  do
    got = recv(fd, bytes, size, 0);
  while (got < 0 && errno == EINTR);
  return got;
}

static const char *request_name(uint16_t type) {
  switch (type) {
  case RTM_NEWLINK:
    return "link";
  case RTM_NEWADDR:
    return "address";
  case RTM_NEWROUTE:
    return "route";
  case RTM_NEWNEIGH:
    return "neighbour";
  default:
    return "request";
  }
}

/* An acknowledgement: 0, or the negative errno it carries, put into words. The original request's
 * header follows the error number, then come attributes with the kernel's explanation. */
static int read_ack(const ns_batch *batch, const answer *ack, ns_error *error) {
  struct nlmsgerr body;
  if (ack->len < sizeof body)
    return ns_fail(error, EBADMSG, "%s: a short netlink answer", batch->host->name);
  memcpy(&body, ack->payload, sizeof body);
  if (body.error == 0)
    return 0;
  size_t words_len = 0;
  const uint8_t *words = NULL;
  if (ack->header.nlmsg_flags & NLM_F_ACK_TLVS)
    words = find_attribute(ack->payload + sizeof body, ack->len - sizeof body, NLMSGERR_ATTR_MSG,
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
    uint8_t bytes[ANSWER_BYTES];
    ssize_t got = receive(batch->host->netlink_fd, bytes, sizeof bytes);
    if (got < 0)
      return ns_fail(error, errno, "%s: netlink: %s", batch->host->name, strerror(errno));
    size_t at = 0;
    answer ack;
    while (next_answer(bytes, (size_t)got, &at, &ack)) {
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
  answer request;
  *count = 0;
  while (*count < REQUESTS_AT_ONCE && next_answer(batch->bytes, batch->len, &at, &request))
    ++*count;
  return at;
}

static int send_slices(const ns_batch *batch, ns_error *error) {
  int result = 0;
  for (size_t start = 0; start < batch->len;) {
    unsigned count;
    size_t end = slice_end(batch, start, &count);
    if (send_all(batch->host->netlink_fd, batch->bytes + start, end - start) < 0)
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

/* ---- what an interface says ------------------------------------------------------------------ */

typedef struct link_state {
  uint64_t tx_packets;
  uint8_t operational; /* RFC 2863 ifOperStatus, IF_OPER_* */
} link_state;

enum { OPERATIONAL_UP = 6 }; /* IF_OPER_UP of <linux/if.h>, which does not go with <net/if.h> */

static int read_link(const answer *got, link_state *out) {
  if (got->header.nlmsg_type != RTM_NEWLINK || got->len < NLMSG_ALIGN(sizeof(struct ifinfomsg)))
    return -EBADMSG;
  const uint8_t *attributes = got->payload + NLMSG_ALIGN(sizeof(struct ifinfomsg));
  size_t len = got->len - NLMSG_ALIGN(sizeof(struct ifinfomsg)), value_len;
  struct rtnl_link_stats64 stats;
  const uint8_t *value = find_attribute(attributes, len, IFLA_STATS64, &value_len);
  if (!value || value_len < offsetof(struct rtnl_link_stats64, rx_bytes))
    return -EBADMSG;
  memset(&stats, 0, sizeof stats);
  memcpy(&stats, value, value_len < sizeof stats ? value_len : sizeof stats);
  value = find_attribute(attributes, len, IFLA_OPERSTATE, &value_len);
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
  uint8_t bytes[ANSWER_BYTES];
  if (send_all(host->netlink_fd, &request, sizeof request) < 0)
    return -errno;
  ssize_t got = receive(host->netlink_fd, bytes, sizeof bytes);
  if (got < 0)
    return -errno;
  size_t at = 0;
  answer first;
  if (!next_answer(bytes, (size_t)got, &at, &first))
    return -EBADMSG;
  if (first.header.nlmsg_type == NLMSG_ERROR && first.len >= sizeof(int)) {
    int err;
    memcpy(&err, first.payload, sizeof err);
    return err < 0 ? err : -EBADMSG;
  }
  return read_link(&first, out);
}

int ns_tx_packets(const ns_host *host, int ifindex, uint64_t *out) {
  link_state state;
  int result = query_link(host, ifindex, &state);
  if (result == 0)
    *out = state.tx_packets;
  return result;
}

int ns_link_wait(const ns_host *host, int index, unsigned timeout_ms, ns_error *error) {
  uint64_t deadline_ms = ns_now_ms() + timeout_ms;
  for (;;) {
    link_state state;
    int result = query_link(host, index, &state);
    if (result < 0)
      return ns_fail(error, -result, "%s: interface %d: %s", host->name, index, strerror(-result));
    if (state.operational == OPERATIONAL_UP)
      return 0;
    if (ns_now_ms() >= deadline_ms)
      return ns_fail(error, ETIMEDOUT, "%s: interface %d is not up after %u ms", host->name, index,
                     timeout_ms);
    poll(NULL, 0, 1);
  }
}
