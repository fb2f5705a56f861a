/* Dialling the peer: a TCP connection that becomes a pipe of its attempt once it is open. */
#include "connect/proof.h"

#include <stdlib.h>

typedef struct wg_dial {
  wg_list link;
  warp_attempt *attempt;
  wg_tcp *tcp; /* NULL: it waits for the proof that the peer is there */
  warp_addr to;
} wg_dial;

static void on_open(void *arg, int status) {
  wg_dial *dial = arg;
  warp_attempt *attempt = dial->attempt;
  wg_env *env = attempt->session->connect->config.env;
  wg_tcp *tcp = dial->tcp;
  char text[WARP_ADDR_STRLEN];
  warp_addr_format(&dial->to, text);
  wg_list_remove(&dial->link);
  free(dial);
  if (status != WARP_OK) {
    env->ops->tcp_reset(tcp);
    warp_attempt_fail(attempt, status, "dialling %s: %s", text, warp_strerror(status));
    return;
  }
  warp_attempt_note(attempt, "connected to %s, securing", text);
  wg_stream *stream = wg_stream_new(env, tcp);
  status = stream == NULL ? WARP_NOMEM
                          : wg_attempt_secure(attempt, WARP_STREAM, true, &wg_stream_carrier,
                                              stream, false, &stream->pipe);
  if (status != WARP_OK)
    warp_attempt_fail(attempt, status, "securing %s: %s", text, warp_strerror(status));
}

static int launch(wg_dial *dial) {
  static const wg_tcp_handlers handlers = {.on_open = on_open};
  warp_attempt *attempt = dial->attempt;
  wg_env *env = attempt->session->connect->config.env;
  if (!wg_attempt_may_send(attempt, &dial->to))
    return WARP_LIMIT;
  warp_addr local = attempt->self.nic;
  local.port = 0;
  int status = env->ops->tcp_connect(env, &local, &dial->to, 0, &handlers, dial, &dial->tcp);
  char text[WARP_ADDR_STRLEN];
  if (status == WARP_OK)
    warp_attempt_note(attempt, "dialled %s, no answer", warp_addr_format(&dial->to, text));
  return status;
}

bool wg_dial_launch(warp_attempt *attempt) {
  for (wg_list *item = attempt->dials.next; item != &attempt->dials; item = item->next) {
    wg_dial *dial = WG_CONTAINER(item, wg_dial, link);
    if (dial->tcp != NULL || wg_attempt_may_contact(attempt, WARP_TCP, &dial->to) != WARP_OK)
      continue;
    int status = launch(dial);
    if (status == WARP_OK)
      return true;
    char text[WARP_ADDR_STRLEN];
    warp_addr_format(&dial->to, text);
    warp_attempt_fail(attempt, status, "dialling %s: %s", text, warp_strerror(status));
    return true;
  }
  return false;
}

int warp_attempt_dial(warp_attempt *attempt, const warp_addr *to) {
  if (attempt == NULL || to == NULL)
    return WARP_INVALID;
  int status = attempt->state == WG_ATTEMPT_RUNNING ? wg_attempt_may_contact(attempt, WARP_TCP, to)
                                                    : WARP_STATE;
  bool waits = status == WARP_UNTRUSTED && wg_proof_may_come(attempt, to);
  if (status != WARP_OK && !waits)
    return status;
  wg_dial *dial = calloc(1, sizeof *dial);
  if (dial == NULL)
    return WARP_NOMEM;
  dial->attempt = attempt;
  dial->to = *to;
  status = waits ? WARP_OK : launch(dial);
  if (status != WARP_OK) {
    free(dial);
    return status;
  }
  wg_list_push(&attempt->dials, &dial->link);
  return WARP_OK;
}

void wg_dials_abort(warp_attempt *attempt) {
  while (!wg_list_empty(&attempt->dials)) {
    wg_dial *dial = WG_CONTAINER(attempt->dials.next, wg_dial, link);
    wg_list_remove(&dial->link);
    if (dial->tcp != NULL)
      attempt->session->connect->config.env->ops->tcp_reset(dial->tcp);
    free(dial);
  }
}
