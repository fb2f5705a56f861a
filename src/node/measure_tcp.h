/*
 * How a NAT treats TCP (RFC 5382): the tests of machine/nat_probe.h over connections. One local
 * port connects to every address of the servers and shows the mapping. Others, which are listened
 * on too, ask a server to dial them from its other addresses (CHANGE-REQUEST over TCP, which our
 * own STUN server carries out on request and others refuse) and dial each other's external address.
 * Not for other rooms.
 */
#ifndef WG_NODE_MEASURE_TCP_H
#define WG_NODE_MEASURE_TCP_H

#include "env/env.h"
#include "machine/nat_probe.h"

enum {
  /* Servers that are asked: the second one tells whether the first one lies, and is asked to dial
   * back when the first one cannot. */
  WG_TCP_PROBE_SERVERS = 2,
  /* Each change is asked for twice, because a lost SYN comes again only after a second. */
  WG_TCP_PROBE_DIALS_BACK = 4,
  WG_TCP_PROBE_PORTS = 1 + WG_TCP_PROBE_SERVERS * WG_TCP_PROBE_DIALS_BACK,
  WG_TCP_PROBE_TESTS = 40,
  WG_TCP_PROBE_CONNECTIONS = 48,
  /* A server gives up dialling back after two seconds and says so: then silence is certain. */
  WG_TCP_PROBE_LAST_MS = 2500,
};

typedef struct wg_tcp_probe wg_tcp_probe;
/* Something is known that was not when it was told last (`axes`: zero when nothing is known). First
 * within about four round trips; again when more has come. `last`: nothing more will; the probe may
 * be freed in the callback either way. */
typedef void (*wg_tcp_probe_cb)(void *arg, const warp_nat_axes *axes, bool last);

/* Starts on the interface address `local` (port 0), with ports other than `avoid_port`. WARP_NOMEM,
 * and what the environment says of listening. */
int wg_tcp_probe_start(wg_env *env, const warp_addr *local, uint16_t avoid_port,
                       const warp_addr *servers, size_t count, wg_tcp_probe_cb cb, void *arg,
                       wg_tcp_probe **out);
/* The other address of a server is known, from UDP: half of the way is saved. */
void wg_tcp_probe_other(wg_tcp_probe *probe, unsigned server, const warp_addr *other);
/* The lowest and highest external port seen. False when fewer than three were. */
bool wg_tcp_probe_ports(const wg_tcp_probe *probe, uint16_t *low, uint16_t *high);
/* Has a server answered? */
bool wg_tcp_probe_heard(const wg_tcp_probe *probe);
void wg_tcp_probe_free(wg_tcp_probe *probe);

#endif
