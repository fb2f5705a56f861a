/* Rules made of kernel expressions: draw a port, pass on when it is taken, else translate to it. */
#include "natsim/rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h> /* libnftnl/expr.h uses FILE without including it */
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <libnftnl/batch.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>

/* Registers: the key of the set `used` is (protocol, port), each in a 32-bit register; the hash
 * reads KEY and those after it. */
enum {
  REG_PROTOCOL = NFT_REG32_00,
  REG_PORT = NFT_REG32_01,
  REG_ADDRESS = NFT_REG32_02,
  REG_KEY = NFT_REG32_04,
};

/* A rule under construction; `failed` collects allocation failures. */
typedef struct builder {
  struct nftnl_rule *rule;
  bool failed;
} builder;

static struct nftnl_expr *add(builder *b, const char *kind) {
  struct nftnl_expr *expr = b->rule ? nftnl_expr_alloc(kind) : NULL;
  if (expr)
    nftnl_rule_add_expr(b->rule, expr);
  else
    b->failed = true;
  return expr;
}

static void add_payload(builder *b, uint32_t reg, uint32_t base, size_t offset, uint32_t len) {
  struct nftnl_expr *e = add(b, "payload");
  if (!e)
    return;
  nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
  nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
  nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, (uint32_t)offset);
  nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
}

/* Only packets of this protocol go on; their protocol number stays in REG_PROTOCOL. */
static void add_protocol(builder *b, uint8_t protocol) {
  struct nftnl_expr *e = add(b, "meta");
  if (e) {
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, NFT_META_L4PROTO);
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, REG_PROTOCOL);
  }
  e = add(b, "cmp");
  if (e) {
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, REG_PROTOCOL);
    nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
    nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, &protocol, sizeof protocol);
  }
}

/* REG_PORT = a seeded hash of what the mapping depends on, within the range. */
static void add_hash(builder *b, const sim_nat *nat, const sim_draw *draw, uint32_t seed) {
  enum { SADDR = 12, DADDR = 16 }; /* in the IPv4 header */
  uint32_t reg = REG_KEY;
  add_payload(b, reg++, NFT_PAYLOAD_NETWORK_HEADER, SADDR, 4);
  add_payload(b, reg++, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2);
  if (nat->map != SIM_EI)
    add_payload(b, reg++, NFT_PAYLOAD_NETWORK_HEADER, DADDR, 4);
  if (nat->map == SIM_APD)
    add_payload(b, reg++, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
  struct nftnl_expr *e = add(b, "hash");
  if (!e)
    return;
  nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_TYPE, NFT_HASH_JENKINS);
  nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_SREG, REG_KEY);
  nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_LEN, (reg - REG_KEY) * 4);
  nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_DREG, REG_PORT);
  nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_MODULUS, draw->count);
  nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_OFFSET, draw->first);
  nftnl_expr_set_u32(e, NFTNL_EXPR_HASH_SEED, seed);
}

/* REG_PORT = the next number of the sequence. */
static void add_counter(builder *b, const sim_draw *draw) {
  struct nftnl_expr *e = add(b, "numgen");
  if (!e)
    return;
  nftnl_expr_set_u32(e, NFTNL_EXPR_NG_DREG, REG_PORT);
  nftnl_expr_set_u32(e, NFTNL_EXPR_NG_TYPE, NFT_NG_INCREMENTAL);
  nftnl_expr_set_u32(e, NFTNL_EXPR_NG_MODULUS, draw->count);
  nftnl_expr_set_u32(e, NFTNL_EXPR_NG_OFFSET, draw->steps ? 0 : draw->first);
}

/* Makes the number in REG_PORT a port in network byte order. */
static void add_to_port(builder *b, const sim_draw *draw) {
  if (draw->steps) {
    struct nftnl_expr *e = add(b, "lookup");
    if (!e)
      return;
    nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, SIM_NFT_STEPS);
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, REG_PORT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, REG_PORT);
    return;
  }
  struct nftnl_expr *e = add(b, "byteorder");
  if (!e)
    return;
  nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_SREG, REG_PORT);
  nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_DREG, REG_PORT);
  nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON);
  nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_LEN, 2);
  nftnl_expr_set_u32(e, NFTNL_EXPR_BYTEORDER_SIZE, 2);
}

/* Goes on only when (REG_PROTOCOL, REG_PORT) is free, and translates to it: a clash would make the
 * kernel drop the second flow without a word. */
static void add_translate_if_free(builder *b, const char *wan_ip) {
  struct nftnl_expr *e = add(b, "lookup");
  if (e) {
    nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, SIM_NFT_USED);
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, REG_PROTOCOL);
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
  }
  struct in_addr address;
  b->failed |= inet_pton(AF_INET, wan_ip, &address) != 1;
  e = add(b, "immediate");
  if (e) {
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, REG_ADDRESS);
    nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, &address, sizeof address);
  }
  e = add(b, "nat");
  if (e) {
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, NFT_NAT_SNAT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, REG_ADDRESS);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, REG_PORT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
  }
}

/* ---- the batch ------------------------------------------------------------------------------- */

/* A dozen rules of some 600 bytes each at most. */
typedef struct batch {
  char bytes[16384];
  size_t len;
  uint32_t rules; /* each is acknowledged */
} batch;

static void put_rule(batch *out, const builder *b, const char *chain) {
  nftnl_rule_set_str(b->rule, NFTNL_RULE_TABLE, SIM_NFT_TABLE);
  nftnl_rule_set_str(b->rule, NFTNL_RULE_CHAIN, chain);
  nftnl_rule_set_u32(b->rule, NFTNL_RULE_FAMILY, NFPROTO_IPV4);
  struct nlmsghdr *header =
      nftnl_nlmsg_build_hdr(out->bytes + out->len, NFT_MSG_NEWRULE, NFPROTO_IPV4,
                            NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, ++out->rules);
  nftnl_rule_nlmsg_build_payload(header, b->rule);
  out->len += header->nlmsg_len;
}

/* What the rules of one load have in common. */
typedef struct load {
  const sim_nat *nat;
  const char *wan_ip;
  batch out;
} load;

static int put_draw(load *l, const char *chain, const sim_draw *draw, uint8_t protocol,
                    uint32_t seed) {
  builder b = {.rule = nftnl_rule_alloc()};
  add_protocol(&b, protocol);
  if (draw->sequential)
    add_counter(&b, draw);
  else
    add_hash(&b, l->nat, draw, seed);
  add_to_port(&b, draw);
  add_translate_if_free(&b, l->wan_ip);
  int status = !b.rule || b.failed ? -ENOMEM : 0;
  if (!status)
    put_rule(&l->out, &b, chain);
  if (b.rule)
    nftnl_rule_free(b.rule);
  return status;
}

/* The batch's begin and end are not acknowledged, the rules are. */
static int send_batch(int fd, const batch *out) {
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  if (sendto(fd, out->bytes, out->len, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
    return -errno;
  union {
    struct nlmsghdr header;
    char bytes[8192];
  } reply;
  for (uint32_t seen = 0; seen < out->rules;) {
    ssize_t got = recv(fd, &reply, sizeof reply, 0);
    if (got < 0)
      return -errno;
    size_t left = (size_t)got;
    for (struct nlmsghdr *h = &reply.header; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
      const struct nlmsgerr *answer = NLMSG_DATA(h);
      if (h->nlmsg_type != NLMSG_ERROR)
        continue;
      if (answer->error)
        return answer->error;
      seen++;
    }
  }
  return 0;
}

static int commit(const ns_host *router, const batch *out) {
  int status = ns_enter(router);
  if (status)
    return status;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  status = fd < 0 ? -errno : 0;
  ns_leave();
  if (fd >= 0) {
    struct timeval limit = {.tv_sec = 5}; /* the kernel answers at once or not at all */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    status = send_batch(fd, out);
    close(fd);
  }
  return status;
}

int sim_draw_load(const ns_host *router, const sim_nat *nat, const char *wan_ip,
                  const sim_draw *draw, ns_error *error) {
  static const uint8_t protocols[] = {IPPROTO_UDP, IPPROTO_TCP};
  sim_draw walk = {.sequential = true,
                   .first = nat->port_low,
                   .count = (uint32_t)(nat->port_high - nat->port_low) + 1};
  load l = {.nat = nat, .wan_ip = wan_ip};
  l.out.len = nftnl_batch_begin(l.out.bytes, 0)->nlmsg_len;
  int status = 0;
  for (size_t p = 0; !status && p < sizeof protocols; p++) {
    for (int i = 0; !status && i < (draw->sequential ? 1 : SIM_RANDOM_DRAWS); i++)
      status = put_draw(&l, SIM_NFT_ALLOCATE, draw, protocols[p], draw->seeds[i]);
    if (!status)
      status = put_draw(&l, SIM_NFT_WALK, &walk, protocols[p], 0);
  }
  l.out.len += nftnl_batch_end(l.out.bytes + l.out.len, l.out.rules + 1)->nlmsg_len;
  if (!status)
    status = commit(router, &l.out);
  if (status)
    return sim_fail(error, status, "%s: port allocation rules: %s", router->name,
                    strerror(-status));
  return 0;
}
