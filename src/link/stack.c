#include "link/stack.h"

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

/* The stack sends: inside a call of it, so the lock is held. */
static int output(void *address, void *data, size_t len, uint8_t tos, uint8_t set_df) {
  (void)tos;
  (void)set_df;
  for (wg_list *item = ports.next; item != &ports; item = item->next) {
    wg_stack_port *port = WG_CONTAINER(item, wg_stack_port, link);
    if (port->address != address) {
      continue;
    }
    uint8_t head[LENGTH_LEN] = {(uint8_t)(len >> 8), (uint8_t)len};
    if (len > WARP_MESSAGE_MAX || port->packets.len + len > PACKETS_MAX ||
        !wg_queue_push(&port->packets, head, sizeof head)) {
      port->dropped++;
    } else if (!wg_queue_push(&port->packets, data, len)) {
      port->packets.len -= sizeof head;
      port->dropped++;
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
  usrsctp_sysctl_set_sctp_blackhole(2);     /* no answer to packets of no association */
  usrsctp_sysctl_set_sctp_initial_cwnd(10); /* as RFC 6928 */
  usrsctp_sysctl_set_sctp_max_burst_default(10);
  usrsctp_sysctl_set_sctp_delayed_sack_time_default(20);
  usrsctp_sysctl_set_sctp_max_chunks_on_queue(1 << 14);
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

size_t wg_stack_peek(wg_stack_port *port, uint8_t *out) {
  size_t len = 0;
  wg_stack_enter();
  if (port->packets.len > 0) {
    const uint8_t *front = wg_queue_front(&port->packets);
    len = (size_t)front[0] << 8 | front[1];
    memcpy(out, front + LENGTH_LEN, len);
  }
  wg_stack_leave();
  return len;
}

void wg_stack_pop(wg_stack_port *port) {
  wg_stack_enter();
  if (port->packets.len > 0) {
    const uint8_t *front = wg_queue_front(&port->packets);
    wg_queue_drop(&port->packets, LENGTH_LEN + ((size_t)front[0] << 8 | front[1]));
  }
  wg_stack_leave();
}

size_t wg_stack_waiting(wg_stack_port *port) {
  wg_stack_enter();
  size_t len = port->packets.len;
  wg_stack_leave();
  return len;
}
