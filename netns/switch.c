/*
 * The switch's thread: packets come in by an AF_PACKET socket, wait in the heap until they are due
 * and leave by the same socket. Frames carry a virtio header (PACKET_VNET_HDR), so that the
 * kernel's unfinished checksums and uncut segments pass through unharmed.
 *
 * One socket serves all ports, told apart by the interface: closing a packet socket waits until no
 * processor looks at it any more, 10 ms and more, and ports come and go with every lab.
 */
#include "netns/heap.h"
#include "netns/impair.h"
#include "netns/internal.h"
#include "netns/macs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
  VNET_BYTES = sizeof(struct virtio_net_hdr),
  FRAME_BYTES = VNET_BYTES + ETH_HLEN + 4 + 65536, /* with a VLAN tag, cut by no card */
  SOCKET_BYTES = 4 * 1024 * 1024,
  /* Packets taken in before the timer gets its turn. */
  PACKETS_PER_TURN = 64
};

/* What the thread is woken for. */
enum { PACKETS, TIMER, STOP, SOURCES };

/* A packet leaves this much before it is due: that is what waking up and sending take. */
static const uint64_t EARLY_NS = 30000;
/* Kernel timestamps are of the wall clock; a step of it must not count as a long wait. */
static const int64_t LONGEST_WAIT_NS = 50000000;

typedef struct packet {
  unsigned references;
  size_t len;
  uint8_t bytes[]; /* virtio header and frame */
} packet;

typedef struct port {
  int ifindex;   /* 0: free */
  uint32_t life; /* grows when it is removed: what waited for it is then void */
} port;

struct ns_switch {
  const ns_host *host;
  pthread_t thread;
  int packet_fd, epoll_fd, timer_fd, stop_fd;
  pthread_mutex_t lock; /* guards all that follows */
  uint64_t seed;
  port ports[NS_SWITCH_PORTS];
  ns_direction directions[NS_SWITCH_PORTS][NS_SWITCH_PORTS];
  ns_macs macs;
  ns_heap waiting;
  size_t waiting_bytes;
  uint64_t armed_ns; /* when the timer fires, 0: never */
  ns_switch_counters counters;
  uint8_t frame[FRAME_BYTES];
};

/* ---- packets --------------------------------------------------------------------------------- */

static void release(packet *held) {
  if (--held->references == 0)
    free(held);
}

/* Puts one copy into the heap, or drops it when the queue is full. */
static void enqueue(ns_switch *sw, int to, packet *copied, uint64_t due_ns) {
  ns_waiting item = {.due_ns = due_ns, .port = to, .life = sw->ports[to].life, .packet = copied};
  if (sw->waiting.len >= NS_SWITCH_QUEUE ||
      sw->waiting_bytes + copied->len > NS_SWITCH_QUEUE_BYTES ||
      !ns_heap_push(&sw->waiting, &item)) {
    sw->counters.overflowed++;
    return;
  }
  copied->references++;
  sw->waiting_bytes += copied->len;
}

static void pass(ns_switch *sw, int from, int to, packet *passing, uint64_t now_ns) {
  ns_fate fate = ns_direction_decide(&sw->directions[from][to], now_ns, passing->len - VNET_BYTES);
  if (fate.verdict == NS_LOST)
    sw->counters.lost++;
  else if (fate.verdict == NS_QUEUE_FULL)
    sw->counters.overflowed++;
  for (unsigned i = 0; i < fate.copies; i++)
    enqueue(sw, to, passing, fate.due_ns[i]);
}

/* Learns where the sender is and gives the packet to its port, or floods it. */
static void forward(ns_switch *sw, int from, packet *arrived, uint64_t now_ns) {
  const uint8_t *destination = arrived->bytes + VNET_BYTES;
  ns_macs_learn(&sw->macs, destination + ETH_ALEN, from);
  int known = ns_macs_find(&sw->macs, destination);
  for (int to = 0; to < NS_SWITCH_PORTS; to++)
    if (to != from && sw->ports[to].ifindex && (known < 0 || known == to))
      pass(sw, from, to, arrived, now_ns);
}

/* How long the packet waited for this thread to be woken, by the kernel's timestamp. */
static uint64_t waited_ns(struct msghdr *message) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
      continue;
    struct timespec stamp, now;
    memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t waited =
        (int64_t)(now.tv_sec - stamp.tv_sec) * 1000000000 + (now.tv_nsec - stamp.tv_nsec);
    if (waited > 0 && waited < LONGEST_WAIT_NS)
      return (uint64_t)waited;
  }
  return 0;
}

/* The port that is this interface, or -1. */
static int port_of(const ns_switch *sw, int ifindex) {
  for (int i = 0; i < NS_SWITCH_PORTS; i++)
    if (sw->ports[i].ifindex == ifindex)
      return i;
  return -1;
}

/* Takes one packet; false when there is none. */
static bool take_in(ns_switch *sw) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(struct timespec))];
  } control;
  struct iovec part = {.iov_base = sw->frame, .iov_len = sizeof sw->frame};
  struct sockaddr_ll source = {.sll_ifindex = 0};
  struct msghdr message = {.msg_name = &source,
                           .msg_namelen = sizeof source,
                           .msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control};
  ssize_t got = recvmsg(sw->packet_fd, &message, MSG_DONTWAIT);
  if (got < 0)
    return false;
  int from = source.sll_ifindex ? port_of(sw, source.sll_ifindex) : -1;
  if (from < 0) /* an interface that is no port, or no longer */
    return true;
  sw->counters.received++;
  size_t len = (size_t)got;
  packet *arrived = NULL;
  if (len >= VNET_BYTES + ETH_HLEN && !(message.msg_flags & MSG_TRUNC))
    arrived = malloc(sizeof *arrived + len);
  if (!arrived) {
    sw->counters.overflowed++;
    return true;
  }
  *arrived = (packet){.references = 1, .len = len};
  memcpy(arrived->bytes, sw->frame, len);
  forward(sw, from, arrived, ns_now_ns() - waited_ns(&message));
  release(arrived);
  return true;
}

static bool send_by(const ns_switch *sw, int ifindex, const packet *leaving) {
  struct sockaddr_ll to = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = ifindex};
  return sendto(sw->packet_fd, leaving->bytes, leaving->len, MSG_DONTWAIT,
                (const struct sockaddr *)&to, sizeof to) >= 0;
}

static void send_due(ns_switch *sw) {
  const ns_waiting *first;
  while ((first = ns_heap_first(&sw->waiting)) && first->due_ns <= ns_now_ns() + EARLY_NS) {
    ns_waiting due = ns_heap_pop(&sw->waiting);
    packet *leaving = due.packet;
    const port *by = &sw->ports[due.port];
    sw->waiting_bytes -= leaving->len;
    if (by->ifindex && by->life == due.life) {
      if (send_by(sw, by->ifindex, leaving))
        sw->counters.forwarded++;
      else
        sw->counters.overflowed++;
    }
    release(leaving);
  }
}

/* Sets the timer to the next packet due. */
static void arm(ns_switch *sw) {
  const ns_waiting *first = ns_heap_first(&sw->waiting);
  uint64_t at_ns = first ? first->due_ns - EARLY_NS : 0;
  if (at_ns == sw->armed_ns)
    return;
  struct itimerspec when = {
      .it_value = {.tv_sec = (time_t)(at_ns / 1000000000), .tv_nsec = (long)(at_ns % 1000000000)}};
  timerfd_settime(sw->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
  sw->armed_ns = at_ns;
}

/* ---- the socket ------------------------------------------------------------------------------ */

static int set_option(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

/* The buffers shall hold a burst; an ordinary user gets what the host's limits allow. */
static void enlarge_buffers(int fd) {
  if (set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BYTES) < 0)
    set_option(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BYTES);
  if (set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BYTES) < 0)
    set_option(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BYTES);
}

/* A veth has no filter of addresses, so that nothing needs to be promiscuous. */
static int listen_to_all(int fd) {
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
  int result = set_option(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
  if (result == 0)
    result = set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
  if (result == 0)
    result = set_option(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);
  if (result == 0)
    result = set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
  if (result == 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
    result = -errno;
  return result;
}

/* Protocol 0 until it is bound: packets that came before the options are set would lack headers. */
static int open_packets(const ns_host *host) {
  int back, result = ns_visit(host, &back);
  if (result < 0)
    return result;
  int fd = ns_fd_high(socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  ns_visit_end(back);
  if (fd < 0)
    return fd;
  enlarge_buffers(fd);
  result = listen_to_all(fd);
  if (result < 0) {
    close(fd);
    return result;
  }
  return fd;
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Handles what epoll reported; false when the switch is to end. */
static bool handle(ns_switch *sw, uint32_t source) {
  uint64_t fired;
  if (source == STOP)
    return false;
  if (source == TIMER) {
    if (read(sw->timer_fd, &fired, sizeof fired) == sizeof fired)
      sw->armed_ns = 0;
    return true;
  }
  for (int i = 0; i < PACKETS_PER_TURN; i++)
    if (!take_in(sw))
      break;
  return true;
}

static void *run(void *arg) {
  ns_switch *sw = arg;
  bool running = true;
  prctl(PR_SET_NAME, "ns-switch");
  while (running) {
    struct epoll_event events[SOURCES];
    int count = epoll_wait(sw->epoll_fd, events, SOURCES, -1);
    pthread_mutex_lock(&sw->lock);
    for (int i = 0; i < count; i++)
      running = handle(sw, events[i].data.u32) && running;
    send_due(sw);
    arm(sw);
    pthread_mutex_unlock(&sw->lock);
  }
  return NULL;
}

static int watch(ns_switch *sw, int fd, uint32_t source) {
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};
  return epoll_ctl(sw->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* The thread takes no signals: they belong to the program. */
static int start_thread(ns_switch *sw) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int err = pthread_create(&sw->thread, NULL, run, sw);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return -err;
}

static void free_switch(ns_switch *sw) {
  while (sw->waiting.len)
    release(ns_heap_pop(&sw->waiting).packet);
  ns_heap_free(&sw->waiting);
  ns_fd_close(&sw->packet_fd, -1);
  ns_fd_close(&sw->epoll_fd, -1);
  ns_fd_close(&sw->timer_fd, -1);
  ns_fd_close(&sw->stop_fd, -1);
  pthread_mutex_destroy(&sw->lock);
  free(sw);
}

static int start_switch(ns_switch *sw) {
  int result = sw->packet_fd = open_packets(sw->host);
  if (result >= 0)
    result = sw->epoll_fd = ns_fd_high(epoll_create1(EPOLL_CLOEXEC));
  if (result >= 0)
    result = sw->timer_fd = ns_fd_high(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (result >= 0)
    result = sw->stop_fd = ns_fd_high(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (result >= 0)
    result = watch(sw, sw->packet_fd, PACKETS);
  if (result >= 0)
    result = watch(sw, sw->timer_fd, TIMER);
  if (result >= 0)
    result = watch(sw, sw->stop_fd, STOP);
  if (result >= 0)
    result = start_thread(sw);
  return result;
}

int ns_switch_open(ns_switch **out, const ns_host *host, uint64_t seed, ns_error *error) {
  *out = NULL;
  ns_switch *sw = calloc(1, sizeof *sw);
  if (!sw)
    return ns_fail(error, ENOMEM, "%s: no memory for a switch", host->name);
  sw->host = host;
  sw->packet_fd = sw->epoll_fd = sw->timer_fd = sw->stop_fd = -1;
  pthread_mutex_init(&sw->lock, NULL);
  ns_switch_seed(sw, seed);
  int result = start_switch(sw);
  if (result < 0) {
    free_switch(sw);
    return ns_fail(error, -result, "%s: cannot start a switch: %s", host->name, strerror(-result));
  }
  *out = sw;
  return 0;
}

void ns_switch_close(ns_switch *sw) {
  if (!sw)
    return;
  eventfd_write(sw->stop_fd, 1);
  pthread_join(sw->thread, NULL);
  free_switch(sw);
}

/* ---- ports ----------------------------------------------------------------------------------- */

/* Both directions between the port and every other start without impairment. */
static void reset_directions(ns_switch *sw, int at) {
  for (int other = 0; other < NS_SWITCH_PORTS; other++) {
    sw->directions[at][other] = (ns_direction){0};
    sw->directions[other][at] = (ns_direction){0};
    ns_direction_seed(&sw->directions[at][other], sw->seed, at, other);
    ns_direction_seed(&sw->directions[other][at], sw->seed, other, at);
  }
}

static int insert_port(ns_switch *sw, int ifindex) {
  int at = 0;
  while (at < NS_SWITCH_PORTS && sw->ports[at].ifindex)
    at++;
  if (at == NS_SWITCH_PORTS)
    return -ENOSPC;
  sw->ports[at].ifindex = ifindex;
  reset_directions(sw, at);
  return at;
}

int ns_switch_add_port(ns_switch *sw, int ifindex, ns_error *error) {
  struct ifreq known = {.ifr_ifindex = ifindex};
  int result = ioctl(sw->packet_fd, SIOCGIFNAME, &known) < 0 ? -errno : 0;
  if (result == 0) {
    pthread_mutex_lock(&sw->lock);
    result = insert_port(sw, ifindex);
    pthread_mutex_unlock(&sw->lock);
  }
  if (result < 0)
    return ns_fail(error, -result, "%s: interface %d cannot become a port: %s", sw->host->name,
                   ifindex, strerror(-result));
  return result;
}

static bool is_port(int number) {
  return number >= 0 && number < NS_SWITCH_PORTS;
}

void ns_switch_remove_port(ns_switch *sw, int number) {
  if (!is_port(number))
    return;
  pthread_mutex_lock(&sw->lock);
  port *removed = &sw->ports[number];
  removed->ifindex = 0;
  removed->life++;
  ns_macs_forget(&sw->macs, number);
  pthread_mutex_unlock(&sw->lock);
}

void ns_switch_impair(ns_switch *sw, int from, int to, const ns_impairment *what) {
  if (!is_port(from) || !is_port(to))
    return;
  pthread_mutex_lock(&sw->lock);
  ns_direction_set(&sw->directions[from][to], what);
  pthread_mutex_unlock(&sw->lock);
}

void ns_switch_seed(ns_switch *sw, uint64_t seed) {
  pthread_mutex_lock(&sw->lock);
  sw->seed = seed;
  for (int from = 0; from < NS_SWITCH_PORTS; from++)
    for (int to = 0; to < NS_SWITCH_PORTS; to++)
      ns_direction_seed(&sw->directions[from][to], seed, from, to);
  pthread_mutex_unlock(&sw->lock);
}

void ns_switch_counters_get(ns_switch *sw, ns_switch_counters *out) {
  pthread_mutex_lock(&sw->lock);
  *out = sw->counters;
  pthread_mutex_unlock(&sw->lock);
}
