/* Between the two halves of the TURN client: what is sent (turn_client.c) and what is answered
 * (turn_answer.c). */
#ifndef WG_MACHINE_TURN_INTERNAL_H
#define WG_MACHINE_TURN_INTERNAL_H

#include "machine/turn_client.h"

/* Started and not ended. */
bool wg_turn_alive(const wg_turn_client *client);
/* New states, of which an event will tell. */
void wg_turn_set_state(wg_turn_client *client, wg_turn_state state);
void wg_turn_set_peer_state(wg_turn_peer *peer, wg_turn_peer_state state);
/* The allocation is over; with it go all permissions and channels. */
void wg_turn_end(wg_turn_client *client, int status);
void wg_turn_lose_peer(wg_turn_peer *peer, int status);
/* Begins a transaction, which the next output sends. WARP_IO without randomness. */
int wg_turn_start_request(wg_turn_client *client, wg_turn_request *request, uint64_t now_us);
/* The same for a permission or channel, which is lost without randomness. */
void wg_turn_start_peer(wg_turn_client *client, wg_turn_peer *peer, uint64_t now_us);
/* The peer whose permission or channel lets datagrams of an address through, or NULL; a channel is
 * preferred where its port is right too. */
const wg_turn_peer *wg_turn_find_permitted(const wg_turn_client *client, const warp_addr *addr);

#endif
