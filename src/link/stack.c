#include "link/stack.h"

#include "link/split.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <usrsctp.h>
#include <warpgate/warpgate.h>

enum {
  PACKETS_MAX = 4 << 20, /* bytes that wait for one pipe; more is lost, as packets may be */
  LENGTH_LEN = 2,
  STEP_MAX_MS = 1000, /* a loop that stood still for long does not let all timers run at once */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool started;
static wg_list ports = {&ports, &ports};
static uintptr_t last_address;
static uint64_t clock_us = 1; /* the stack's */

void wg_stack_enter(void) {
  pthread_mutex_lock(&lock);
}

void wg_stack_leave(void) {
  pthread_mutex_unlock(&lock);
}

static bool keep(wg_stack_port *port, const uint8_t *data, size_t len) {
  uint8_t head[LENGTH_LEN] = {(uint8_t)(len >> 8), (uint8_t)len};
  if (port->packets.len + len > PACKETS_MAX || !wg_queue_push(&port->packets, head, sizeof head)) {
    return false;
  }
  if (!wg_queue_push(&port->packets, data, len)) {
    port->packets.len -= sizeof head;
    return false;
  }
  return true;
}

/* The stack sends: inside a call of it, so the lock is held. */
static int output(void *address, void *data, size_t len, uint8_t tos, uint8_t set_df) {
  (void)tos;
  (void)set_df;
  wg_split split;
  uint8_t packet[WARP_MESSAGE_MAX];
  size_t piece;
  for (wg_list *item = ports.next; item != &ports; item = item->next) {
    wg_stack_port *port = WG_CONTAINER(item, wg_stack_port, link);
    if (port->address != address) {
      continue;
    }
    split = wg_split_begin(data, len);
    while ((piece = wg_split_next(&split, packet, sizeof packet)) > 0) {
      (void)keep(port, packet, piece);
    }
    return 0;
  }
  return 0;
}

/* Nothing that the pipe has already, and nothing that one path to one address needs. */
static void start(void) {
  started = true;
  usrsctp_init_nothreads(0, output, NULL);
  usrsctp_enable_crc32c_offload(); /* every packet is authenticated by the pipe */
  usrsctp_sysctl_set_sctp_ecn_enable(0);
  usrsctp_sysctl_set_sctp_asconf_enable(0);
  usrsctp_sysctl_set_sctp_auth_enable(0);
  usrsctp_sysctl_set_sctp_pr_enable(0);
  usrsctp_sysctl_set_sctp_reconfig_enable(0);
  usrsctp_sysctl_set_sctp_nrsack_enable(0);
  usrsctp_sysctl_set_sctp_pktdrop_enable(0);
  usrsctp_sysctl_set_sctp_blackhole(2); /* no answer to packets of no association */
  /* Both in steps of the congestion window, of which sctp.c makes several packets: less than RFC
   * 6928 has TCP begin with, and no more at once than one segment that TCP hands to a network card.
   */
  usrsctp_sysctl_set_sctp_initial_cwnd(1);
  usrsctp_sysctl_set_sctp_max_burst_default(8);
  usrsctp_sysctl_set_sctp_delayed_sack_time_default(20);
  usrsctp_sysctl_set_sctp_max_chunks_on_queue(1 << 14);
  /* However often a chunk was lost: the pipe knows whether the peer is there. The stack would reset
   * an association after thirty times, which one buffer that overflows on the way brings about. */
  usrsctp_sysctl_set_sctp_max_retran_chunk(0);
}

void wg_stack_add(wg_stack_port *port, uint64_t now_us) {
  wg_stack_enter();
  if (!started) {
    start();
  }
  *port = (wg_stack_port){.address = (void *)++last_address, .offset_us = clock_us - now_us};
  wg_list_push(&ports, &port->link);
  usrsctp_register_address(port->address);
  wg_stack_leave();
}

void wg_stack_remove(wg_stack_port *port) {
  wg_stack_enter();
  usrsctp_deregister_address(port->address);
  wg_list_remove(&port->link);
  wg_queue_free(&port->packets);
  wg_stack_leave();
}

void wg_stack_advance(wg_stack_port *port, uint64_t now_us) {
  wg_stack_enter();
  /* All clocks of loops go on alike, so whoever is ahead says what time it is. */
  uint64_t time_us = now_us + port->offset_us;
  if (time_us > clock_us) {
    uint64_t elapsed_ms = (time_us - clock_us) / 1000;
    clock_us += elapsed_ms * 1000;
    usrsctp_handle_timers((uint32_t)(elapsed_ms < STEP_MAX_MS ? elapsed_ms : STEP_MAX_MS));
  }
  wg_stack_leave();
}

void wg_stack_take(wg_stack_port *port, wg_queue *out) {
  wg_stack_enter();
  wg_queue taken = port->packets;
  port->packets = *out;
  wg_stack_leave();
  *out = taken;
}

size_t wg_stack_packet(const wg_queue *packets, const uint8_t **out) {
  if (packets->len == 0) {
    return 0;
  }
  const uint8_t *front = wg_queue_front(packets);
  *out = front + LENGTH_LEN;
  return (size_t)front[0] << 8 | front[1];
}

void wg_stack_drop(wg_queue *packets) {
  const uint8_t *packet;
  wg_queue_drop(packets, LENGTH_LEN + wg_stack_packet(packets, &packet));
}

size_t wg_stack_waiting(wg_stack_port *port) {
  wg_stack_enter();
  size_t len = port->packets.len;
  wg_stack_leave();
  return len;
}
