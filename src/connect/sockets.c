/* UDP sockets that plugins open for an attempt, beside the node's shared one: a socket that never
 * sent anything, or hundreds of them, each with a mapping of its own. */
#include "connect/session.h"

#include <stdlib.h>

static wg_env *env_of(const warp_attempt *attempt) {
  return attempt->session->connect->config.env;
}

warp_udp_socket *wg_socket_find(const warp_attempt *attempt, uint32_t number) {
  for (const wg_list *item = attempt->sockets.next; item != &attempt->sockets; item = item->next) {
    warp_udp_socket *socket = WG_CONTAINER(item, warp_udp_socket, link);
    if (socket->number == number)
      return socket;
  }
  return NULL;
}

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  warp_udp_socket *socket = arg;
  warp_attempt *attempt = socket->attempt;
  if ((socket->path != NULL && wg_path_input(socket->path, socket->number, data, len, from)) ||
      wg_measure_input(socket, data, len, from))
    return; /* which may have closed the socket */
  bool live = attempt->state == WG_ATTEMPT_RUNNING || attempt->state == WG_ATTEMPT_KEPT;
  if (live && socket->cb != NULL)
    socket->cb(attempt, socket, data, len, from);
}

int warp_attempt_udp(warp_attempt *attempt, warp_udp_received cb, warp_udp_socket **out) {
  if (attempt == NULL || out == NULL)
    return WARP_INVALID;
  wg_env *env = env_of(attempt);
  if (attempt->state != WG_ATTEMPT_RUNNING)
    return WARP_STATE;
  if (attempt->socket_count == WARP_UDP_SOCKETS)
    return WARP_LIMIT;
  warp_udp_socket *socket = calloc(1, sizeof *socket);
  if (socket == NULL)
    return WARP_NOMEM;
  socket->attempt = attempt;
  socket->cb = cb;
  warp_addr local = attempt->self.nic;
  local.port = 0;
  int status = env->ops->udp_open(env, &local, 0, on_datagram, socket, &socket->udp);
  if (status != WARP_OK) {
    free(socket);
    return status;
  }
  socket->counted = wg_attempt_spend(attempt, WARP_BUDGET_FLOWS);
  socket->number = ++attempt->sockets_opened;
  attempt->socket_count++;
  wg_list_push(&attempt->sockets, &socket->link);
  *out = socket;
  return WARP_OK;
}

void warp_udp_socket_local(const warp_udp_socket *socket, warp_addr *out) {
  if (out == NULL)
    return;
  if (socket != NULL)
    env_of(socket->attempt)->ops->udp_local(socket->udp, out);
  else
    *out = (warp_addr){0};
}

int warp_udp_socket_send(warp_udp_socket *socket, const warp_addr *to, const void *data,
                         size_t len) {
  if (socket == NULL || to == NULL || (data == NULL && len > 0))
    return WARP_INVALID;
  return env_of(socket->attempt)->ops->udp_send(socket->udp, to, data, len);
}

/* ---- closing --------------------------------------------------------------------------------- */

static void close_socket(warp_udp_socket *socket) {
  warp_attempt *attempt = socket->attempt;
  wg_measure_free(socket);
  wg_list_remove(&socket->link);
  attempt->socket_count--;
  env_of(attempt)->ops->udp_close(socket->udp);
  if (socket->counted)
    wg_attempt_refund(attempt, WARP_BUDGET_FLOWS);
  free(socket);
}

void warp_udp_socket_close(warp_udp_socket *socket) {
  if (socket != NULL && (socket->path == NULL || !wg_path_stands_on(socket->path, socket)))
    close_socket(socket);
}

void wg_sockets_close(warp_attempt *attempt) {
  while (!wg_list_empty(&attempt->sockets))
    close_socket(WG_CONTAINER(attempt->sockets.next, warp_udp_socket, link));
}

void wg_sockets_keep(warp_attempt *attempt, const warp_path *path) {
  for (wg_list *item = attempt->sockets.next; item != &attempt->sockets;) {
    warp_udp_socket *socket = WG_CONTAINER(item, warp_udp_socket, link);
    item = item->next;
    if (!wg_path_stands_on(path, socket))
      close_socket(socket);
  }
}
