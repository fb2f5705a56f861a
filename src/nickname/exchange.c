/* One request to one server: look its name up, ask over UDP, after a while over TCP as well. */
#include "base/bytes.h"
#include "nickname/internal.h"

#include <string.h>

static void enter(wg_exchange *exchange, wg_exchange_state state);

/* ---- the request ----------------------------------------------------------------------------- */

/* Encodes the request anew, with the server's cookie if there is one, and signs it. */
static int write_request(wg_exchange *exchange) {
  const wg_name_job *job = exchange->job;
  const wg_name_server *server = exchange->server;
  wg_names *names = job->names;
  int status = names->env->ops->random(names->env, exchange->nonce, sizeof exchange->nonce);
  if (status != WARP_OK) {
    return status;
  }
  wg_name_request request = {
      .op = job->op,
      .has_cookie = server->has_cookie && job->op != WG_NAME_LOOKUP,
      .lifetime_s = WG_NAME_LIFETIME_S,
      .record = job->record,
      .record_len = job->record_len,
      .key = *wg_identity_key(names->identity),
      .sequence = job->sequence,
  };
  memcpy(request.nonce, exchange->nonce, sizeof request.nonce);
  memcpy(request.name, job->name, sizeof request.name);
  memcpy(request.cookie, server->cookie, sizeof request.cookie);
  uint8_t *bytes = exchange->request + WG_NAME_FRAME_LEN;
  int len = wg_name_request_encode(&request, bytes, WG_NAME_REQUEST_MAX);
  if (len > 0 && job->op != WG_NAME_LOOKUP) {
    uint8_t signature[WG_SIGNATURE_LEN];
    status = wg_identity_sign(names->identity, WG_NAME_CONTEXT, bytes, (size_t)len, signature);
    len = status == WARP_OK
              ? wg_name_request_attach(bytes, (size_t)len, WG_NAME_REQUEST_MAX, signature)
              : status;
  }
  if (len < 0) {
    return len;
  }
  exchange->request_len = (size_t)len;
  wg_writer frame = wg_writer_init(exchange->request, WG_NAME_FRAME_LEN);
  wg_write_u16(&frame, (uint16_t)len);
  return WARP_OK;
}

/* ---- UDP ------------------------------------------------------------------------------------- */

static void on_udp(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  wg_names *names = arg;
  wg_name_reply reply;
  if (wg_name_reply_decode(data, len, &reply) != WARP_OK) {
    return;
  }
  for (wg_list *link = names->jobs.next; link != &names->jobs; link = link->next) {
    wg_name_job *job = WG_CONTAINER(link, wg_name_job, link);
    for (size_t i = 0; i < job->exchange_count; i++) {
      if (wg_exchange_udp_reply(&job->exchanges[i], from, &reply)) {
        return;
      }
    }
  }
}

static wg_udp *socket_for(wg_names *names, int family) {
  wg_udp **udp = family == WARP_IP4 ? &names->udp4 : &names->udp6;
  if (*udp == NULL) {
    warp_addr any = wg_addr_any(family, 0);
    unsigned flags = family == WARP_IP6 ? WG_SOCK_V6ONLY : 0;
    if (names->env->ops->udp_open(names->env, &any, flags, on_udp, names, udp) != WARP_OK) {
      *udp = NULL;
    }
  }
  return *udp;
}

/* Sends to the next address that can be sent to: a host often has no route for one of the families,
 * and one of several servers behind a name may be dead. */
static void send_udp(wg_exchange *exchange) {
  const wg_name_server *server = exchange->server;
  wg_names *names = exchange->job->names;
  for (size_t i = 0; i < server->addr_count; i++) {
    const warp_addr *to = &server->addrs[exchange->addr++ % server->addr_count];
    wg_udp *udp = socket_for(names, to->family);
    if (udp != NULL && names->env->ops->udp_send(udp, to, exchange->request + WG_NAME_FRAME_LEN,
                                                 exchange->request_len) == WARP_OK) {
      return;
    }
  }
}

static void on_resend(void *arg) {
  wg_exchange *exchange = arg;
  send_udp(exchange);
  exchange->rto_ms *= 2;
  wg_timer_start(exchange->job->names->env, &exchange->resend, exchange->rto_ms * UINT64_C(1000),
                 on_resend, exchange);
}

/* Sends a new request, and the retransmission begins from the start. */
static void ask(wg_exchange *exchange) {
  exchange->rto_ms = WG_NAME_RTO_MS;
  send_udp(exchange);
  wg_timer_start(exchange->job->names->env, &exchange->resend, WG_NAME_RTO_MS * UINT64_C(1000),
                 on_resend, exchange);
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static void close_tcp(wg_exchange *exchange) {
  if (exchange->tcp != NULL) {
    exchange->job->names->env->ops->tcp_close(exchange->tcp);
    exchange->tcp = NULL;
  }
  exchange->inbox_len = 0;
}

static void send_tcp(wg_exchange *exchange) {
  wg_env *env = exchange->job->names->env;
  if (env->ops->tcp_send(exchange->tcp, exchange->request,
                         WG_NAME_FRAME_LEN + exchange->request_len) != WARP_OK) {
    close_tcp(exchange); /* UDP goes on */
  }
}

static bool take(wg_exchange *exchange, const wg_name_reply *reply);

/* Takes the packets that are complete out of the inbox. */
static void read_inbox(wg_exchange *exchange) {
  size_t len = 0;
  while (exchange->tcp != NULL) {
    int status = wg_name_frame_next(exchange->inbox, exchange->inbox_len, WG_NAME_REPLY_MAX, &len);
    if (status == WARP_AGAIN) {
      return;
    }
    wg_name_reply reply;
    if (status != WARP_OK ||
        wg_name_reply_decode(exchange->inbox + WG_NAME_FRAME_LEN, len, &reply) != WARP_OK) {
      close_tcp(exchange);
      return;
    }
    if (take(exchange, &reply)) {
      return; /* everything may be freed */
    }
    size_t used = WG_NAME_FRAME_LEN + len;
    if (exchange->tcp != NULL) { /* else the inbox is empty */
      exchange->inbox_len -= used;
      memmove(exchange->inbox, exchange->inbox + used, exchange->inbox_len);
    }
  }
}

static void on_tcp_data(void *arg, const uint8_t *data, size_t len) {
  wg_exchange *exchange = arg;
  /* A reply fits; what is longer is none. */
  size_t room = sizeof exchange->inbox - exchange->inbox_len;
  size_t taken = len < room ? len : room;
  memcpy(exchange->inbox + exchange->inbox_len, data, taken);
  exchange->inbox_len += taken;
  read_inbox(exchange);
}

static void connect_tcp(wg_exchange *exchange);

static void on_tcp_open(void *arg, int status) {
  wg_exchange *exchange = arg;
  if (status == WARP_OK) {
    send_tcp(exchange);
    return;
  }
  close_tcp(exchange);
  connect_tcp(exchange);
}

static void on_tcp_end(void *arg, int status) {
  (void)status;
  close_tcp(arg);
}

/* Dials the addresses one after the other, each once. */
static void connect_tcp(wg_exchange *exchange) {
  static const wg_tcp_handlers handlers = {
      .on_open = on_tcp_open, .on_data = on_tcp_data, .on_end = on_tcp_end};
  const wg_name_server *server = exchange->server;
  wg_env *env = exchange->job->names->env;
  while (exchange->tcp == NULL && exchange->tcp_tries < server->addr_count) {
    size_t at = (server->good + exchange->tcp_tries++) % server->addr_count;
    if (env->ops->tcp_connect(env, NULL, &server->addrs[at], 0, &handlers, exchange,
                              &exchange->tcp) != WARP_OK) {
      exchange->tcp = NULL;
    }
  }
}

static void on_fallback(void *arg) {
  enter(arg, WG_EXCHANGE_BOTH);
}

/* ---- replies --------------------------------------------------------------------------------- */

static void done(wg_exchange *exchange, int status) {
  wg_exchange_stop(exchange, status);
  wg_job_progress(exchange->job);
}

/* A record that a server gave out must be good, and of a key that may have the name. */
static int check_found(wg_exchange *exchange, const wg_name_reply *reply) {
  const wg_name_job *job = exchange->job;
  wg_record record;
  if (reply->record == NULL) {
    return WARP_MALFORMED;
  }
  int status = wg_record_verify(reply->record, reply->record_len,
                                wg_utc_ms(job->names->env, job->names->clock), &record);
  if (status == WARP_OK && !wg_name_may_belong(job->name, &record.key)) {
    status = WARP_UNTRUSTED;
  }
  if (status == WARP_OK) {
    memcpy(exchange->record, reply->record, reply->record_len);
    exchange->record_len = reply->record_len;
    exchange->key = record.key;
    exchange->sequence = record.sequence;
  }
  return status;
}

/* The server wants to see that our address is ours. Returns false when it wants it too often. */
static bool ask_with_cookie(wg_exchange *exchange, const wg_name_reply *reply) {
  if (!reply->has_cookie || ++exchange->cookie_tries > WG_NAME_COOKIE_TRIES ||
      write_request(exchange) != WARP_OK) {
    return false;
  }
  ask(exchange);
  if (exchange->tcp != NULL) {
    send_tcp(exchange);
  }
  return true;
}

/* A reply with our nonce. True when it ended the exchange: everything may be freed then. */
static bool take(wg_exchange *exchange, const wg_name_reply *reply) {
  if (memcmp(reply->nonce, exchange->nonce, sizeof exchange->nonce) != 0) {
    return false; /* of a request that was sent before the cookie came */
  }
  exchange->server->silent = false;
  if (reply->has_cookie) {
    memcpy(exchange->server->cookie, reply->cookie, sizeof reply->cookie);
    exchange->server->has_cookie = true;
  }
  switch (reply->status) {
  case WG_NAME_COOKIE:
    if (ask_with_cookie(exchange, reply)) {
      return false;
    }
    done(exchange, WARP_IO);
    return true;
  case WG_NAME_BUSY: /* the retransmission asks again, later each time */
    exchange->status = WARP_LIMIT;
    return false;
  case WG_NAME_TOO_SHORT:
    enter(exchange, WG_EXCHANGE_BOTH);
    return false;
  default:
    break;
  }
  int status = wg_name_status_result(reply->status);
  if (status == WARP_OK && exchange->job->op == WG_NAME_LOOKUP) {
    status = check_found(exchange, reply);
  }
  exchange->lifetime_s = reply->lifetime_s;
  done(exchange, status);
  return true;
}

bool wg_exchange_udp_reply(wg_exchange *exchange, const warp_addr *from,
                           const wg_name_reply *reply) {
  if ((exchange->state != WG_EXCHANGE_UDP && exchange->state != WG_EXCHANGE_BOTH) ||
      memcmp(reply->nonce, exchange->nonce, sizeof exchange->nonce) != 0) {
    return false;
  }
  wg_name_server *server = exchange->server;
  for (size_t i = 0; i < server->addr_count; i++) {
    if (wg_addr_equal(&server->addrs[i], from)) {
      server->good = i;
      (void)take(exchange, reply);
      return true;
    }
  }
  return false;
}

/* ---- states ---------------------------------------------------------------------------------- */

static void on_resolved(void *arg, int status, const warp_addr *addrs, size_t count) {
  wg_exchange *exchange = arg;
  wg_name_server *server = exchange->server;
  exchange->resolve = NULL;
  if (status == WARP_OK && count > 0) {
    server->addr_count = count < WG_RESOLVE_MAX ? count : WG_RESOLVE_MAX;
    memcpy(server->addrs, addrs, server->addr_count * sizeof *addrs);
    server->good = 0;
    server->stale = false;
  }
  if (server->addr_count > 0) { /* old ones are better than none */
    enter(exchange, WG_EXCHANGE_UDP);
  } else {
    done(exchange, WARP_NO_SERVER);
  }
}

static void resolve(wg_exchange *exchange) {
  const wg_server_name *name = &exchange->server->name;
  wg_env *env = exchange->job->names->env;
  if (env->ops->resolve(env, name->host, name->port, 0, on_resolved, exchange,
                        &exchange->resolve) != WARP_OK) {
    exchange->resolve = NULL;
    done(exchange, WARP_NO_SERVER);
  }
}

static void begin_udp(wg_exchange *exchange) {
  int status = write_request(exchange);
  if (status != WARP_OK) {
    done(exchange, status);
    return;
  }
  exchange->addr = exchange->server->good;
  ask(exchange);
  wg_timer_start(exchange->job->names->env, &exchange->fallback,
                 exchange->job->names->timeout_ms * UINT64_C(1000) / 3, on_fallback, exchange);
}

static void stop(wg_exchange *exchange) {
  wg_env *env = exchange->job->names->env;
  wg_timer_stop(env, &exchange->resend);
  wg_timer_stop(env, &exchange->fallback);
  if (exchange->resolve != NULL) {
    env->ops->resolve_cancel(exchange->resolve);
    exchange->resolve = NULL;
  }
  close_tcp(exchange);
}

static void enter(wg_exchange *exchange, wg_exchange_state state) {
  if (exchange->state == state) {
    return;
  }
  exchange->state = state;
  switch (state) {
  case WG_EXCHANGE_IDLE:
    break;
  case WG_EXCHANGE_RESOLVING:
    resolve(exchange);
    break;
  case WG_EXCHANGE_UDP:
    begin_udp(exchange);
    break;
  case WG_EXCHANGE_BOTH:
    connect_tcp(exchange);
    break;
  case WG_EXCHANGE_DONE:
    stop(exchange);
    break;
  }
}

void wg_exchange_start(wg_exchange *exchange) {
  exchange->status = WARP_TIMEOUT; /* unless something comes */
  const wg_name_server *server = exchange->server;
  bool known = server->addr_count > 0 && !server->stale;
  enter(exchange, known ? WG_EXCHANGE_UDP : WG_EXCHANGE_RESOLVING);
}

void wg_exchange_stop(wg_exchange *exchange, int status) {
  if (exchange->state == WG_EXCHANGE_DONE) {
    return;
  }
  exchange->status = status;
  enter(exchange, WG_EXCHANGE_DONE);
}
