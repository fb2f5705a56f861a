/* Asks the kernel by which router a packet from an address would leave (rtnetlink), which holds for
 * every interface and routing table. */
#include "driver_uv/router.h"

#include "base/addr.h"
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_LEN = 4096 };

typedef struct question {
  struct nlmsghdr header;
  struct rtmsg route;
  uint8_t attributes[64];
} question;

static void put(question *q, unsigned short type, const void *data, unsigned short len) {
  struct rtattr *attribute = (struct rtattr *)(void *)((uint8_t *)q + q->header.nlmsg_len);
  attribute->rta_type = type;
  attribute->rta_len = (unsigned short)RTA_LENGTH(len);
  memcpy(RTA_DATA(attribute), data, len);
  q->header.nlmsg_len += RTA_SPACE(len);
}

/* The index of the interface that has the address; 0: none. */
static int interface_of(const warp_addr *local) {
  struct ifaddrs *list;
  int index = 0;
  if (getifaddrs(&list) != 0) {
    return 0;
  }
  for (const struct ifaddrs *item = list; item != NULL && index == 0; item = item->ifa_next) {
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)item->ifa_addr;
    if (in != NULL && in->sin_family == AF_INET && memcmp(&in->sin_addr, local->ip, 4) == 0) {
      index = (int)if_nametoindex(item->ifa_name);
    }
  }
  freeifaddrs(list);
  return index;
}

static bool take_gateway(const uint8_t *bytes, size_t len, warp_addr *out) {
  const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)bytes;
  if (!NLMSG_OK(header, len) || header->nlmsg_type != RTM_NEWROUTE ||
      header->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg))) {
    return false;
  }
  const struct rtmsg *route = NLMSG_DATA(header);
  unsigned left = (unsigned)RTM_PAYLOAD(header);
  for (const struct rtattr *item = RTM_RTA(route); RTA_OK(item, left);
       item = RTA_NEXT(item, left)) {
    if (item->rta_type == RTA_GATEWAY && RTA_PAYLOAD(item) == 4) {
      *out = (warp_addr){.family = WARP_IP4};
      memcpy(out->ip, RTA_DATA(item), 4);
      return true;
    }
  }
  return false;
}

static bool ask(int fd, const warp_addr *local, int index, const warp_addr *to, warp_addr *out) {
  question q = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
                           .nlmsg_type = RTM_GETROUTE,
                           .nlmsg_flags = NLM_F_REQUEST},
                .route = {.rtm_family = AF_INET, .rtm_src_len = 32, .rtm_dst_len = 32}};
  put(&q, RTA_DST, to->ip, 4);
  put(&q, RTA_SRC, local->ip, 4);
  put(&q, RTA_OIF, &index, sizeof index);
  _Alignas(struct nlmsghdr) uint8_t answer[ANSWER_LEN];
  ssize_t len = send(fd, &q, q.header.nlmsg_len, 0);
  len =
      len < 0 ? len : recv(fd, answer, sizeof answer, 0); /* the kernel answers before it returns */
  return len > 0 && take_gateway(answer, (size_t)len, out);
}

int wg_router_gateway(const warp_addr *local, warp_addr *out) {
  /* Nobody's addresses (RFC 5737); several, because a laboratory may stand on one of the ranges. */
  static const char *const far[] = {"192.0.2.1", "198.51.100.1", "203.0.113.1"};
  int index = interface_of(local);
  int fd = index != 0 ? socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) : -1;
  if (fd < 0) {
    return WARP_NOT_FOUND;
  }
  bool found = false;
  for (size_t i = 0; i < sizeof far / sizeof far[0] && !found; i++) {
    warp_addr to;
    found = warp_addr_parse(far[i], &to) == WARP_OK && ask(fd, local, index, &to, out);
  }
  close(fd);
  return found ? WARP_OK : WARP_NOT_FOUND;
}
