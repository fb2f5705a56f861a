/*
 * Proof that a peer stands in our own network, where it says that it does: only then is a TCP
 * connection there allowed.
 *
 * A record may claim any private address. A refused or accepted connection would tell its author
 * what there is in our network, so the claim is good for a few tagged datagrams only. Each of them
 * carries a number that nobody can foresee, and who got it answers with that number, from the very
 * address that it was sent to. So the peer reads what we send to that address on our own link. One
 * that is elsewhere does not get the number; nor could it send from there, because no NAT lets a
 * private source in. No host that happens to have the address answers: the tag is derived from the
 * keys of the two nodes.
 */
#ifndef WG_CONNECT_PROOF_H
#define WG_CONNECT_PROOF_H

#include "connect/session.h"

enum {
  WG_PROOF_PROBES = 6,    /* of one attempt, at 0, 50, 150, 350, 750 and 1550 ms */
  WG_PROOF_FIRST_MS = 50, /* doubles, until 3150 ms are over: a peer in the same network has
                             answered as soon as the message through the broker has come, even if it
                             was lost and said again after a second, and once more after three */
  WG_PROOF_SENT = 16,     /* numbers of one attempt, answers too */
  /* Datagrams of one session, whatever its peer claims: three attempts for each of two addresses,
   * or the answers to a peer that is there. */
  WG_PROOF_SESSION = 48,
};

/* An attempt begins: where it needs the proof, the peer is asked for it. WARP_OK, also where it
 * needs none; WARP_UNSUPPORTED without a UDP socket of the family, WARP_LIMIT, WARP_NOMEM, WARP_IO.
 */
int wg_proof_begin(warp_attempt *attempt);
/* Is it being asked for, so that dials have to wait? */
bool wg_proof_pending(const warp_attempt *attempt);
/* The same of a dial to this address, which may be contacted when the peer is there. */
bool wg_proof_may_come(const warp_attempt *attempt, const warp_addr *to);
/* The attempt is over. */
void wg_proof_end(warp_attempt *attempt);
/* Does the peer answer from there, in this session? The port does not matter. */
bool wg_proof_holds(const wg_session *session, const warp_addr *to);

/* Start one dial of the attempt that waited and is allowed now; false when there is none. The
 * attempt may end within. */
bool wg_dial_launch(warp_attempt *attempt);
bool wg_port_dial_launch(warp_attempt *attempt);

#endif
