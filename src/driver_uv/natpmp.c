#include "driver_uv/router.h"

#include "driver_uv/internal.h"

#include <errno.h>
#include <natpmp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An answer to a mapping: three tries (RFC 6886 section 3.1 sends again after 250 and 500 ms). */
enum { MAP_MS = 1750 };

struct wg_natpmp {
  natpmp_t state;
  warp_addr external; /* without a port; family 0: not known yet */
};

static int status_of(int error) {
  switch (error) {
  case 0:
    return WARP_OK;
  case NATPMP_TRYAGAIN:
    return WARP_AGAIN;
  case NATPMP_ERR_NOGATEWAYSUPPORT:
  case NATPMP_ERR_UNSUPPORTEDVERSION:
  case NATPMP_ERR_UNSUPPORTEDOPCODE:
    return WARP_NOT_FOUND;
  case NATPMP_ERR_NOTAUTHORIZED:
  case NATPMP_ERR_OUTOFRESOURCES:
  case NATPMP_ERR_NETWORKFAILURE: /* the router has no address outside */
    return WARP_REFUSED;
  default:
    return WARP_IO;
  }
}

/* The library's own opening finds one gateway for all interfaces and binds to none, but the router
 * opens the port for the address that asks. */
static int open_socket(const wg_router_request *request, int *out) {
  warp_addr local = wg_addr_with_port(&request->local, 0);
  struct sockaddr_storage to;
  socklen_t len;
  int status = wg_uv_sockaddr(&request->gateway, WARP_IP4, &to, &len);
  if (status == WARP_OK) {
    status = wg_uv_socket(WARP_IP4, SOCK_DGRAM, 0, &local, out);
  }
  if (status == WARP_OK && connect(*out, (struct sockaddr *)&to, len) != 0) {
    status = wg_uv_status(errno);
    close(*out);
  }
  return status;
}

int wg_natpmp_open(const wg_router_request *request, wg_natpmp **out) {
  wg_natpmp *pmp = calloc(1, sizeof *pmp);
  if (pmp == NULL) {
    return WARP_NOMEM;
  }
  int status = open_socket(request, &pmp->state.s);
  if (status != WARP_OK) {
    free(pmp);
    return status;
  }
  memcpy(&pmp->state.gateway, request->gateway.ip, sizeof pmp->state.gateway);
  if (sendpublicaddressrequest(&pmp->state) < 0) {
    wg_natpmp_close(pmp);
    return WARP_IO;
  }
  *out = pmp;
  return WARP_OK;
}

void wg_natpmp_close(wg_natpmp *pmp) {
  closenatpmp(&pmp->state);
  free(pmp);
}

/* Waits for the answer to what was sent last, which the library repeats. The wait is that of the
 * socket: a process that stands still, with whoever is to answer, loses one repetition by it. */
static int await(wg_natpmp *pmp, unsigned wait_ms, natpmpresp_t *out) {
  uint64_t left_ns = (uint64_t)wait_ms * 1000000;
  int status;
  while ((status = status_of(readnatpmpresponseorretry(&pmp->state, out))) == WARP_AGAIN &&
         left_ns > 0) {
    struct timeval repeat = {0};
    getnatpmprequesttimeout(&pmp->state, &repeat);
    int64_t repeat_ms = (int64_t)repeat.tv_sec * 1000 + repeat.tv_usec / 1000 + 1;
    int64_t left_ms = (int64_t)(left_ns / 1000000) + 1;
    int64_t pause_ms = repeat_ms < 1 ? 1 : repeat_ms < left_ms ? repeat_ms : left_ms;
    struct pollfd readable = {.fd = pmp->state.s, .events = POLLIN};
    uint64_t before_ns = uv_hrtime();
    poll(&readable, 1, (int)pause_ms);
    uint64_t took_ns = uv_hrtime() - before_ns, most_ns = (uint64_t)pause_ms * 1000000;
    took_ns = took_ns < most_ns ? took_ns : most_ns;
    left_ns -= took_ns < left_ns ? took_ns : left_ns;
  }
  return status;
}

int wg_natpmp_await(wg_natpmp *pmp, unsigned wait_ms) {
  natpmpresp_t answer;
  int status = await(pmp, wait_ms, &answer);
  if (status != WARP_OK) {
    return status;
  }
  if (answer.type != NATPMP_RESPTYPE_PUBLICADDRESS) {
    return WARP_IO;
  }
  pmp->external.family = WARP_IP4;
  memcpy(pmp->external.ip, &answer.pnu.publicaddress.addr, 4);
  return WARP_OK;
}

static int protocol_of(warp_transport transport) {
  return transport == WARP_TCP ? NATPMP_PROTOCOL_TCP : NATPMP_PROTOCOL_UDP;
}

/* Where the port is another's, the router gives one that is not (RFC 6886 section 3.3). */
int wg_natpmp_map(wg_natpmp *pmp, const wg_router_request *request, wg_portmap_grant *out) {
  if (sendnewportmappingrequest(&pmp->state, protocol_of(request->transport), request->local.port,
                                request->ports[0], WG_ROUTER_LEASE_S) < 0) {
    return WARP_IO;
  }
  natpmpresp_t answer;
  int status = await(pmp, MAP_MS, &answer);
  if (status != WARP_OK) {
    return status == WARP_AGAIN ? WARP_TIMEOUT : status;
  }
  int expected = request->transport == WARP_TCP ? NATPMP_RESPTYPE_TCPPORTMAPPING
                                                : NATPMP_RESPTYPE_UDPPORTMAPPING;
  if (answer.type != expected || answer.pnu.newportmapping.privateport != request->local.port ||
      answer.pnu.newportmapping.mappedpublicport == 0 || answer.pnu.newportmapping.lifetime == 0) {
    return WARP_IO;
  }
  *out = (wg_portmap_grant){
      .external = wg_addr_with_port(&pmp->external, answer.pnu.newportmapping.mappedpublicport),
      .lifetime_s = answer.pnu.newportmapping.lifetime,
      .protocol = "NAT-PMP"};
  return WARP_OK;
}

void wg_natpmp_unmap(wg_natpmp *pmp, const wg_router_request *request, unsigned wait_ms) {
  natpmpresp_t answer;
  if (sendnewportmappingrequest(&pmp->state, protocol_of(request->transport), request->local.port,
                                0, 0) >= 0) {
    (void)await(pmp, wait_ms, &answer);
  }
}
