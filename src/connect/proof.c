#include "connect/proof.h"

#include "base/addr.h"
#include "connect/mux.h"
#include <stdlib.h>

typedef enum proof_state {
  PROOF_ASKING,
  PROOF_DONE, /* or not needed any more; the peer may still ask us */
} proof_state;

struct wg_proof {
  warp_attempt *attempt;
  proof_state state;
  wg_mux *mux;
  wg_mux_tag tag_in;
  uint8_t tag_out[WG_TAG_LEN];
  warp_addr at; /* where the peer says it is */
  wg_timer timer;
  unsigned probes;
  uint32_t first;       /* our first number; the others follow it */
  uint32_t sent;        /* how many of them */
  uint32_t answers;     /* bits: which of them answered one of the peer's */
  uint32_t peer_number; /* the latest of the peer's */
};

static wg_env *env_of(const warp_attempt *attempt) {
  return attempt->session->connect->config.env;
}

/* ---- what a session knows -------------------------------------------------------------------- */

bool wg_proof_holds(const wg_session *session, const warp_addr *to) {
  for (size_t i = 0; i < session->proven_count; i++) {
    if (wg_addr_same_ip(&session->proven[i], to))
      return true;
  }
  return false;
}

static void remember(wg_session *session, const warp_addr *at) {
  if (session->proven_count < WG_RECORD_ENDPOINTS && !wg_proof_holds(session, at))
    session->proven[session->proven_count++] = *at;
}

/* Dials of all attempts that waited. One that fails at once may end its attempt, or the session. */
static void launch_all(wg_session *session) {
  for (size_t i = 0; i < session->attempt_count; i++) {
    warp_attempt *attempt = session->attempts[i];
    while (attempt->state == WG_ATTEMPT_RUNNING &&
           (wg_dial_launch(attempt) || wg_port_dial_launch(attempt))) {
    }
  }
}

/* ---- packets --------------------------------------------------------------------------------- */

static void send_number(wg_proof *proof, bool answer) {
  wg_session *session = proof->attempt->session;
  if (proof->sent == WG_PROOF_SENT || session->proof_packets == WG_PROOF_SESSION)
    return;
  session->proof_packets++;
  uint8_t packet[WG_PROBE_LEN];
  if (answer)
    proof->answers |= UINT32_C(1) << proof->sent;
  wg_probe_encode(packet, proof->tag_out, proof->first + proof->sent++, proof->peer_number);
  /* What does not leave is lost like any other datagram. */
  (void)proof->mux->env->ops->udp_send(proof->mux->udp, &proof->at, packet, sizeof packet);
}

/* Not even answered when it comes from elsewhere: that would tell our numbers there. An answer to
 * an answer needs none. */
static void on_packet(void *arg, const wg_carried *packet, const warp_addr *from) {
  wg_proof *proof = arg;
  if (packet->payload != NULL || !wg_addr_equal(from, &proof->at))
    return;
  uint32_t index = packet->acknowledged - proof->first;
  bool known = packet->acknowledged != 0 && index < proof->sent;
  proof->peer_number = packet->sequence;
  wg_opening_end(proof->attempt);
  if (!known || (proof->answers >> index & 1) == 0)
    send_number(proof, true);
  if (!known || proof->state == PROOF_DONE)
    return;
  proof->state = PROOF_DONE;
  wg_timer_stop(env_of(proof->attempt), &proof->timer);
  remember(proof->attempt->session, &proof->at);
  launch_all(proof->attempt->session);
}

static void give_up(warp_attempt *attempt, const warp_addr *at) {
  char text[WARP_ADDR_STRLEN];
  if (wg_opening_unsent(attempt))
    warp_attempt_fail(attempt, WARP_NO_SERVER, "no broker to ask the peer through");
  else
    warp_attempt_fail(attempt, WARP_UNREACHABLE,
                      "nothing of the peer came from %s: not the same network",
                      warp_addr_format(at, text));
}

static void ask(void *arg) {
  wg_proof *proof = arg;
  warp_attempt *attempt = proof->attempt;
  if (wg_proof_holds(attempt->session, &proof->at) || !wg_list_empty(&attempt->candidates)) {
    proof->state = PROOF_DONE;
    return;
  }
  if (proof->probes == WG_PROOF_PROBES) {
    give_up(attempt, &proof->at);
    return;
  }
  send_number(proof, false);
  uint64_t delay_ms = (uint64_t)WG_PROOF_FIRST_MS << proof->probes++;
  wg_timer_start(env_of(attempt), &proof->timer, delay_ms * 1000, ask, proof);
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool is_needed(const warp_attempt *attempt) {
  return attempt->combo.route_type == WARP_NIC_BIND && attempt->combo.transport == WARP_TCP &&
         attempt->number != 0 &&
         wg_attempt_may_contact(attempt, WARP_UDP, &attempt->peer.nic) == WARP_OK &&
         wg_may_contact(&attempt->session->connect->self, &attempt->session->peer_record, WARP_TCP,
                        &attempt->peer.nic) != WARP_OK;
}

static int bind_tag(wg_proof *proof) {
  warp_attempt *attempt = proof->attempt;
  wg_mux *mux = wg_connect_mux(attempt->session->connect, attempt->self_index);
  uint8_t tag_in[WG_TAG_LEN];
  if (mux == NULL)
    return WARP_UNSUPPORTED;
  if (attempt->session->role == WARP_RESPONDER && mux->tag_count >= WG_MUX_TAGS - WG_MUX_TAGS_OWN)
    return WARP_LIMIT;
  int status = env_of(attempt)->ops->random(env_of(attempt), &proof->first, sizeof proof->first);
  /* Neither 0, which is no number, nor among the last ones, which would count over it. */
  proof->first = (proof->first >> 1) + 1;
  if (status == WARP_OK)
    status = wg_attempt_tags(attempt, tag_in, proof->tag_out);
  if (status == WARP_OK)
    status = wg_mux_bind(mux, &proof->tag_in, tag_in, on_packet, proof);
  proof->mux = mux;
  return status;
}

int wg_proof_begin(warp_attempt *attempt) {
  if (!is_needed(attempt))
    return WARP_OK;
  wg_proof *proof = calloc(1, sizeof *proof);
  if (proof == NULL)
    return WARP_NOMEM;
  proof->attempt = attempt;
  proof->at = attempt->peer.nic;
  int status = bind_tag(proof);
  if (status != WARP_OK) {
    free(proof);
    return status;
  }
  attempt->proof = proof;
  ask(proof);
  return WARP_OK;
}

bool wg_proof_pending(const warp_attempt *attempt) {
  const wg_proof *proof = attempt->proof;
  return proof != NULL && proof->state == PROOF_ASKING &&
         !wg_proof_holds(attempt->session, &proof->at);
}

bool wg_proof_may_come(const warp_attempt *attempt, const warp_addr *to) {
  return wg_proof_pending(attempt) && wg_addr_same_ip(to, &attempt->proof->at) &&
         wg_attempt_may_contact(attempt, WARP_UDP, to) == WARP_OK;
}

void wg_proof_end(warp_attempt *attempt) {
  wg_proof *proof = attempt->proof;
  if (proof == NULL)
    return;
  attempt->proof = NULL;
  wg_timer_stop(env_of(attempt), &proof->timer);
  wg_mux_unbind(proof->mux, &proof->tag_in);
  free(proof);
}
