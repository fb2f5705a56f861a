/*
 * Datagram paths: candidates, tagged probes, and the pair of socket and address that is used.
 *
 * A packet with the right tag proves that the peer sent it (the tag is derived from a secret that
 * only the two keys can compute), so the address it came from is a peer-reflexive candidate (RFC
 * 8445 section 7.3.1.3) that is likely to reach the peer, and the first one is used at once. What
 * reaches it for certain, the peer's acknowledgements tell: pairs.h. A tag is sent in clear, so
 * once the pipe is the application's, it goes elsewhere only after a record of the secure layer and
 * an acknowledgement have come from there.
 */
#include "connect/session.h"

#include "base/addr.h"
#include "connect/pairs.h"
#include <stdlib.h>
#include <string.h>

struct warp_path {
  warp_attempt *attempt; /* owns it, and lives as long as its session, which lives as long as its
                            pipe */
  wg_env *env;
  wg_mux *mux;             /* where the socket number 0 is the shared one */
  warp_path_socket socket; /* else */
  wg_mux_tag tag_in;
  uint8_t tag_out[WG_TAG_LEN];
  warp_addr candidates[WARP_PATH_CANDIDATES];
  size_t candidate_count;
  wg_pairs pairs;
  warp_path_heard on_heard;
  bool relayed;
  warp_transport transport; /* relayed: of what goes to the relay */
  warp_addr relay;
  warp_pipe *pipe;
  wg_timer ask;      /* where the peer may have moved is asked once more */
  bool closed;       /* nothing is sent or heard any more; the plugin may still hold it */
  bool owns_sockets; /* those of the attempt that are left: it won */
  wg_timer moving;   /* after a move: the next record that shows the peer where we are */
  unsigned shown;    /* how many there were */
};

enum {
  /* The peer follows when it has heard nothing from where we were for WG_PAIRS_MOVE_US. */
  SHOW_MS = 1000,
  SHOW_TIMES = 8,
};

/* ---- sending --------------------------------------------------------------------------------- */

static bool was_heard(const warp_path *path, const warp_addr *remote) {
  const wg_pairs *pairs = &path->pairs;
  return (pairs->state != WG_PAIRS_SEEKING && wg_addr_equal(&pairs->out.remote, remote)) ||
         wg_pairs_heard_from(pairs, remote);
}

static int send_by(warp_path *path, const wg_pair *pair, const void *data, size_t len) {
  const wg_env_ops *ops = path->env->ops;
  if (!was_heard(path, &pair->remote) && !wg_attempt_may_send(path->attempt, &pair->remote))
    return WARP_AGAIN;
  if (pair->socket != 0) {
    const warp_udp_socket *own = wg_socket_find(path->attempt, pair->socket);
    return own != NULL ? ops->udp_send(own->udp, &pair->remote, data, len) : WARP_CLOSED;
  }
  if (path->mux != NULL)
    return ops->udp_send(path->mux->udp, &pair->remote, data, len);
  return path->socket.send(path->socket.arg, &pair->remote, data, len);
}

/* Numbers a probe and sends it; `acknowledged` 0: nothing to acknowledge. */
static int send_probe(warp_path *path, const wg_pair *pair, uint32_t acknowledged) {
  uint8_t packet[WG_PROBE_LEN];
  uint32_t random;
  int status = path->env->ops->random(path->env, &random, sizeof random);
  if (status != WARP_OK)
    return status;
  uint32_t number = wg_pairs_number(&path->pairs, pair, acknowledged != 0, random);
  wg_probe_encode(packet, path->tag_out, number, acknowledged);
  return send_by(path, pair, packet, sizeof packet);
}

/* To the pair that is used, or to all candidates while there is none. One that fails does not keep
 * the others from being tried. */
static int send_carried(warp_path *path, const void *data, size_t len) {
  if (path->pairs.state != WG_PAIRS_SEEKING)
    return send_by(path, &path->pairs.out, data, len);
  int status = WARP_OK;
  for (size_t i = 0; i < path->candidate_count; i++)
    status = send_by(path, &(wg_pair){.remote = path->candidates[i]}, data, len);
  return status;
}

/* ---- the carrier under a pipe ---------------------------------------------------------------- */

static int carrier_send(void *carrier, const void *data, size_t len) {
  warp_path *path = carrier;
  uint8_t packet[WG_CARRY_HEADER_LEN + WG_UDP_MAX];
  if (len > WG_UDP_MAX - WG_CARRY_HEADER_LEN)
    return WARP_TOO_BIG;
  size_t header = wg_carry_begin(packet, path->tag_out);
  memcpy(packet + header, data, len);
  return send_carried(path, packet, header + len);
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
  const warp_path *path = carrier;
  const wg_pair *out = &path->pairs.out;
  const warp_udp_socket *own = wg_socket_find(path->attempt, out->socket);
  memset(local, 0, sizeof *local);
  *remote = path->relayed ? path->relay : out->remote;
  if (own != NULL)
    warp_udp_socket_local(own, local);
  else if (path->mux != NULL)
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

static void tell_plugin(warp_path *path, const wg_pair *from, bool acknowledged) {
  wg_opening_end(path->attempt);
  if (path->on_heard == NULL || path->closed || path->attempt->state != WG_ATTEMPT_RUNNING)
    return;
  path->on_heard(path->attempt, path, wg_socket_find(path->attempt, from->socket), &from->remote,
                 acknowledged);
}

static void ask(void *arg) {
  warp_path *path = arg;
  if (path->pairs.settled && wg_pairs_ask(&path->pairs)) {
    wg_pair asked = path->pairs.asked;
    (void)send_probe(path, &asked, 0); /* a lost one is sent again */
    wg_timer_start(path->env, &path->ask, WG_PAIRS_ASK_US, ask, path);
  }
}

/* Hands a datagram to the pipe, which tells whether it was the peer's. */
static void on_payload(warp_path *path, const wg_pair *source, const wg_carried *packet) {
  unsigned long before = wg_pipe_records(path->pipe);
  wg_pipe_input(path->pipe, packet->payload, packet->payload_len);
  if (path->pipe != NULL && wg_pipe_records(path->pipe) != before &&
      wg_pairs_suspect(&path->pairs, source, wg_now_us(path->env)))
    ask(path);
}

/* A packet with our tag. Each step may close the path, none frees it. */
static void on_packet(warp_path *path, uint32_t socket, const wg_carried *packet,
                      const warp_addr *from) {
  wg_pair source = {.socket = socket, .remote = *from};
  wg_carried heard = *packet;
  /* What a socket that is closed could do is of no use. */
  const wg_pair *sent = wg_pairs_sent(&path->pairs, heard.acknowledged);
  if (sent != NULL && sent->socket != 0 && wg_socket_find(path->attempt, sent->socket) == NULL)
    heard.acknowledged = 0;
  unsigned meant = wg_pairs_heard(&path->pairs, &source, &heard, wg_now_us(path->env));
  if ((meant & WG_PAIRS_ANSWER) != 0)
    (void)send_probe(path, &source, packet->sequence); /* a lost one is asked for again */
  /* What was sent before may have met a closed filter: send the flight again to where it is open
   * now. */
  if ((meant & WG_PAIRS_MOVED) != 0 && path->pipe != NULL && packet->payload == NULL)
    wg_pipe_retransmit(path->pipe);
  if ((meant & (WG_PAIRS_NEW_SOURCE | WG_PAIRS_NOW_PROVEN)) != 0)
    tell_plugin(path, &source, (meant & WG_PAIRS_NOW_PROVEN) != 0);
  if (packet->payload != NULL && path->pipe != NULL)
    on_payload(path, &source, packet);
}

static void on_shared(void *arg, const wg_carried *packet, const warp_addr *from) {
  on_packet(arg, 0, packet, from);
}

bool wg_path_input(warp_path *path, uint32_t socket, const uint8_t *data, size_t len,
                   const warp_addr *from) {
  wg_carried packet;
  if (path->closed || wg_carry_open(data, len, &packet) != WARP_OK ||
      !wg_bytes_equal_ct(packet.tag, path->tag_in.tag, WG_TAG_LEN))
    return false;
  on_packet(path, socket, &packet, from);
  return true;
}

void warp_path_input(warp_path *path, const uint8_t *data, size_t len, const warp_addr *from) {
  if (path != NULL && data != NULL && from != NULL)
    (void)wg_path_input(path, 0, data, len, from);
}

/* ---- the plugin's side ----------------------------------------------------------------------- */

int warp_attempt_path(warp_attempt *attempt, const warp_path_socket *socket, warp_path_heard heard,
                      warp_path **out) {
  if (attempt == NULL || out == NULL || (socket != NULL && socket->send == NULL))
    return WARP_INVALID;
  /* A proof has the attempt's tags. */
  if (attempt->path != NULL || attempt->proof != NULL || attempt->state != WG_ATTEMPT_RUNNING)
    return WARP_STATE;
  wg_connect *connect = attempt->session->connect;
  wg_mux *mux = wg_connect_mux(connect, attempt->self_index);
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
  int status = wg_attempt_tags(attempt, tag_in, path->tag_out);
  if (status == WARP_OK && socket == NULL) {
    status = wg_mux_bind(mux, &path->tag_in, tag_in, on_shared, path);
    path->mux = status == WARP_OK ? mux : NULL;
  } else if (socket != NULL) {
    path->socket = *socket;
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

static bool is_candidate(const warp_path *path, const warp_addr *addr) {
  for (size_t i = 0; i < path->candidate_count; i++) {
    if (wg_addr_equal(&path->candidates[i], addr))
      return true;
  }
  return false;
}

int warp_path_add(warp_path *path, const warp_addr *to) {
  if (path == NULL || to == NULL)
    return WARP_INVALID;
  int status = path->closed ? WARP_STATE : wg_attempt_may_contact(path->attempt, WARP_UDP, to);
  if (status != WARP_OK || is_candidate(path, to))
    return status;
  if (path->candidate_count == WARP_PATH_CANDIDATES)
    return WARP_LIMIT;
  path->candidates[path->candidate_count++] = *to;
  return WARP_OK;
}

int warp_path_attach(warp_path *path, warp_udp_socket *socket) {
  if (path == NULL || socket == NULL)
    return WARP_INVALID;
  if (path->closed || socket->attempt != path->attempt)
    return WARP_STATE;
  socket->path = path;
  return WARP_OK;
}

/* What the pipe's candidate says of the path. */
static void mark_candidate(const warp_path *path) {
  const wg_list *candidates = &path->attempt->candidates;
  for (const wg_list *item = candidates->next; item != candidates; item = item->next) {
    wg_candidate *candidate = WG_CONTAINER(item, wg_candidate, link);
    if (path->relayed && candidate->pipe == path->pipe)
      candidate->transport = path->transport;
  }
}

void warp_path_set_relayed(warp_path *path, warp_transport transport, const warp_addr *server) {
  bool known = transport == WARP_TCP || transport == WARP_UDP;
  if (path == NULL || server == NULL || !known || path->closed)
    return;
  path->relayed = true;
  path->transport = transport;
  path->relay = *server;
  path->attempt->row.transport = transport;
  mark_candidate(path);
}

void warp_path_probe(warp_path *path) {
  if (path == NULL || path->closed)
    return;
  const wg_pairs *pairs = &path->pairs;
  if (pairs->state != WG_PAIRS_SEEKING) {
    wg_pair out = pairs->out;
    (void)send_probe(path, &out, pairs->peer_number);
  }
  for (size_t i = 0; i < path->candidate_count && pairs->state != WG_PAIRS_PROVEN; i++) {
    wg_pair pair = {.remote = path->candidates[i]};
    bool done = pairs->state != WG_PAIRS_SEEKING && pairs->out.socket == 0 &&
                wg_addr_equal(&pairs->out.remote, &pair.remote);
    if (!done)
      (void)send_probe(path, &pair, pairs->peer_number);
  }
}

/* A port that is guessed must be one of the peer's own public addresses, as its signed record tells
 * them: nobody else's ports are searched on a peer's word. In a network of ours only what the
 * record or the peer's own packets name exactly. */
static bool may_guess(const warp_path *path, const warp_addr *to) {
  const wg_record *record = &path->attempt->session->peer_record;
  bool global = wg_addr_get_scope(to) == WG_SCOPE_GLOBAL;
  for (size_t i = 0; i < record->endpoint_count; i++) {
    const warp_endpoint *peer = &record->endpoints[i];
    const warp_addr *named[] = {&peer->nic, &peer->external_udp, &peer->external_tcp};
    for (size_t j = 0; j < sizeof named / sizeof named[0]; j++) {
      if (named[j]->family != 0 &&
          (global ? wg_addr_same_ip(named[j], to) : wg_addr_equal(named[j], to)))
        return true;
    }
  }
  return is_candidate(path, to) || wg_pairs_heard_from(&path->pairs, to);
}

int warp_path_probe_to(warp_path *path, warp_udp_socket *socket, const warp_addr *to) {
  if (path == NULL || to == NULL)
    return WARP_INVALID;
  if (path->closed || (socket != NULL && socket->path != path))
    return WARP_STATE;
  int status = wg_attempt_may_contact(path->attempt, WARP_UDP, to);
  if (status != WARP_OK || !may_guess(path, to))
    return WARP_UNTRUSTED;
  wg_pair pair = {.socket = socket != NULL ? socket->number : 0, .remote = *to};
  return send_probe(path, &pair, path->pairs.peer_number);
}

int warp_path_secure(warp_path *path) {
  if (path == NULL)
    return WARP_INVALID;
  if (path->closed || path->pipe != NULL)
    return WARP_STATE;
  warp_attempt *attempt = path->attempt;
  bool client = attempt->session->role == WARP_RESPONDER;
  int status = wg_attempt_secure(attempt, WARP_MESSAGES, client, &carrier_ops, path, path->relayed,
                                 &path->pipe);
  if (status == WARP_OK)
    mark_candidate(path);
  return status;
}

/* ---- moving ---------------------------------------------------------------------------------- */

bool wg_path_carries(const warp_path *path, const warp_pipe *pipe) {
  return !path->closed && path->pipe == pipe;
}

wg_mux *wg_path_mux(const warp_path *path) {
  return path->closed ? NULL : path->mux;
}

/* The peer's NAT has seen nothing go from it to our new address, so it must let in everybody; and
 * where the peer is, we must reach from there. */
static bool lets_in(const warp_path *path, const wg_mux *to) {
  const warp_endpoint *peer = &path->attempt->peer;
  const warp_addr *remote = &path->pairs.out.remote;
  bool open =
      peer->udp.filtering == WARP_NAT_ENDPOINT_INDEPENDENT || (peer->port_mapped & WARP_UDP) != 0;
  return open && wg_addr_get_scope(remote) == WG_SCOPE_GLOBAL &&
         wg_addr_get_scope(&to->local) != WG_SCOPE_LINK && remote->family == to->local.family;
}

/* A record, because the peer asks where we are for nothing less. */
static void show(void *arg) {
  warp_path *path = arg;
  if (path->pipe == NULL)
    return;
  if (++path->shown < SHOW_TIMES)
    wg_timer_start(path->env, &path->moving, (uint64_t)SHOW_MS * 1000, show, path);
  wg_pipe_show(path->pipe);
}

bool wg_path_move(warp_path *path, wg_mux *to) {
  if (path->closed || path->mux == NULL || path->pairs.state == WG_PAIRS_SEEKING ||
      path->pairs.out.socket != 0 || to->tag_count >= WG_MUX_TAGS || !lets_in(path, to))
    return false;
  uint8_t tag[WG_TAG_LEN];
  memcpy(tag, path->tag_in.tag, sizeof tag);
  wg_mux_unbind(path->mux, &path->tag_in);
  (void)wg_mux_bind(to, &path->tag_in, tag, on_shared, path); /* there is room */
  path->mux = to;
  path->shown = 0;
  wg_pipe_moved(path->pipe);
  wg_timer_start(path->env, &path->moving, 0, show, path);
  return true;
}

/* ---- the end --------------------------------------------------------------------------------- */

bool wg_path_heard(const warp_path *path) {
  return !path->closed && path->pairs.state != WG_PAIRS_SEEKING;
}

bool wg_path_stands_on(const warp_path *path, const warp_udp_socket *socket) {
  return !path->closed && socket->path == path && wg_pairs_uses(&path->pairs, socket->number);
}

bool wg_path_won(warp_path *path) {
  if (path->pipe == NULL)
    return false;
  wg_pairs_settle(&path->pairs);
  path->owns_sockets = true;
  return true;
}

void wg_path_close(warp_path *path) {
  if (path->closed || path->pipe != NULL)
    return;
  path->closed = true;
  wg_timer_stop(path->env, &path->ask);
  wg_timer_stop(path->env, &path->moving);
  if (path->mux != NULL)
    wg_mux_unbind(path->mux, &path->tag_in);
  /* A kept attempt's plugin still needs them for its good-bye. */
  if (path->owns_sockets && path->attempt->state == WG_ATTEMPT_ENDED)
    wg_sockets_close(path->attempt);
}

void wg_path_free(warp_path *path) {
  wg_pairs_free(&path->pairs);
  free(path);
}
