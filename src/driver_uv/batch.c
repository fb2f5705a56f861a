/*
 * Datagrams that leave together. The first one to an address in a callback of libuv goes at once
 * and tells of errors; those that follow it wait for the end of the callback, because a call of the
 * system for each costs a fast link half of its time. Where the system's buffer is full they wait
 * for room, and whoever sends more meanwhile is told so.
 */
#include "driver_uv/internal.h"

#include <errno.h>
#include <string.h>

/* ---- sending what waits ---------------------------------------------------------------------- */

static bool is_full(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

/* One datagram: 0 or an errno. */
static int send_one(int fd, const wg_uv_dest *to, const void *data, size_t len) {
  ssize_t sent;
  int tries = 2; /* what comes first may be the ICMP error of an earlier datagram, once */
  do {
    sent = sendto(fd, data, len, MSG_NOSIGNAL, (const struct sockaddr *)&to->addr, to->len);
    tries--;
  } while (sent < 0 && (errno == ECONNREFUSED || errno == EINTR) && tries > 0);
  return sent < 0 ? errno : 0;
}

/* Not every device and path takes them at once: one may carry less than their size, which only the
 * fragments of each fit. What fails for another reason than a full buffer is lost, as datagrams may
 * be. */
static void send_singly(wg_uv_batch *batch) {
  size_t at = 0;
  while (at < batch->len) {
    size_t len = batch->len - at < batch->size ? batch->len - at : batch->size;
    if (is_full(send_one(batch->from->fd, &batch->from->to, batch->bytes + at, len))) {
      break;
    }
    at += len;
  }
  batch->len -= at;
  memmove(batch->bytes, batch->bytes + at, batch->len);
}

/* What an error says about further pieces of this socket. */
static void learn(wg_uv_sender *from, size_t size, int error) {
  switch (error) {
  case EMSGSIZE: /* the path carries less than that */
  case EINVAL:   /* older kernels say it so */
    from->cut_max = size - 1;
    break;
  case EIO: /* there is no device that computes checksums, or none are wanted */
  case EOPNOTSUPP:
  case ENOPROTOOPT:
    from->cut_max = 0;
    break;
  default:
    break;
  }
}

static void send_waiting(wg_uv_batch *batch) {
  if (batch->len > batch->size && batch->size <= batch->from->cut_max) {
    int error = wg_uv_send_piece(batch);
    if (error == 0) {
      batch->len = 0;
    }
    if (error == 0 || is_full(error)) {
      return;
    }
    learn(batch->from, batch->size, error);
  }
  send_singly(batch);
}

/* False when the system has no room for all of it now. */
static bool flush(wg_uv_env *env) {
  wg_uv_batch *batch = &env->batch;
  if (batch->len > 0) {
    send_waiting(batch);
    batch->refused = batch->len > 0;
    if (batch->refused) {
      wg_uv_watch_set(batch->from->watch, UV_READABLE | UV_WRITABLE);
    }
  }
  return batch->len == 0;
}

void wg_uv_turn_begin(wg_uv_env *env) {
  env->turn++;
  env->in_turn = true;
}

void wg_uv_turn_end(wg_uv_env *env) {
  flush(env);
  env->in_turn = false;
}

/* ---- senders --------------------------------------------------------------------------------- */

void wg_uv_sender_open(wg_uv_sender *sender, int fd, wg_uv_watch *watch, bool together) {
  *sender = (wg_uv_sender){.fd = fd, .watch = watch};
  sender->cut_max = together && wg_uv_cuts_pieces(fd) ? WG_UDP_MAX : 0;
}

/* Until the end of the callback: what comes after a datagram that has just gone the same way. */
static bool may_wait(const wg_uv_env *env, const wg_uv_sender *from, const wg_uv_dest *to,
                     size_t len) {
  return env->in_turn && from->turn == env->turn && len > 0 && len <= from->cut_max &&
         to->len == from->to.len && memcmp(&to->addr, &from->to.addr, to->len) == 0;
}

static bool goes_with(const wg_uv_batch *batch, const wg_uv_sender *from, size_t len) {
  return batch->from == from && !batch->refused && len <= batch->size &&
         batch->len % batch->size == 0 && batch->len < WG_UV_BATCH_MAX * batch->size &&
         batch->len + len <= sizeof batch->bytes;
}

/* False when there is no place for it, because the system does not take what waits already. */
static bool add(wg_uv_env *env, wg_uv_sender *from, const void *data, size_t len) {
  wg_uv_batch *batch = &env->batch;
  if (batch->len > 0 && !goes_with(batch, from, len) && !flush(env)) {
    return false;
  }
  if (batch->len == 0) {
    batch->from = from;
    batch->size = len;
  }
  memcpy(batch->bytes + batch->len, data, len);
  batch->len += len;
  return true;
}

static bool has_waiting(const wg_uv_env *env, const wg_uv_sender *from) {
  return env->batch.len > 0 && env->batch.from == from;
}

int wg_uv_sender_send(wg_uv_env *env, wg_uv_sender *from, const wg_uv_dest *to, const void *data,
                      size_t len) {
  if (may_wait(env, from, to, len) && add(env, from, data, len)) {
    return 0;
  }
  if (has_waiting(env, from) && !flush(env)) { /* the order stays */
    return EAGAIN;
  }
  int error = send_one(from->fd, to, data, len);
  from->turn = error == 0 ? env->turn : 0;
  from->to = *to;
  return error;
}

void wg_uv_sender_ready(wg_uv_env *env, wg_uv_sender *from) {
  if (has_waiting(env, from)) {
    flush(env);
  }
}

bool wg_uv_sender_waits(const wg_uv_env *env, const wg_uv_sender *from) {
  return has_waiting(env, from) && env->batch.refused;
}

void wg_uv_sender_close(wg_uv_env *env, wg_uv_sender *from) {
  if (has_waiting(env, from)) {
    flush(env);
    env->batch.len = 0;
    env->batch.refused = false;
  }
}

#if !defined(__linux__)

bool wg_uv_cuts_pieces(int fd) {
  (void)fd;
  return false;
}

int wg_uv_send_piece(const wg_uv_batch *batch) {
  (void)batch;
  return EOPNOTSUPP;
}

void wg_uv_merge_datagrams(int fd) {
  (void)fd;
}

ssize_t wg_uv_receive_piece(int fd, void *out, size_t cap, struct sockaddr_storage *from,
                            size_t *size) {
  socklen_t from_len = sizeof *from;
  ssize_t len = recvfrom(fd, out, cap, 0, (struct sockaddr *)from, &from_len);
  *size = len > 0 ? (size_t)len : 0;
  return len;
}

#endif
