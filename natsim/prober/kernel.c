#include "natsim/prober/kernel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>

#include <nftables/libnftables.h>

static void take_set(sim_lifetimes *out, unsigned seconds) {
  if (!seconds)
    return; /* it never ends: a table of constants */
  if (!out->shortest_set_s || seconds < out->shortest_set_s)
    out->shortest_set_s = seconds;
  if (seconds > out->longest_set_s)
    out->longest_set_s = seconds;
}

/* ---- the connection tracker ------------------------------------------------------------------ */

/* The value of an attribute (nested ones have a flag in their type), or NULL. */
static const uint8_t *find(const uint8_t *at, size_t len, int type, size_t *value_len) {
  struct nlattr attr;
  while (len >= sizeof attr) {
    memcpy(&attr, at, sizeof attr);
    if (attr.nla_len < sizeof attr || attr.nla_len > len)
      return NULL;
    if ((attr.nla_type & NLA_TYPE_MASK) == type) {
      *value_len = attr.nla_len - sizeof attr;
      return at + sizeof attr;
    }
    size_t step = NLA_ALIGN(attr.nla_len);
    if (step >= len)
      return NULL;
    at += step;
    len -= step;
  }
  return NULL;
}

/* The value at the end of a path of nested attributes, ended by 0; NULL. */
static const uint8_t *find_path(const uint8_t *at, size_t len, const int *path, size_t *value_len) {
  for (; at && *path; path++) {
    at = find(at, len, *path, value_len);
    len = *value_len;
  }
  return at;
}

static void read_flow(const uint8_t *at, size_t len, int protocol, sim_lifetimes *out) {
  static const int protocol_path[] = {CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_NUM, 0};
  static const int timeout_path[] = {CTA_TIMEOUT, 0};
  static const int state_path[] = {CTA_PROTOINFO, CTA_PROTOINFO_TCP, CTA_PROTOINFO_TCP_STATE, 0};
  size_t size = 0;
  const uint8_t *value = find_path(at, len, protocol_path, &size);
  if (!value || !size || *value != protocol)
    return;
  value = find_path(at, len, state_path, &size);
  if (protocol == IPPROTO_TCP && (!value || !size || *value != TCP_CONNTRACK_ESTABLISHED))
    return;
  uint32_t left_s;
  value = find_path(at, len, timeout_path, &size);
  if (!value || size < sizeof left_s)
    return;
  memcpy(&left_s, value, sizeof left_s);
  if (ntohl(left_s) > out->flow_s)
    out->flow_s = ntohl(left_s);
}

static int read_dump(int fd, int protocol, sim_lifetimes *out) {
  static uint8_t bytes[65536];
  for (;;) {
    ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    if (got < 0)
      return -errno;
    size_t left = (size_t)got, head = NLMSG_ALIGN(sizeof(struct nfgenmsg));
    for (struct nlmsghdr *h = (struct nlmsghdr *)bytes; NLMSG_OK(h, left);
         h = NLMSG_NEXT(h, left)) {
      if (h->nlmsg_type == NLMSG_DONE)
        return 0;
      if (h->nlmsg_type == NLMSG_ERROR)
        return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
      size_t len = NLMSG_PAYLOAD(h, 0);
      if (len > head)
        read_flow((const uint8_t *)NLMSG_DATA(h) + head, len - head, protocol, out);
    }
  }
}

static int ask_conntrack(int fd, int family, int protocol, sim_lifetimes *out) {
  struct {
    struct nlmsghdr header;
    struct nfgenmsg body;
  } request = {.header = {.nlmsg_len = sizeof request,
                          .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
               .body = {.nfgen_family = (uint8_t)family, .version = NFNETLINK_V0}};
  struct timeval limit = {.tv_sec = 5}; /* the kernel answers at once or not at all */
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (send(fd, &request, sizeof request, 0) < 0)
    return -errno;
  return read_dump(fd, protocol, out);
}

/* ---- nftables sets --------------------------------------------------------------------------- */

static bool has_address(const json_t *concat) {
  size_t i;
  json_t *part;
  json_array_foreach(concat, i, part) {
    const char *text = json_string_value(part);
    if (text && strpbrk(text, ".:"))
      return true;
  }
  return false;
}

/* An element is {"elem":{"val":{"concat":["udp",...]},"timeout":S}}, in a map the first of a pair;
 * without `timeout` it has the set's. Ports alone, without anybody's address, are no mapping. */
static void read_element(const json_t *json, unsigned usual_s, const char *protocol,
                         sim_lifetimes *out) {
  const json_t *value = json_object_get(json_array_get(json, 1), "concat");
  const json_t *elem =
      json_object_get(json_is_array(json) ? json_array_get(json, 0) : json, "elem");
  const json_t *key = json_object_get(json_object_get(elem, "val"), "concat");
  const json_t *timeout = json_object_get(elem, "timeout");
  const char *first = json_string_value(json_array_get(key, 0));
  if (first && !strcmp(first, protocol) && (has_address(key) || has_address(value)))
    take_set(out, timeout ? (unsigned)json_integer_value(timeout) : usual_s);
}

/* {"nftables":[{"map":{"timeout":S,"elem":[...]}},...]}, or `set` in place of `map`. */
static void read_sets(const json_t *listing, const char *protocol, sim_lifetimes *out) {
  size_t i, e;
  json_t *item, *element;
  json_array_foreach(json_object_get(listing, "nftables"), i, item) {
    const json_t *set = json_object_get(item, "map");
    set = set ? set : json_object_get(item, "set");
    unsigned usual_s = (unsigned)json_integer_value(json_object_get(set, "timeout"));
    json_array_foreach(json_object_get(set, "elem"), e, element)
        read_element(element, usual_s, protocol, out);
  }
}

static int ask_nftables(const char *command, const char *protocol, sim_lifetimes *out) {
  struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
  if (!context)
    return -ENOMEM;
  nft_ctx_output_set_flags(context, NFT_CTX_OUTPUT_JSON);
  nft_ctx_buffer_output(context);
  nft_ctx_buffer_error(context);
  int status = nft_run_cmd_from_buffer(context, command) ? -EBADMSG : 0;
  json_t *listing = status ? NULL : json_loads(nft_ctx_get_output_buffer(context), 0, NULL);
  if (listing)
    read_sets(listing, protocol, out);
  json_decref(listing);
  nft_ctx_free(context);
  return status;
}

/* ---- both ------------------------------------------------------------------------------------ */

int sim_kernel_lifetimes(const ns_host *router, int family, int protocol, sim_lifetimes *out,
                         ns_error *error) {
  int status = ns_enter(router);
  if (status)
    return sim_fail(error, status, "%s: cannot enter: %s", router->name, strerror(-status));
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  status = fd < 0 ? -errno : ask_conntrack(fd, family, protocol, out);
  if (fd >= 0)
    close(fd);
  const char *name = protocol == IPPROTO_UDP ? "udp" : "tcp";
  if (!status)
    status = ask_nftables("list maps", name, out);
  if (!status)
    status = ask_nftables("list sets", name, out);
  ns_leave();
  return status ? sim_fail(error, status, "%s: cannot read its tables: %s", router->name,
                           strerror(-status))
                : 0;
}
