/* An NTP server that can lie, refuse and be away. */
#include "internal.h"
#include "wire/ntp.h"

#include <stdlib.h>

enum { STRATUM = 2, PRECISION = -20, DISPERSION = 66 /* 1 ms */ };

struct sim_ntp_server {
  sim_service service;
  sim_host *host;
  warp_addr addr;
  wg_udp *udp;
  int64_t lie_ms;
  uint32_t kiss;
  size_t answered;
};

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  sim_ntp_server *server = arg;
  wg_ntp_packet request;
  if (wg_ntp_decode(data, len, &request) != WARP_OK || request.mode != WG_NTP_CLIENT) {
    return;
  }
  wg_env *env = &server->host->env;
  int64_t now_us = (env->ops->wall_ms(env) + server->lie_ms) * 1000;
  wg_ntp_packet reply = {.version = request.version,
                         .mode = WG_NTP_SERVER,
                         .stratum = server->kiss != 0 ? WG_NTP_STRATUM_KISS : STRATUM,
                         .precision = PRECISION,
                         .root_dispersion = DISPERSION,
                         .reference_id = server->kiss,
                         .origin = request.transmit,
                         .receive = wg_ntp_from_utc_us(now_us),
                         .transmit = wg_ntp_from_utc_us(now_us)};
  uint8_t out[WG_NTP_LEN];
  wg_ntp_encode(&reply, out);
  server->answered++;
  sim_udp_send(server->udp, from, out, sizeof out);
}

void sim_ntp_set_up(sim_ntp_server *server, bool up) {
  if (!up && server->udp != NULL) {
    sim_udp_close(server->udp);
    server->udp = NULL;
  } else if (up && server->udp == NULL &&
             sim_udp_open(&server->host->env, &server->addr, 0, on_datagram, server,
                          &server->udp) != WARP_OK) {
    sim_fail("port %u of %s is taken", server->addr.port, server->host->name);
  }
}

void sim_ntp_set_lie_ms(sim_ntp_server *server, int64_t lie_ms) {
  server->lie_ms = lie_ms;
}

void sim_ntp_set_kiss(sim_ntp_server *server, uint32_t code) {
  server->kiss = code;
}

size_t sim_ntp_answered(const sim_ntp_server *server) {
  return server->answered;
}

static void destroy(sim_service *service) {
  sim_ntp_server *server = WG_CONTAINER(service, sim_ntp_server, service);
  sim_ntp_set_up(server, false);
  free(server);
}

sim_ntp_server *sim_ntp_start(sim_host *host, uint16_t port) {
  sim_ntp_server *server = sim_alloc(sizeof *server);
  server->host = host;
  server->addr = wg_addr_with_port(&host->addresses[0].addr, port);
  sim_service_add(host->world, &server->service, destroy);
  sim_ntp_set_up(server, true);
  return server;
}
