/* Dials from a shared local port: SYNs whose connections, if they come to be, are candidates. */
#include "connect/port.h"
#include "connect/proof.h"

#include "base/addr.h"
#include <stdlib.h>

typedef struct wg_port_dial {
  wg_list link;
  warp_tcp_port *port;
  wg_tcp *tcp; /* NULL: it waits for the proof that the peer is there */
  warp_addr to;
  warp_tcp_dialled cb;
  bool counted; /* as a SYN of the budget */
} wg_port_dial;

static wg_env *env_of(const warp_attempt *attempt) {
  return attempt->session->connect->config.env;
}

static void forget(wg_port_dial *dial) {
  wg_list_remove(&dial->link);
  dial->port->dial_count--;
  if (dial->counted)
    wg_attempt_refund(dial->port->attempt, WARP_BUDGET_SYNS);
  free(dial);
}

static void abort_dial(wg_port_dial *dial) {
  /* With a reset: what is half open must not live on at the peer. */
  if (dial->tcp != NULL)
    env_of(dial->port->attempt)->ops->tcp_reset(dial->tcp);
  forget(dial);
}

/* Takes over an open connection: the responder says whose it is, for the initiator may have
 * accepted it. */
static int secure(warp_attempt *attempt, wg_tcp *tcp) {
  wg_env *env = env_of(attempt);
  bool initiator = attempt->session->role == WARP_INITIATOR;
  int status = wg_attempt_has_room(attempt) ? WARP_OK : WARP_LIMIT;
  if (status == WARP_OK && !initiator) {
    uint8_t preamble[WG_PREAMBLE_LEN];
    wg_preamble_write(preamble, attempt->stream_tag_out);
    status = env->ops->tcp_send(tcp, preamble, sizeof preamble);
  }
  if (status != WARP_OK) {
    env->ops->tcp_reset(tcp);
    return status;
  }
  wg_stream *stream = wg_stream_new(env, tcp);
  if (stream == NULL)
    return WARP_NOMEM;
  if (initiator)
    wg_stream_strip_preamble(stream, attempt->stream_tag_in);
  return wg_attempt_secure(attempt, WARP_STREAM, initiator, &wg_stream_carrier, stream, false,
                           &stream->pipe);
}

static void on_open(void *arg, int status) {
  wg_port_dial *dial = arg;
  warp_tcp_port *port = dial->port;
  warp_attempt *attempt = port->attempt;
  wg_tcp *tcp = dial->tcp;
  warp_addr to = dial->to;
  warp_tcp_dialled cb = dial->cb;
  forget(dial);
  if (status == WARP_OK) {
    char text[WARP_ADDR_STRLEN];
    warp_attempt_note(attempt, "connected from port %u to %s, securing", port->local.port,
                      warp_addr_format(&to, text));
    status = secure(attempt, tcp);
  } else {
    env_of(attempt)->ops->tcp_reset(tcp);
  }
  if (cb != NULL)
    cb(attempt, port, &to, status);
}

static wg_port_dial *find(const warp_tcp_port *port, const warp_addr *to) {
  for (wg_list *item = port->dials.next; item != &port->dials; item = item->next) {
    wg_port_dial *dial = WG_CONTAINER(item, wg_port_dial, link);
    if (wg_addr_equal(&dial->to, to))
      return dial;
  }
  return NULL;
}

static int launch(wg_port_dial *dial) {
  static const wg_tcp_handlers handlers = {.on_open = on_open};
  wg_env *env = env_of(dial->port->attempt);
  if (!wg_attempt_may_send(dial->port->attempt, &dial->to))
    return WARP_LIMIT;
  return env->ops->tcp_connect(env, &dial->port->local, &dial->to, WG_SOCK_REUSE, &handlers, dial,
                               &dial->tcp);
}

static wg_port_dial *find_allowed(const warp_attempt *attempt) {
  for (wg_list *item = attempt->ports.next; item != &attempt->ports; item = item->next) {
    const warp_tcp_port *port = WG_CONTAINER(item, warp_tcp_port, link);
    for (wg_list *at = port->dials.next; at != &port->dials; at = at->next) {
      wg_port_dial *dial = WG_CONTAINER(at, wg_port_dial, link);
      if (dial->tcp == NULL && wg_attempt_may_contact(attempt, WARP_TCP, &dial->to) == WARP_OK)
        return dial;
    }
  }
  return NULL;
}

bool wg_port_dial_launch(warp_attempt *attempt) {
  wg_port_dial *dial = find_allowed(attempt);
  if (dial == NULL)
    return false;
  int status = launch(dial);
  if (status == WARP_OK)
    return true;
  warp_tcp_port *port = dial->port;
  warp_addr to = dial->to;
  warp_tcp_dialled cb = dial->cb;
  forget(dial);
  if (cb != NULL)
    cb(attempt, port, &to, status);
  return true;
}

int warp_tcp_port_dial(warp_tcp_port *port, const warp_addr *to, warp_tcp_dialled cb) {
  if (port == NULL || to == NULL)
    return WARP_INVALID;
  warp_attempt *attempt = port->attempt;
  if (attempt->state != WG_ATTEMPT_RUNNING || find(port, to) != NULL)
    return WARP_STATE;
  if (port->dial_count >= WARP_TCP_DIALS)
    return WARP_LIMIT;
  int status = wg_attempt_may_contact(attempt, WARP_TCP, to);
  bool waits = status == WARP_UNTRUSTED && wg_proof_may_come(attempt, to);
  if (status != WARP_OK && !waits)
    return status;
  wg_port_dial *dial = calloc(1, sizeof *dial);
  if (dial == NULL)
    return WARP_NOMEM;
  *dial = (wg_port_dial){.port = port, .to = *to, .cb = cb};
  status = waits ? WARP_OK : launch(dial);
  if (status != WARP_OK) {
    free(dial);
    return status;
  }
  dial->counted = wg_attempt_spend(attempt, WARP_BUDGET_SYNS);
  wg_list_push(&port->dials, &dial->link);
  port->dial_count++;
  return WARP_OK;
}

void warp_tcp_port_abort(warp_tcp_port *port, const warp_addr *to) {
  wg_port_dial *dial = port != NULL && to != NULL ? find(port, to) : NULL;
  if (dial != NULL)
    abort_dial(dial);
}

void wg_port_abort_all(warp_tcp_port *port) {
  while (!wg_list_empty(&port->dials))
    abort_dial(WG_CONTAINER(port->dials.next, wg_port_dial, link));
}
