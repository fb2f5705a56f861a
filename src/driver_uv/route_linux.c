/* Asks the kernel by which way a packet from an address would leave (rtnetlink), which holds for
 * every interface and routing table. */
#include "driver_uv/route.h"

#include "base/addr.h"
#include "driver_uv/internal.h"
#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_LEN = 4096 };

typedef struct question {
  struct nlmsghdr header;
  struct rtmsg route;
  uint8_t attributes[64];
} question;

typedef struct answer {
  warp_addr gateway;
  int interface;
} answer;

static void put(question *q, unsigned short type, const void *data, size_t len) {
  struct rtattr *attribute = (struct rtattr *)(void *)((uint8_t *)q + q->header.nlmsg_len);
  attribute->rta_type = type;
  attribute->rta_len = (unsigned short)RTA_LENGTH(len);
  memcpy(RTA_DATA(attribute), data, len);
  q->header.nlmsg_len += (unsigned)RTA_SPACE(len);
}

/* The index of the interface that has the address; 0: none. */
static int interface_of(const warp_addr *local) {
  struct ifaddrs *list;
  int index = 0;
  if (getifaddrs(&list) != 0) {
    return 0;
  }
  for (const struct ifaddrs *item = list; item != NULL && index == 0; item = item->ifa_next) {
    warp_addr addr = {0};
    if (item->ifa_addr != NULL) {
      addr = wg_uv_addr(item->ifa_addr);
    }
    if (addr.family != 0 && wg_addr_same_ip(&addr, local)) {
      index = (int)if_nametoindex(item->ifa_name);
    }
  }
  freeifaddrs(list);
  return index;
}

static bool read_answer(const uint8_t *bytes, size_t len, int family, answer *out) {
  const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)bytes;
  *out = (answer){.interface = 0};
  if (!NLMSG_OK(header, len) || header->nlmsg_type != RTM_NEWROUTE ||
      header->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg))) {
    return false;
  }
  const struct rtmsg *route = NLMSG_DATA(header);
  unsigned left = (unsigned)RTM_PAYLOAD(header);
  for (const struct rtattr *item = RTM_RTA(route); RTA_OK(item, left);
       item = RTA_NEXT(item, left)) {
    if (item->rta_type == RTA_GATEWAY && RTA_PAYLOAD(item) <= sizeof out->gateway.ip) {
      out->gateway.family = (uint8_t)family;
      memcpy(out->gateway.ip, RTA_DATA(item), RTA_PAYLOAD(item));
    } else if (item->rta_type == RTA_OIF && RTA_PAYLOAD(item) == sizeof out->interface) {
      memcpy(&out->interface, RTA_DATA(item), sizeof out->interface);
    }
  }
  return route->rtm_type == RTN_UNICAST;
}

/* The way from `local` to `to`, by one interface, or (0) by whichever the routes say. */
static bool ask(int fd, const warp_addr *local, int interface, const warp_addr *to, answer *out) {
  size_t len = wg_addr_ip_len(local);
  question q = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
                           .nlmsg_type = RTM_GETROUTE,
                           .nlmsg_flags = NLM_F_REQUEST},
                .route = {.rtm_family = local->family == WARP_IP4 ? AF_INET : AF_INET6,
                          .rtm_src_len = (uint8_t)(8 * len),
                          .rtm_dst_len = (uint8_t)(8 * len)}};
  put(&q, RTA_DST, to->ip, len);
  put(&q, RTA_SRC, local->ip, len);
  if (interface != 0) {
    put(&q, RTA_OIF, &interface, sizeof interface);
  }
  _Alignas(struct nlmsghdr) uint8_t bytes[ANSWER_LEN];
  if (send(fd, &q, q.header.nlmsg_len, 0) < 0) {
    return false;
  }
  ssize_t got = recv(fd, bytes, sizeof bytes, 0); /* the kernel has answered before send returned */
  return got > 0 && read_answer(bytes, (size_t)got, local->family, out);
}

int wg_uv_route_of(const warp_addr *local, wg_uv_route *out) {
  int interface = interface_of(local);
  int fd = interface != 0 ? socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) : -1;
  if (fd < 0) {
    return WARP_NOT_FOUND;
  }
  bool found = false;
  warp_addr to;
  for (size_t i = 0; !(found && out->gateway.family != 0) && wg_uv_far_address(i, &to); i++) {
    answer own, any;
    if (to.family != local->family || !ask(fd, local, interface, &to, &own)) {
      continue;
    }
    bool strays = !ask(fd, local, 0, &to, &any) || any.interface != interface;
    /* Without a route the kernel takes what is asked for by an interface to be its neighbour. */
    if (own.gateway.family != 0 || !strays) {
      *out = (wg_uv_route){.gateway = own.gateway, .strays = strays};
      found = true;
    }
  }
  close(fd);
  return found ? WARP_OK : WARP_NOT_FOUND;
}

int wg_uv_bind_to_interface(int fd, const char *name) {
  return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name) + 1) == 0
             ? WARP_OK
             : wg_uv_status(errno);
}
