#include "netns/pcap.h"

#include <string.h>

/* The magic number that says: nanoseconds, in this byte order. */
static const uint32_t MAGIC_NANOSECONDS = 0xa1b23c4d;
enum { VERSION_MAJOR = 2, VERSION_MINOR = 4, LINKTYPE_LINUX_SLL2 = 276 };

static uint8_t *put(uint8_t *at, const void *value, size_t len) {
  memcpy(at, value, len);
  return at + len;
}

static uint8_t *put32(uint8_t *at, uint32_t value) {
  return put(at, &value, sizeof value);
}

static uint8_t *put_network16(uint8_t *at, uint16_t value) {
  *at++ = (uint8_t)(value >> 8);
  *at++ = (uint8_t)value;
  return at;
}

void ns_pcap_begin(uint8_t out[NS_PCAP_HEADER], uint32_t snap) {
  uint16_t version[] = {VERSION_MAJOR, VERSION_MINOR};
  uint8_t *at = put32(out, MAGIC_NANOSECONDS);
  at = put(at, version, sizeof version);
  at = put32(at, 0); /* no zone and no accuracy are told by anybody */
  at = put32(at, 0);
  at = put32(at, snap + NS_PCAP_SLL2);
  put32(at, LINKTYPE_LINUX_SLL2);
}

/* The SLL2 header is in network byte order, the record's before it is not. */
size_t ns_pcap_record(uint8_t out[NS_PCAP_RECORD + NS_PCAP_SLL2], const ns_sniffed *packet) {
  enum { SECOND_NS = 1000000000 };
  uint8_t *at = put32(out, (uint32_t)(packet->time_ns / SECOND_NS));
  at = put32(at, (uint32_t)(packet->time_ns % SECOND_NS));
  at = put32(at, (uint32_t)packet->len + NS_PCAP_SLL2);
  at = put32(at, (uint32_t)packet->full_len + NS_PCAP_SLL2);
  at = put_network16(at, packet->protocol);
  at = put_network16(at, 0);
  at = put_network16(at, (uint16_t)(packet->ifindex >> 16));
  at = put_network16(at, (uint16_t)packet->ifindex);
  at = put_network16(at, packet->device_type);
  *at++ = packet->kind;
  *at++ = packet->sender_len;
  put(at, packet->sender, sizeof packet->sender);
  return NS_PCAP_RECORD + NS_PCAP_SLL2;
}
