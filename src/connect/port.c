/*
 * Local TCP ports from which connections leave and at which they arrive: the node's listen port,
 * and fresh ones. What arrives at either goes the way of all accepted streams (inbound.c), which
 * finds the attempt by the stream's first bytes.
 */
#include "connect/port.h"

#include "base/addr.h"
#include <stdlib.h>

/* For connection and answer of the STUN server together: the mapping is wanted for a punch that has
 * seconds. */
enum { MEASURE_MS = 2000 };

static wg_env *env_of(const warp_tcp_port *port) {
  return port->attempt->session->connect->config.env;
}

/* The attempt's tags are needed as soon as it has a port: the peer's streams may come at once. */
static int new_port(warp_attempt *attempt, warp_tcp_port **out) {
  if (attempt->state != WG_ATTEMPT_RUNNING)
    return WARP_STATE;
  if (attempt->port_count >= WARP_TCP_PORTS)
    return WARP_LIMIT;
  int status = attempt->punches
                   ? WARP_OK
                   : wg_attempt_tags(attempt, attempt->stream_tag_in, attempt->stream_tag_out);
  if (status != WARP_OK)
    return status;
  warp_tcp_port *port = calloc(1, sizeof *port);
  if (port == NULL)
    return WARP_NOMEM;
  attempt->punches = true;
  port->attempt = attempt;
  port->local = attempt->self.nic;
  wg_list_init(&port->dials);
  wg_list_push(&attempt->ports, &port->link);
  attempt->port_count++;
  *out = port;
  return WARP_OK;
}

int warp_attempt_listen_port(warp_attempt *attempt, warp_tcp_port **out) {
  if (attempt == NULL || out == NULL)
    return WARP_INVALID;
  for (const wg_list *item = attempt->ports.next; item != &attempt->ports; item = item->next) {
    if (WG_CONTAINER(item, const warp_tcp_port, link)->of_node)
      return WARP_STATE;
  }
  if (attempt->self.nic.port == 0)
    return WARP_UNSUPPORTED;
  int status = new_port(attempt, out);
  if (status == WARP_OK)
    (*out)->of_node = true;
  return status;
}

static void on_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  wg_connect_on_stream(arg, tcp, from);
}

int warp_attempt_tcp_port(warp_attempt *attempt, bool listen, warp_tcp_port **out) {
  if (attempt == NULL || out == NULL)
    return WARP_INVALID;
  wg_connect *connect = attempt->session->connect;
  warp_tcp_port *port;
  int status = new_port(attempt, &port);
  if (status != WARP_OK)
    return status;
  port->local.port = 0;
  status = connect->config.env->ops->tcp_listen(connect->config.env, &port->local, WG_SOCK_REUSE,
                                                listen ? on_accept : NULL, connect, &port->own);
  if (status != WARP_OK) {
    warp_tcp_port_close(port);
    return status;
  }
  connect->config.env->ops->tcp_listener_local(port->own, &port->local);
  port->counted = wg_attempt_spend(attempt, WARP_BUDGET_FLOWS);
  *out = port;
  return WARP_OK;
}

uint16_t warp_tcp_port_number(const warp_tcp_port *port) {
  return port != NULL ? port->local.port : 0;
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void on_stun(void *arg, int status, const warp_addr *external) {
  warp_tcp_port *port = arg;
  warp_tcp_measured cb = port->measured;
  port->measured = NULL; /* when the connection ends later the answer was true all the same */
  if (status != WARP_OK) {
    wg_stun_stream_close(port->stun);
    port->stun = NULL; /* another server may be asked */
  }
  if (cb != NULL && port->attempt->state == WG_ATTEMPT_RUNNING)
    cb(port->attempt, port, status, external);
}

int warp_tcp_port_measure(warp_tcp_port *port, const warp_addr *server, warp_tcp_measured cb) {
  if (port == NULL || server == NULL || cb == NULL)
    return WARP_INVALID;
  if (port->attempt->state != WG_ATTEMPT_RUNNING || port->stun != NULL)
    return WARP_STATE;
  int status = wg_stun_stream_open(env_of(port), &port->local, server, MEASURE_MS, on_stun, port,
                                   &port->stun);
  if (status == WARP_OK)
    port->measured = cb;
  return status;
}

/* ---- closing --------------------------------------------------------------------------------- */

/* Lets go of what the port holds of the system. */
static void shut(warp_tcp_port *port) {
  wg_port_abort_all(port);
  if (port->stun != NULL)
    wg_stun_stream_close(port->stun);
  if (port->own != NULL)
    env_of(port)->ops->tcp_listener_close(port->own);
  if (port->counted)
    wg_attempt_refund(port->attempt, WARP_BUDGET_FLOWS);
  port->counted = false;
  port->stun = NULL;
  port->own = NULL;
}

void warp_tcp_port_close(warp_tcp_port *port) {
  if (port == NULL)
    return;
  shut(port);
  port->attempt->port_count--;
  wg_list_remove(&port->link);
  free(port);
}

void wg_ports_shut(warp_attempt *attempt) {
  for (wg_list *item = attempt->ports.next; item != &attempt->ports; item = item->next)
    shut(WG_CONTAINER(item, warp_tcp_port, link));
}

void wg_ports_close(warp_attempt *attempt) {
  while (!wg_list_empty(&attempt->ports))
    warp_tcp_port_close(WG_CONTAINER(attempt->ports.next, warp_tcp_port, link));
}
