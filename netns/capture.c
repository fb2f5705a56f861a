/*
 * Captures: an AF_PACKET socket with a ring that the kernel fills by itself (packet_mmap,
 * TPACKET_V3). The ring is made of blocks, each packed with packets and handed over when it is full
 * or has waited long enough.
 */
#include "netns/internal.h"
#include "netns/pcap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  BLOCK_BYTES = 64 * 1024,
  BLOCKS = NS_CAPTURE_BYTES / BLOCK_BYTES,
  /* A block is handed over after this long with whatever it holds: soon when somebody waits for it,
   * else late, since the rest of the block is then lost to the ring. */
  LIVE_MS = 100,
  LATE_MS = 60000
};

struct ns_capture {
  int fd;
  uint8_t *ring;
  unsigned block; /* the next to be read */
  bool begun;     /* the file has its header */
  bool stopped;
};

/* Keeps the first `bytes` of every packet; none at all with 0. */
static int cut_to(int fd, unsigned bytes) {
  struct sock_filter keep = BPF_STMT(BPF_RET | BPF_K, bytes);
  struct sock_fprog program = {.len = 1, .filter = &keep};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0 ? -errno : 0;
}

static int set_ring(int fd, bool live) {
  int version = TPACKET_V3;
  struct tpacket_req3 ring = {.tp_block_size = BLOCK_BYTES,
                              .tp_block_nr = BLOCKS,
                              .tp_frame_size =
                                  NS_CAPTURE_SNAP, /* of no meaning here but asked for */
                              .tp_frame_nr = BLOCKS * (BLOCK_BYTES / NS_CAPTURE_SNAP),
                              .tp_retire_blk_tov = live ? LIVE_MS : LATE_MS};
  if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) < 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring) < 0)
    return -errno;
  return 0;
}

/* Bound last: only then do packets come. */
static int start(ns_capture *c, bool live) {
  struct sockaddr_ll all = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
  int result = set_ring(c->fd, live);
  if (result == 0)
    result = cut_to(c->fd, NS_CAPTURE_SNAP);
  if (result < 0)
    return result;
  void *ring = mmap(NULL, NS_CAPTURE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
  if (ring == MAP_FAILED)
    return -errno;
  c->ring = ring;
  return bind(c->fd, (const struct sockaddr *)&all, sizeof all) < 0 ? -errno : 0;
}

int ns_capture_open(ns_capture **out, const ns_host *host, bool live, ns_error *error) {
  ns_capture *c = calloc(1, sizeof *c);
  *out = c;
  if (!c)
    return ns_fail(error, ENOMEM, "%s: no memory for a capture", host->name);
  int back, result = ns_visit(host, &back);
  if (result == 0) {
    result = c->fd = ns_fd_high(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ns_visit_end(back);
  }
  if (result >= 0)
    result = start(c, live);
  if (result >= 0)
    return 0;
  ns_capture_close(c);
  *out = NULL;
  return ns_fail(error, -result, "%s: cannot capture packets: %s", host->name, strerror(-result));
}

void ns_capture_close(ns_capture *capture) {
  if (!capture)
    return;
  if (capture->ring)
    munmap(capture->ring, NS_CAPTURE_BYTES);
  ns_fd_close(&capture->fd, -1);
  free(capture);
}

void ns_capture_stop(ns_capture *capture) {
  capture->stopped = cut_to(capture->fd, 0) == 0;
}

int ns_capture_fd(const ns_capture *capture) {
  return capture->fd;
}

/* ---- writing --------------------------------------------------------------------------------- */

static struct sockaddr_ll address_of(const struct tpacket3_hdr *packet) {
  const size_t head = (sizeof *packet + TPACKET_ALIGNMENT - 1) / TPACKET_ALIGNMENT;
  struct sockaddr_ll address;
  memcpy(&address, (const uint8_t *)packet + head * TPACKET_ALIGNMENT, sizeof address);
  return address;
}

static bool write_packet(const struct tpacket3_hdr *packet, FILE *out) {
  struct sockaddr_ll from = address_of(packet);
  ns_sniffed sniffed = {
      .time_ns = (uint64_t)packet->tp_sec * 1000000000 + packet->tp_nsec,
      .protocol = ntohs(from.sll_protocol),
      .ifindex = (uint32_t)from.sll_ifindex,
      .device_type = from.sll_hatype,
      .kind = from.sll_pkttype,
      .sender_len = from.sll_halen,
      .bytes = (const uint8_t *)packet + packet->tp_net,
      .len = packet->tp_snaplen,
      .full_len = packet->tp_len,
  };
  memcpy(sniffed.sender, from.sll_addr, sizeof sniffed.sender);
  uint8_t head[NS_PCAP_RECORD + NS_PCAP_SLL2];
  size_t head_len = ns_pcap_record(head, &sniffed);
  return fwrite(head, 1, head_len, out) == head_len &&
         fwrite(sniffed.bytes, 1, sniffed.len, out) == sniffed.len;
}

/* What loopback sends comes in again at once. */
static bool comes_again(const struct tpacket3_hdr *packet) {
  struct sockaddr_ll from = address_of(packet);
  return from.sll_hatype == ARPHRD_LOOPBACK && from.sll_pkttype == PACKET_OUTGOING;
}

/* Writes a block's packets; -1 when the file does not take them. */
static long write_block(const struct tpacket_hdr_v1 *block, const uint8_t *start, FILE *out) {
  long written = 0;
  const uint8_t *at = start + block->offset_to_first_pkt;
  for (uint32_t i = 0; i < block->num_pkts; i++) {
    const struct tpacket3_hdr *packet = (const struct tpacket3_hdr *)at;
    if (!comes_again(packet)) {
      if (!write_packet(packet, out))
        return -1;
      written++;
    }
    at += packet->tp_next_offset;
  }
  return written;
}

/* The block that the kernel is filling may be read too once nothing comes any more. */
static long write_next_block(ns_capture *c, FILE *out, bool *more) {
  uint8_t *start = c->ring + (size_t)c->block * BLOCK_BYTES;
  struct tpacket_block_desc *block = (struct tpacket_block_desc *)start;
  uint32_t status = __atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE);
  bool whole = status & TP_STATUS_USER;
  *more = whole;
  if (!whole && !(c->stopped && block->hdr.bh1.num_pkts))
    return 0;
  long written = write_block(&block->hdr.bh1, start, out);
  block->hdr.bh1.num_pkts = 0;
  if (whole) {
    __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    c->block = (c->block + 1) % BLOCKS;
  }
  return written;
}

long ns_capture_write(ns_capture *capture, FILE *out) {
  uint8_t header[NS_PCAP_HEADER];
  ns_pcap_begin(header, NS_CAPTURE_SNAP);
  if (!capture->begun && fwrite(header, 1, sizeof header, out) != sizeof header)
    return -EIO;
  capture->begun = true;
  long total = 0;
  bool more = true;
  for (int i = 0; more && i < BLOCKS; i++) {
    long written = write_next_block(capture, out, &more);
    if (written < 0)
      return -EIO;
    total += written;
  }
  return total;
}
