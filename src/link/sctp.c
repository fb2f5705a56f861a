/*
 * A link over messages: one SCTP association (RFC 9260) by usrsctp, whose packets are the pipe's
 * messages. Both ends connect at once from and to the same port, which SCTP resolves (section
 * 5.2.1), so that nobody has to be the client. The bytes of the link are the user messages of its
 * one stream, cut anywhere.
 */
#include "link/link_internal.h"
#include "link/stack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <usrsctp.h>

/*
 * The step of the congestion window is what the stack takes for the path's MTU, and with steps of
 * one packet of ours a single loss in twenty keeps a link at 0.13 MB/s over 40 ms, whichever of the
 * stack's algorithms decides (Mathis et al. 1997: 1.22 steps per round trip and root of the loss).
 * So it is told an MTU of eight packets, which split.c cuts before they go out: the window grows
 * and recovers like that of a path with 9000-byte Ethernet, still halves at each loss, and never
 * falls under two steps, which is what TCP begins with (RFC 6928). It is 0.5 MB/s then.
 */
enum { STEP_PACKETS = 8 };

enum {
  PORT = 5000,
  STEP = STEP_PACKETS * (WARP_MESSAGE_MAX - 12), /* usrsctp counts without the common header */
  /* Bytes of a user message in one packet, after the common header and the DATA chunk's (RFC 9260
   * sections 3.1 and 3.3.1); usrsctp adds an IPv4 header that is not there. */
  SEGMENT = WARP_MESSAGE_MAX - 12 - 16 - 20,
  PIECE = 16384,                 /* one user message */
  BUFFER = 4 << 20,              /* each way: half a Gbit/s over 40 ms */
  RETRIES_MAX = 60,              /* the pipe knows earlier when the peer is gone */
  BUSY_US = 10000,               /* the stack's clock ticks this often when there is traffic */
  IDLE_US = 250000,              /* and this often when there was none */
  BUSY_FOR_US = 2 * 1000 * 1000, /* for so long: several retransmission timeouts */
};

typedef struct sctp {
  warp_link *link;
  wg_stack_port port;
  wg_queue packets; /* taken from the port, the first ones to go to the pipe */
  struct socket *socket;
  wg_timer tick;
  uint64_t busy_us; /* the last time that anything came or went */
  bool blocked;     /* the pipe's system buffer is full */
} sctp;

/* ---- packets to the pipe --------------------------------------------------------------------- */

static void send_packets(sctp *self) {
  const uint8_t *packet;
  size_t len;
  self->blocked = false;
  do {
    if (self->packets.len == 0) {
      wg_stack_take(&self->port, &self->packets);
    }
    while (!self->blocked && (len = wg_stack_packet(&self->packets, &packet)) > 0) {
      /* Of other errors the pipe tells. */
      self->blocked = warp_pipe_send(self->link->pipe, packet, len) == WARP_AGAIN;
      if (!self->blocked) {
        wg_stack_drop(&self->packets);
      }
    }
  } while (!self->blocked && wg_stack_waiting(&self->port) > 0);
}

/* ---- bytes from and to the link -------------------------------------------------------------- */

static void read_all(sctp *self) {
  uint8_t piece[PIECE];
  warp_link *link = self->link;
  while (link->carried == self && wg_link_reads(link)) {
    wg_stack_enter();
    struct sockaddr_conn from;
    struct sctp_rcvinfo info;
    socklen_t from_len = sizeof from, info_len = sizeof info;
    unsigned info_type;
    int flags = 0;
    ssize_t len = usrsctp_recvv(self->socket, piece, sizeof piece, (struct sockaddr *)&from,
                                &from_len, &info, &info_len, &info_type, &flags);
    int error = errno;
    wg_stack_leave();
    if (len > 0) {
      wg_link_input(link, piece, (size_t)len);
    } else if (len == 0 || (error != EWOULDBLOCK && error != EINPROGRESS && error != ENOTCONN)) {
      wg_link_break(link, len < 0 && error == ETIMEDOUT ? WARP_TIMEOUT : WARP_RESET);
      return;
    } else {
      return;
    }
  }
}

/* What may have changed: packets to send, bytes to read, room to write. The link may be gone
 * afterwards. */
static void serve(sctp *self) {
  warp_link *link = self->link;
  wg_link_enter(link);
  if (!self->blocked) {
    send_packets(self);
  }
  read_all(self);
  if (link->carried == self) {
    wg_link_flush(link);
  }
  wg_link_leave(link);
}

static int sctp_write(warp_link *link, const uint8_t *data, size_t len, size_t *taken) {
  sctp *self = link->carried;
  struct sctp_sndinfo info = {0};
  int error = 0;
  *taken = 0;
  wg_stack_enter();
  while (*taken < len && error == 0) {
    size_t piece = len - *taken < PIECE ? len - *taken : PIECE;
    if (usrsctp_sendv(self->socket, data + *taken, piece, NULL, 0, &info, sizeof info,
                      SCTP_SENDV_SNDINFO, 0) < 0) {
      error = errno;
    } else {
      *taken += piece;
    }
  }
  wg_stack_leave();
  if (*taken > 0) {
    self->busy_us = wg_now_us(link->env);
    if (!self->blocked) {
      send_packets(self);
    }
  }
  if (error == 0 || error == EWOULDBLOCK || error == ENOBUFS) {
    return WARP_OK;
  }
  return error == ENOMEM ? WARP_NOMEM : WARP_RESET;
}

static size_t sctp_unsettled(warp_link *link) {
  sctp *self = link->carried;
  struct sctp_status status = {0};
  socklen_t len = sizeof status;
  wg_stack_enter();
  int failed = usrsctp_getsockopt(self->socket, IPPROTO_SCTP, SCTP_STATUS, &status, &len);
  wg_stack_leave();
  /* Packets that wait for the pipe are acknowledgements as well. */
  size_t waiting = wg_stack_waiting(&self->port) + self->packets.len;
  return failed != 0 ? waiting : waiting + status.sstat_unackdata + status.sstat_penddata;
}

/* ---- time and packets from the pipe ---------------------------------------------------------- */

static void on_tick(void *arg);

static void tick_in(sctp *self, uint64_t delay_us) {
  wg_timer_start(self->link->env, &self->tick, delay_us, on_tick, self);
}

static void on_tick(void *arg) {
  sctp *self = arg;
  uint64_t now_us = wg_now_us(self->link->env);
  wg_stack_advance(&self->port, now_us);
  bool busy = self->link->out.len > 0 || now_us - self->busy_us < BUSY_FOR_US;
  tick_in(self, busy ? BUSY_US : IDLE_US);
  serve(self);
}

static void sctp_on_data(warp_link *link, const uint8_t *data, size_t len) {
  sctp *self = link->carried;
  uint64_t now_us = wg_now_us(link->env);
  if (now_us - self->busy_us >= BUSY_FOR_US) {
    tick_in(self, BUSY_US);
  }
  self->busy_us = now_us;
  wg_stack_enter();
  usrsctp_conninput(self->port.address, data, len, 0);
  wg_stack_leave();
  serve(self);
}

static void sctp_on_drain(warp_link *link) {
  sctp *self = link->carried;
  send_packets(self);
}

/* What waits in the association closes its window, and so holds the peer back. */
static void sctp_pause(warp_link *link, bool paused) {
  sctp *self = link->carried;
  if (!paused) {
    tick_in(self, 0);
  }
}

/* ---- opening and closing --------------------------------------------------------------------- */

static int set(sctp *self, int level, int name, const void *value, size_t len) {
  return usrsctp_setsockopt(self->socket, level, name, value, (socklen_t)len);
}

static bool configure(sctp *self) {
  static const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
  static const int on = 1, buffer = BUFFER;
  static const struct sctp_initmsg init = {
      .sinit_num_ostreams = 1, .sinit_max_instreams = 1, .sinit_max_attempts = RETRIES_MAX};
  static const struct sctp_rtoinfo rto = {.srto_initial = 500, .srto_max = 2000, .srto_min = 200};
  static const struct sctp_assoc_value segment = {.assoc_value = SEGMENT};
  static const struct sctp_assocparams assoc = {.sasoc_asocmaxrxt = RETRIES_MAX};
  /* Nothing is found out about the path: the pipe's messages have their size, and it keeps itself
   * alive. */
  static const struct sctp_paddrparams path = {.spp_pathmtu = STEP,
                                               .spp_pathmaxrxt = RETRIES_MAX,
                                               .spp_flags = SPP_PMTUD_DISABLE | SPP_HB_DISABLE};
  return usrsctp_set_non_blocking(self->socket, 1) == 0 &&
         set(self, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0 &&
         set(self, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer) == 0 &&
         set(self, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) == 0 &&
         set(self, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof on) == 0 &&
         set(self, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof init) == 0 &&
         set(self, IPPROTO_SCTP, SCTP_RTOINFO, &rto, sizeof rto) == 0 &&
         set(self, IPPROTO_SCTP, SCTP_ASSOCINFO, &assoc, sizeof assoc) == 0 &&
         set(self, IPPROTO_SCTP, SCTP_MAXSEG, &segment, sizeof segment) == 0 &&
         set(self, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &path, sizeof path) == 0;
}

static bool meet(sctp *self) {
  struct sockaddr_conn here = {.sconn_family = AF_CONN,
                               .sconn_port = (uint16_t)(PORT >> 8 | (PORT & 0xff) << 8),
                               .sconn_addr = self->port.address};
#ifdef HAVE_SCONN_LEN
  here.sconn_len = sizeof here;
#endif
  return usrsctp_bind(self->socket, (struct sockaddr *)&here, sizeof here) == 0 &&
         (usrsctp_connect(self->socket, (struct sockaddr *)&here, sizeof here) == 0 ||
          errno == EINPROGRESS);
}

static void close_socket(sctp *self) {
  wg_stack_enter();
  if (self->socket != NULL) {
    usrsctp_close(self->socket);
  }
  wg_stack_leave();
}

static void forget(sctp *self) {
  self->link->carried = NULL;
  wg_stack_remove(&self->port);
  wg_queue_free(&self->packets);
  free(self);
}

/* The last packet is an ABORT: a peer that waits for anything more of us, if only for the
 * acknowledgement of its last word, need not, and over a plain pipe nothing else would tell. */
static void sctp_close(warp_link *link) {
  sctp *self = link->carried;
  if (self->tick.running) {
    wg_timer_stop(link->env, &self->tick);
  }
  close_socket(self);
  send_packets(self);
  forget(self);
}

static int sctp_open(warp_link *link) {
  sctp *self = calloc(1, sizeof *self);
  if (self == NULL) {
    return WARP_NOMEM;
  }
  self->link = link;
  self->busy_us = wg_now_us(link->env);
  link->carried = self;
  wg_stack_add(&self->port, self->busy_us);
  wg_stack_enter();
  self->socket = usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
  bool met = self->socket != NULL && configure(self) && meet(self);
  wg_stack_leave();
  if (!met) {
    close_socket(self);
    forget(self);
    return WARP_NOMEM;
  }
  tick_in(self, 0); /* sends the first packet: from a call of the application nothing may end */
  return WARP_OK;
}

const wg_bearer_ops wg_sctp_bearer = {
    .open = sctp_open,
    .write = sctp_write,
    .unsettled = sctp_unsettled,
    .pause = sctp_pause,
    .on_data = sctp_on_data,
    .on_drain = sctp_on_drain,
    .close = sctp_close,
};
