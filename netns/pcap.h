/*
 * The pcap file format: a header, then records of captured packets. Times are in nanoseconds, and
 * every packet has a header that names its interface (LINKTYPE_LINUX_SLL2), so that one file holds
 * the packets of all interfaces of a host. Pure; both headers are in host byte order, as the format
 * allows.
 */
#ifndef NETNS_PCAP_H
#define NETNS_PCAP_H

#include <stddef.h>
#include <stdint.h>

enum { NS_PCAP_HEADER = 24, NS_PCAP_RECORD = 16, NS_PCAP_SLL2 = 20 };

/* A packet as an AF_PACKET socket of type SOCK_DGRAM tells of it. */
typedef struct ns_sniffed {
  uint64_t time_ns;     /* since 1970 */
  uint16_t protocol;    /* ETH_P_*, host byte order */
  uint32_t ifindex;     /* of the interface it passed */
  uint16_t device_type; /* ARPHRD_* */
  uint8_t kind;         /* PACKET_HOST ... PACKET_OUTGOING */
  uint8_t sender_len;
  uint8_t sender[8]; /* link-layer address */
  const void *bytes; /* from the network header on */
  size_t len;        /* captured */
  size_t full_len;   /* on the wire, at least `len` */
} ns_sniffed;

/* Writes the header of a file whose packets are cut to `snap` bytes. */
void ns_pcap_begin(uint8_t out[NS_PCAP_HEADER], uint32_t snap);
/* Writes what stands before the packet's bytes; returns how much that is. */
size_t ns_pcap_record(uint8_t out[NS_PCAP_RECORD + NS_PCAP_SLL2], const ns_sniffed *packet);

#endif
