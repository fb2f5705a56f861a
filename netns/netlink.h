/*
 * rtnetlink(7) below batches and queries: addresses from text, reading answers, the socket.
 */
#ifndef NETNS_NETLINK_H
#define NETNS_NETLINK_H

#include "netns/internal.h"

#include <linux/rtnetlink.h>

/* The longest answer is that to RTM_GETLINK, some 2 KiB. */
enum { NS_ANSWER_BYTES = 32768 };

/* An address from text, as it goes into attributes. */
typedef struct ns_ip {
  uint8_t family;
  uint8_t prefix_len;
  uint8_t len;
  uint8_t bytes[16];
} ns_ip;

/* "192.0.2.1/24" or "2001:db8::1/64"; without a prefix it is that of one address. */
bool ns_parse_ip(const char *text, ns_ip *out);

/* One message of an answer. `payload` points behind its header. */
typedef struct ns_answer {
  struct nlmsghdr header;
  const uint8_t *payload;
  size_t len;
} ns_answer;

/* Takes the message at *at out of `len` bytes and moves *at behind it; false at the end. */
bool ns_next_answer(const uint8_t *bytes, size_t len, size_t *at, ns_answer *out);
/* Finds an attribute among `len` bytes of them; NULL if it is not there. */
const uint8_t *ns_find_attribute(const uint8_t *bytes, size_t len, unsigned short type,
                                 size_t *value_len);

/* send and recv that go on after a signal. */
ssize_t ns_netlink_send(int fd, const void *bytes, size_t len);
ssize_t ns_netlink_receive(int fd, void *bytes, size_t size);

#endif
