/*
 * Asking the local router to open a port: NAT-PMP (RFC 6886) by libnatpmp, UPnP IGD by miniupnpc.
 * All of it blocks: on a worker's thread only.
 *
 * What the router says are bytes of the network, which the libraries parse. Only the gateway is
 * believed: anybody in a LAN can answer a search by multicast.
 */
#ifndef WG_DRIVER_UV_ROUTER_H
#define WG_DRIVER_UV_ROUTER_H

#include "env/env.h"

enum {
  WG_ROUTER_NATPMP_PORT = 5351,
  /* Short, so that what a killed program leaves behind is soon gone; renewing it at half of that
   * costs two packets in five minutes. */
  WG_ROUTER_LEASE_S = 600,
  WG_ROUTER_PORTS = 4, /* external ports asked for until one is nobody's */
  WG_ROUTER_URL_LEN = 256,
  WG_ROUTER_SERVICE_LEN = 96,
};

/* What to open, and where the router is. */
typedef struct wg_router_request {
  warp_addr local;   /* IPv4 */
  warp_addr gateway; /* with the port of NAT-PMP */
  warp_transport transport;
  uint16_t ports[WG_ROUTER_PORTS]; /* external ones, in the order in which they are asked for */
} wg_router_request;

typedef enum wg_router_protocol {
  WG_ROUTER_NONE,
  WG_ROUTER_NATPMP,
  WG_ROUTER_IGD
} wg_router_protocol;

/* How the router was reached: enough to renew and to close. */
typedef struct wg_router_way {
  wg_router_protocol protocol;
  char url[WG_ROUTER_URL_LEN]; /* of the IGD's service, and its type */
  char service[WG_ROUTER_SERVICE_LEN];
} wg_router_way;

/* ---- NAT-PMP (natpmp.c) ---------------------------------------------------------------------- */

typedef struct wg_natpmp wg_natpmp;
/* Asks for the router's external address. WARP_NOMEM, WARP_IO. Free with wg_natpmp_close. */
int wg_natpmp_open(const wg_router_request *request, wg_natpmp **out);
/* Waits for that at most `wait_ms`: WARP_OK; WARP_AGAIN while there is no answer yet;
 * WARP_NOT_FOUND when the router does not speak it, WARP_REFUSED. */
int wg_natpmp_await(wg_natpmp *pmp, unsigned wait_ms);
/* After WARP_OK of that: opens the port. WARP_OK, WARP_REFUSED, WARP_TIMEOUT, WARP_IO. */
int wg_natpmp_map(wg_natpmp *pmp, const wg_router_request *request, wg_portmap_grant *out);
/* Closes the port again, without waiting for longer than `wait_ms`. */
void wg_natpmp_unmap(wg_natpmp *pmp, const wg_router_request *request, unsigned wait_ms);
void wg_natpmp_close(wg_natpmp *pmp);

/* ---- UPnP IGD (igd.c) ------------------------------------------------------------------------ */

/* "http://address[:port]/...": is the address the gateway's? No, when it is no such text, is longer
 * than WG_ROUTER_URL_LEN, or has a name instead. */
bool wg_igd_is_of(const char *url, const warp_addr *gateway);
/* Searches for the gateway's service: about a second. WARP_OK, WARP_NOT_FOUND. */
int wg_igd_find(const wg_router_request *request, wg_router_way *out);
/* Opens the port, or renews it when it is ours already, and asks whether it is there. WARP_OK;
 * WARP_REFUSED, also when every port of the request is another's; WARP_IO. */
int wg_igd_map(const wg_router_way *way, const wg_router_request *request, wg_portmap_grant *out);
void wg_igd_unmap(const wg_router_way *way, const wg_router_request *request, uint16_t external);

#endif
