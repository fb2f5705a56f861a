#include "connect/pairs.h"

#include "base/addr.h"
#include <stdlib.h>
#include <string.h>

enum { SENT_FIRST = 64 }; /* room at first: a punch needs a dozen */

static bool pair_equal(const wg_pair *a, const wg_pair *b) {
  return a->socket == b->socket && wg_addr_equal(&a->remote, &b->remote);
}

void wg_pairs_free(wg_pairs *pairs) {
  free(pairs->sent);
  free(pairs->heard);
  *pairs = (wg_pairs){0};
}

/* ---- probes that were sent ------------------------------------------------------------------- */

/* Doubles the room before the numbers reach its end for the first time, so that every number keeps
 * its place. */
static void grow(wg_pairs *pairs) {
  uint32_t room = pairs->sent_room == 0 ? SENT_FIRST : pairs->sent_room * 2;
  if (pairs->last_number < pairs->sent_room || room > WG_PAIRS_SENT)
    return;
  if (pairs->sent_room != 0 && pairs->last_number != pairs->sent_room)
    return; /* growing failed before and the numbers have gone round */
  wg_sent_probe *sent = realloc(pairs->sent, room * sizeof *sent);
  if (sent == NULL)
    return;
  memset(sent + pairs->sent_room, 0, (room - pairs->sent_room) * sizeof *sent);
  pairs->sent = sent;
  pairs->sent_room = room;
}

uint32_t wg_pairs_number(wg_pairs *pairs, const wg_pair *pair, bool answers, uint32_t random) {
  const uint32_t place = WG_PAIRS_SENT - 1; /* these bits count, and say where it is remembered */
  pairs->last_number++;
  grow(pairs);
  uint32_t number = (random & ~place) | (pairs->last_number & place);
  if (number == 0)
    number = WG_PAIRS_SENT; /* 0 is no number */
  if (pairs->sent_room > 0)
    pairs->sent[number % pairs->sent_room] =
        (wg_sent_probe){.number = number, .answers = answers, .pair = *pair};
  return number;
}

/* The probe of ours that a packet acknowledges, or NULL. */
static const wg_sent_probe *find_sent(const wg_pairs *pairs, uint32_t number) {
  if (number == 0 || pairs->sent_room == 0)
    return NULL;
  const wg_sent_probe *probe = &pairs->sent[number % pairs->sent_room];
  return probe->number == number ? probe : NULL;
}

const wg_pair *wg_pairs_sent(const wg_pairs *pairs, uint32_t number) {
  const wg_sent_probe *probe = find_sent(pairs, number);
  return probe != NULL ? &probe->pair : NULL;
}

/* ---- sources that were heard ----------------------------------------------------------------- */

/* NULL when there is no room for one more. */
static wg_heard_source *find_source(wg_pairs *pairs, const wg_pair *from, bool *is_new) {
  *is_new = false;
  for (size_t i = 0; i < pairs->heard_count; i++) {
    if (pair_equal(&pairs->heard[i].pair, from))
      return &pairs->heard[i];
  }
  if (pairs->heard == NULL)
    pairs->heard = calloc(WG_PAIRS_HEARD, sizeof *pairs->heard);
  if (pairs->heard == NULL || pairs->heard_count == WG_PAIRS_HEARD)
    return NULL;
  wg_heard_source *source = &pairs->heard[pairs->heard_count++];
  *source = (wg_heard_source){.pair = *from, .connecting = !pairs->settled};
  *is_new = true;
  return source;
}

void wg_pairs_settle(wg_pairs *pairs) {
  pairs->settled = true;
}

bool wg_pairs_suspect(wg_pairs *pairs, const wg_pair *from, uint64_t now_us) {
  bool silent = now_us - pairs->alive_us >= WG_PAIRS_MOVE_US;
  if (!pairs->settled || !silent || now_us < pairs->ask_us)
    return false;
  pairs->asked = *from;
  pairs->asks = WG_PAIRS_ASKS;
  pairs->ask_us = now_us + (uint64_t)WG_PAIRS_ASKS * WG_PAIRS_ASK_US;
  return true;
}

bool wg_pairs_ask(wg_pairs *pairs) {
  if (pairs->asks == 0)
    return false;
  pairs->asks--;
  return true;
}

bool wg_pairs_uses(const wg_pairs *pairs, uint32_t socket) {
  if (pairs->state != WG_PAIRS_SEEKING && pairs->out.socket == socket)
    return true;
  for (size_t i = 0; i < pairs->heard_count; i++) {
    if (pairs->heard[i].connecting && pairs->heard[i].pair.socket == socket)
      return true;
  }
  return false;
}

bool wg_pairs_heard_from(const wg_pairs *pairs, const warp_addr *remote) {
  for (size_t i = 0; i < pairs->heard_count; i++) {
    if (wg_addr_equal(&pairs->heard[i].pair.remote, remote))
      return true;
  }
  return false;
}

/* ---- the pair that is used ------------------------------------------------------------------- */

/* The only place where state and pair change. Returns whether the pair did. */
static bool move(wg_pairs *pairs, wg_pairs_state to, const wg_pair *out, uint64_t now_us) {
  bool moved = pairs->state == WG_PAIRS_SEEKING || !pair_equal(&pairs->out, out);
  pairs->state = to;
  pairs->out = *out;
  pairs->alive_us = now_us;
  return moved;
}

/* Does what comes from there show that the present pair is alive? While it is not proven, only what
 * comes from its own address does. */
static bool belongs(const wg_pairs *pairs, const wg_pair *from, const wg_heard_source *source) {
  if (pair_equal(&pairs->out, from))
    return true;
  return pairs->state == WG_PAIRS_PROVEN && source != NULL && source->connecting;
}

static bool follow(wg_pairs *pairs, const wg_pair *from, const wg_heard_source *source,
                   uint64_t now_us) {
  if (pairs->state != WG_PAIRS_SEEKING) {
    if (belongs(pairs, from, source))
      pairs->alive_us = now_us;
    if (pairs->settled || now_us - pairs->alive_us < WG_PAIRS_MOVE_US)
      return false;
  }
  return move(pairs, WG_PAIRS_LISTENED, from, now_us);
}

/* The peer has answered from where it was suspected to be. Where it was while connecting says no
 * more of it. */
static bool follow_answer(wg_pairs *pairs, const wg_sent_probe *answered, uint64_t now_us) {
  if (pairs->ask_us == 0 || !pair_equal(&answered->pair, &pairs->asked) ||
      now_us - pairs->alive_us < WG_PAIRS_MOVE_US)
    return false;
  for (size_t i = 0; i < pairs->heard_count; i++)
    pairs->heard[i].connecting = pair_equal(&pairs->heard[i].pair, &pairs->asked);
  pairs->asks = 0;
  return move(pairs, WG_PAIRS_PROVEN, &pairs->asked, now_us);
}

/* Once settled, one that acknowledges what we know nothing of is not answered: both sides could
 * have lost track, and would answer each other for ever. */
static bool may_answer(wg_pairs *pairs, wg_heard_source *source, const wg_carried *packet,
                       const wg_sent_probe *answered, uint64_t now_us) {
  /* Who acknowledges an answer knows already that both directions work. */
  bool wants = answered != NULL ? !answered->answers : !pairs->settled || packet->acknowledged == 0;
  if (!wants || source == NULL)
    return false;
  if (now_us - source->answered_us >= WG_PAIRS_ANSWERS_US) {
    source->answered_us = now_us;
    source->answers = 0;
  }
  if (source->answers == WG_PAIRS_ANSWERS)
    return false;
  source->answers++;
  return true;
}

unsigned wg_pairs_heard(wg_pairs *pairs, const wg_pair *from, const wg_carried *packet,
                        uint64_t now_us) {
  bool is_new;
  wg_heard_source *source = find_source(pairs, from, &is_new);
  unsigned result = is_new ? WG_PAIRS_NEW_SOURCE : 0;
  if (follow(pairs, from, source, now_us))
    result |= WG_PAIRS_MOVED;
  if (packet->payload != NULL)
    return result;
  pairs->peer_number = packet->sequence;
  const wg_sent_probe *answered =
      pairs->wrong < WG_PAIRS_WRONG ? find_sent(pairs, packet->acknowledged) : NULL;
  if (answered == NULL && packet->acknowledged != 0 && pairs->wrong < WG_PAIRS_WRONG)
    pairs->wrong++;
  if (answered != NULL && pairs->settled && follow_answer(pairs, answered, now_us)) {
    result |= WG_PAIRS_MOVED;
  } else if (answered != NULL && pairs->state != WG_PAIRS_PROVEN) {
    result |= WG_PAIRS_NOW_PROVEN;
    if (move(pairs, WG_PAIRS_PROVEN, &answered->pair, now_us))
      result |= WG_PAIRS_MOVED;
  }
  if (may_answer(pairs, source, packet, answered, now_us))
    result |= WG_PAIRS_ANSWER;
  return result;
}
