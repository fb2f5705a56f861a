#include "netns/netlink.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* What follows the address: nothing, or "/" and a number up to `highest`; -1 if it is neither. */
static int parse_prefix(const char *text, int highest) {
  if (!*text)
    return highest;
  char *end;
  long bits = isdigit((unsigned char)text[1]) ? strtol(text + 1, &end, 10) : -1;
  return bits >= 0 && bits <= highest && !*end ? (int)bits : -1;
}

bool ns_parse_ip(const char *text, ns_ip *out) {
  char address[INET6_ADDRSTRLEN];
  size_t len = strcspn(text, "/");
  if (len >= sizeof address)
    return false;
  memcpy(address, text, len);
  address[len] = '\0';
  bool ipv6 = strchr(address, ':');
  *out = (ns_ip){.family = ipv6 ? AF_INET6 : AF_INET, .len = ipv6 ? 16 : 4};
  int prefix_len = parse_prefix(text + len, out->len * 8);
  out->prefix_len = (uint8_t)prefix_len;
  return prefix_len >= 0 && inet_pton(out->family, address, out->bytes) == 1;
}

bool ns_next_answer(const uint8_t *bytes, size_t len, size_t *at, ns_answer *out) {
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

const uint8_t *ns_find_attribute(const uint8_t *bytes, size_t len, unsigned short type,
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

ssize_t ns_netlink_send(int fd, const void *bytes, size_t len) {
  ssize_t sent;
  do
    sent = send(fd, bytes, len, 0);
  while (sent < 0 && errno == EINTR);
  return sent;
}

ssize_t ns_netlink_receive(int fd, void *bytes, size_t size) {
  ssize_t got;
  do
    got = recv(fd, bytes, size, 0);
  while (got < 0 && errno == EINTR);
  return got;
}
