/*
 * STUN by a node: measuring the NAT's axes with sockets of its own, and keeping one mapping known
 * and alive. The protocol is machine/'s; this feeds the machines with the environment's packets and
 * time.
 */
#ifndef WG_NODE_MEASURE_H
#define WG_NODE_MEASURE_H

#include "env/env.h"
#include "machine/nat_probe.h"

/* ---- axes ------------------------------------------------------------------------------------ */

typedef struct wg_measure wg_measure;
typedef struct wg_measured {
  int udp_status, tcp_status; /* WARP_OK, or WARP_TIMEOUT when no server answered over it */
  /* Perhaps in part: see the confidence. What was not measured of TCP is taken from UDP, with half
   * the confidence: likely, not measured. */
  warp_nat_axes udp, tcp;
  warp_addr external; /* as the servers saw a socket of the measurement; its IP is of interest */
  size_t server;      /* which one to go on with; see wg_probe_result */
  uint32_t server_rtt_us[WG_PROBE_SERVERS]; /* over UDP; 0: no answer */
  uint32_t elapsed_us;                      /* until this was known */
} wg_measured;
/* Something is known, within about four round trips; and again when late answers have changed it,
 * the last time with `last`: then the measurement ended and is freed when this returns. It may be
 * cancelled from here unless it is the last time. */
typedef void (*wg_measure_cb)(void *arg, const wg_measured *found, bool last);
/* Starts measuring how the NAT before `local` treats UDP and TCP, with up to four servers of its
 * family; given up after `timeout_ms` when none has answered. The port of `local` is not used: it
 * is the one at which the node is going to listen. WARP_NOMEM, and what the environment says of
 * sockets. */
int wg_measure_start(wg_env *env, const warp_addr *local, const warp_addr *servers, size_t count,
                     uint32_t timeout_ms, wg_measure_cb cb, void *arg, wg_measure **out);
/* The first servers have answered over UDP: nothing is concluded yet, but `probe` tells whether
 * what is known of a network with this external address still holds. Once, before the other
 * callback, or never; the measurement goes on, and may be cancelled from here. */
typedef void (*wg_measure_first_cb)(void *arg, const warp_addr *external,
                                    const wg_nat_probe *probe);
void wg_measure_on_first(wg_measure *measure, wg_measure_first_cb cb);
void wg_measure_cancel(wg_measure *measure);

/* ---- mappings -------------------------------------------------------------------------------- */

typedef struct wg_mapping wg_mapping;
/* The external address is known for the first time, changed, or (WARP_TIMEOUT, ...) is not to be
 * had; then it is tried again with the next refresh. */
typedef void (*wg_mapping_cb)(void *arg, int status, const warp_addr *external);
struct wg_mux;
/* Asks a server for the mapping of the shared socket, and again every `refresh_s`. The mux hands
 * its STUN packets to wg_mapping_input. */
int wg_mapping_udp(wg_env *env, struct wg_mux *mux, const warp_addr *server, unsigned refresh_s,
                   wg_mapping_cb cb, void *arg, wg_mapping **out);
/* Asks over TCP from the listen port, shared with the listener, and keeps the connection open: it
 * is what keeps the mapping. Asks again over it every `refresh_s`; a connection that ends is made
 * anew, at most one in `refresh_s`, and one that gives no answer at once and with growing pauses.
 */
int wg_mapping_tcp(wg_env *env, const warp_addr *local, const warp_addr *server, unsigned refresh_s,
                   wg_mapping_cb cb, void *arg, wg_mapping **out);
void wg_mapping_input(wg_mapping *mapping, const uint8_t *data, size_t len, const warp_addr *from);
/* Asks now, unless an answer is awaited, or (TCP) there is no connection to ask over. */
void wg_mapping_ask(wg_mapping *mapping);
/* Asks so often from the next time on. */
void wg_mapping_set_refresh(wg_mapping *mapping, unsigned refresh_s);
void wg_mapping_close(wg_mapping *mapping);

#endif
