/*
 * Datagram paths: candidates, tagged probes, and the selected address.
 *
 * A packet with the right tag proves that the peer sent it (the tag is derived from a secret that
 * only the two keys can compute), so the address it came from is a peer-reflexive candidate (RFC
 * 8445 section 7.3.1.3) that is known to reach us. The first one heard is selected. A pair that
 * works is kept: the peer's address is followed to a newer one only after the old one has been
 * silent, because strict NATs answer from other ports than the ones they are sent to.
 */
#include "connect/session.h"

#include "base/addr.h"
#include <stdlib.h>
#include <string.h>

enum { WG_PATH_MOVE_US = 5000000 }; /* silence after which another address may take over */

struct warp_path {
  warp_attempt *attempt; /* owns it, and lives as long as its session, which lives as long as its
                            pipe */
  wg_env *env;
  wg_mux *mux;             /* where our own socket is the shared one */
  warp_path_socket socket; /* else */
  wg_mux_tag tag_in;
  uint8_t tag_out[WG_TAG_LEN];
  warp_addr candidates[WARP_PATH_CANDIDATES];
  bool heard[WARP_PATH_CANDIDATES];
  size_t candidate_count;
  bool selected;
  warp_addr remote;
  uint64_t heard_us; /* when the selected address was last heard */
  warp_path_heard on_heard;
  bool relayed;
  warp_pipe *pipe;
  bool closed; /* nothing is sent or heard any more; the plugin may still hold it */
};

static int send_to(warp_path *path, const warp_addr *to, const void *data, size_t len) {
  if (path->mux != NULL)
    return path->env->ops->udp_send(path->mux->udp, to, data, len);
  return path->socket.send(path->socket.arg, to, data, len);
}

/* To the selected address, or to all while none is. One that fails does not keep the others from
 * being tried. */
static int send_everywhere(warp_path *path, const void *data, size_t len) {
  if (path->selected)
    return send_to(path, &path->remote, data, len);
  int status = WARP_OK;
  for (size_t i = 0; i < path->candidate_count; i++)
    status = send_to(path, &path->candidates[i], data, len);
  return status;
}

/* ---- the carrier under a pipe ---------------------------------------------------------------- */

static int carrier_send(void *carrier, const void *data, size_t len) {
  warp_path *path = carrier;
  uint8_t packet[WG_CARRY_HEADER_LEN + WG_UDP_MAX];
  if (len > WG_UDP_MAX - WG_CARRY_HEADER_LEN)
    return WARP_TOO_BIG;
  size_t header = wg_carry_begin(packet, true, path->tag_out);
  memcpy(packet + header, data, len);
  int status = send_everywhere(path, packet, header + len);
  return status == WARP_AGAIN ? WARP_OK
                              : status; /* a full buffer loses datagrams, like any hop may */
}

static size_t carrier_queued(void *carrier) {
  (void)carrier;
  return 0;
}

static int carrier_shutdown(void *carrier) {
  (void)carrier;
  return WARP_UNSUPPORTED;
}

static void carrier_pause(void *carrier, bool paused) {
  (void)carrier;
  (void)paused;
}

static void carrier_close(void *carrier) {
  warp_path *path = carrier;
  path->pipe = NULL;
  wg_path_close(path);
}

static void carrier_addrs(void *carrier, warp_addr *local, warp_addr *remote) {
  warp_path *path = carrier;
  *remote = path->mux != NULL ? path->remote : path->socket.remote;
  memset(local, 0, sizeof *local);
  if (path->mux != NULL)
    *local = path->mux->local;
}

static const wg_carrier_ops carrier_ops = {
    .send = carrier_send,
    .queued = carrier_queued,
    .shutdown = carrier_shutdown,
    .pause = carrier_pause,
    .close = carrier_close,
    .reset = carrier_close,
    .addrs = carrier_addrs,
};

/* ---- receiving ------------------------------------------------------------------------------- */

/* Index of a candidate, added when there is room for it; -1 when there is none. */
static int candidate_index(warp_path *path, const warp_addr *addr) {
  for (size_t i = 0; i < path->candidate_count; i++) {
    if (wg_addr_equal(&path->candidates[i], addr))
      return (int)i;
  }
  if (path->candidate_count == WARP_PATH_CANDIDATES)
    return -1;
  path->candidates[path->candidate_count] = *addr;
  path->heard[path->candidate_count] = false;
  return (int)path->candidate_count++;
}

static void select_remote(warp_path *path, const warp_addr *from) {
  uint64_t now = wg_now_us(path->env);
  bool same = path->selected && wg_addr_equal(&path->remote, from);
  if (path->selected && !same && now - path->heard_us < WG_PATH_MOVE_US)
    return;
  path->heard_us = now;
  path->selected = true;
  path->remote = *from;
}

static void first_heard(warp_path *path, const uint8_t *payload, const warp_addr *from) {
  /* What was sent before may have met a closed filter: send the flight again to where it is open
   * now. */
  if (path->pipe != NULL && payload == NULL)
    wg_pipe_retransmit(path->pipe);
  if (path->on_heard != NULL && !path->closed && path->attempt->state == WG_ATTEMPT_RUNNING)
    path->on_heard(path->attempt, path, NULL, from, false);
}

/* A packet with our tag. Each step may close the path, none frees it. */
static void on_packet(void *arg, const uint8_t *payload, size_t len, const warp_addr *from) {
  warp_path *path = arg;
  select_remote(path, from);
  int index = candidate_index(path, from);
  if (index >= 0 && !path->heard[index]) {
    path->heard[index] = true;
    first_heard(path, payload, from);
  }
  if (payload != NULL && path->pipe != NULL)
    wg_pipe_input(path->pipe, payload, len);
}

void warp_path_input(warp_path *path, const uint8_t *data, size_t len, const warp_addr *from) {
  uint8_t tag[WG_TAG_LEN];
  bool carry;
  const uint8_t *payload;
  size_t payload_len;
  if (!path->closed && wg_carry_open(data, len, tag, &carry, &payload, &payload_len) == WARP_OK &&
      wg_bytes_equal_ct(tag, path->tag_in.tag, WG_TAG_LEN))
    on_packet(path, carry ? payload : NULL, payload_len, from);
}

/* ---- the plugin's side ----------------------------------------------------------------------- */

/* Tags of both directions: static ECDH, so that they exist before any message has been exchanged,
 * salted by session and attempt. */
static int derive_tags(warp_path *path, warp_attempt *attempt, uint8_t tag_in[WG_TAG_LEN]) {
  const wg_session *session = attempt->session;
  uint8_t salt[WG_SESSION_LEN + 2], tags[2 * WG_TAG_LEN];
  memcpy(salt, session->id.bytes, WG_SESSION_LEN);
  salt[WG_SESSION_LEN] = (uint8_t)(attempt->number >> 8);
  salt[WG_SESSION_LEN + 1] = (uint8_t)attempt->number;
  int status = wg_identity_agree(session->connect->config.identity, &session->peer,
                                 "warpgate tags v1", salt, sizeof salt, tags, sizeof tags);
  bool initiator = session->role == WARP_INITIATOR;
  memcpy(path->tag_out, tags + (initiator ? 0 : WG_TAG_LEN), WG_TAG_LEN);
  memcpy(tag_in, tags + (initiator ? WG_TAG_LEN : 0), WG_TAG_LEN);
  return status;
}

int warp_attempt_path(warp_attempt *attempt, const warp_path_socket *socket, warp_path_heard heard,
                      warp_path **out) {
  if (attempt->path != NULL || attempt->state != WG_ATTEMPT_RUNNING)
    return WARP_STATE;
  wg_connect *connect = attempt->session->connect;
  wg_mux *mux = wg_connect_mux(connect, attempt->combo.family);
  if (socket == NULL && mux == NULL)
    return WARP_UNSUPPORTED;
  if (socket == NULL && attempt->session->role == WARP_RESPONDER &&
      mux->tag_count >= WG_MUX_TAGS - WG_MUX_TAGS_OWN)
    return WARP_LIMIT;
  warp_path *path = calloc(1, sizeof *path);
  if (path == NULL)
    return WARP_NOMEM;
  path->attempt = attempt;
  path->env = connect->config.env;
  path->on_heard = heard;
  uint8_t tag_in[WG_TAG_LEN];
  int status = derive_tags(path, attempt, tag_in);
  if (status == WARP_OK && socket == NULL) {
    status = wg_mux_bind(mux, &path->tag_in, tag_in, on_packet, path);
    path->mux = status == WARP_OK ? mux : NULL;
  } else if (socket != NULL) {
    path->socket = *socket;
    path->relayed = socket->relayed;
    memcpy(path->tag_in.tag, tag_in, WG_TAG_LEN);
  }
  if (status != WARP_OK) {
    free(path);
    return status;
  }
  attempt->path = path;
  *out = path;
  return WARP_OK;
}

int warp_path_add(warp_path *path, const warp_addr *to) {
  int status = path->closed ? WARP_STATE : wg_attempt_may_contact(path->attempt, WARP_UDP, to);
  if (status != WARP_OK)
    return status;
  return candidate_index(path, to) < 0 ? WARP_LIMIT : WARP_OK;
}

void warp_path_set_relayed(warp_path *path) {
  path->relayed = true;
}

void warp_path_probe(warp_path *path) {
  uint8_t packet[WG_CARRY_HEADER_LEN];
  if (path->closed)
    return;
  wg_carry_begin(packet, false, path->tag_out);
  send_everywhere(path, packet, sizeof packet);
}

int warp_path_secure(warp_path *path) {
  if (path->closed || path->pipe != NULL)
    return WARP_STATE;
  warp_attempt *attempt = path->attempt;
  bool client = attempt->session->role == WARP_RESPONDER;
  return wg_attempt_secure(attempt, WARP_MESSAGES, client, &carrier_ops, path, path->relayed,
                           &path->pipe);
}

void wg_path_close(warp_path *path) {
  if (path->closed || path->pipe != NULL)
    return;
  path->closed = true;
  if (path->mux != NULL)
    wg_mux_unbind(path->mux, &path->tag_in);
}

void wg_path_free(warp_path *path) {
  free(path);
}
