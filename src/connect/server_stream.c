/* TCP connections of attempts to servers of the configuration, with TLS or without. */
#include "connect/session.h"

#include "pipe/tls.h"
#include <stdlib.h>
#include <string.h>

enum {
  OPEN_MS = 10000,       /* for TCP and TLS together: as long as a peer's handshake may take */
  READ_LEN = 16384,      /* plaintext of one TLS record */
  CA_FILE_MAX = 1 << 20, /* all authorities of a system are a quarter of this */
};

typedef enum stream_state {
  STREAM_CONNECTING,
  STREAM_SECURING,
  STREAM_OPEN,
  STREAM_OVER, /* told to the plugin, which may still hold it */
  STREAM_CLOSED,
} stream_state;

struct warp_server_stream {
  wg_list link;
  warp_attempt *attempt;
  wg_env *env;
  stream_state state;
  wg_tcp *tcp;
  wg_tls *tls; /* NULL: without */
  warp_server_handlers handlers;
  warp_addr server;
  wg_timer deadline;
  int broken;    /* what came in the way of sending */
  unsigned busy; /* calls that are under way in it: its memory waits for them */
};

static bool live(const warp_server_stream *stream) {
  return stream->attempt->state == WG_ATTEMPT_RUNNING || stream->attempt->state == WG_ATTEMPT_KEPT;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void enter(warp_server_stream *stream) {
  stream->busy++;
}

static void leave(warp_server_stream *stream) {
  if (--stream->busy > 0 || stream->state != STREAM_CLOSED)
    return;
  wg_tls_free(stream->tls);
  free(stream);
}

/* The only place where the state changes, and where the plugin hears of it. */
static void move(warp_server_stream *stream, stream_state to, int status) {
  stream_state from = stream->state;
  stream->state = to;
  if (to != STREAM_SECURING)
    wg_timer_stop(stream->env, &stream->deadline);
  if (to >= STREAM_OVER && stream->tcp != NULL) {
    stream->env->ops->tcp_close(stream->tcp); /* an alert may be on its way */
    stream->tcp = NULL;
  }
  if (to == STREAM_CLOSED || to == STREAM_SECURING || !live(stream))
    return;
  if (from == STREAM_OPEN) {
    if (stream->handlers.on_end != NULL)
      stream->handlers.on_end(stream->attempt, stream, status);
  } else if (stream->handlers.on_open != NULL) {
    stream->handlers.on_open(stream->attempt, stream, status);
  }
}

static void explain(warp_server_stream *stream) {
  char text[WARP_ADDR_STRLEN];
  warp_attempt_note(stream->attempt, "TLS with %s: %s", warp_addr_format(&stream->server, text),
                    wg_tls_detail(stream->tls));
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static void on_output(void *arg, const uint8_t *data, size_t len) {
  warp_server_stream *stream = arg;
  int status = stream->tcp != NULL ? stream->env->ops->tcp_send(stream->tcp, data, len) : WARP_OK;
  if (status != WARP_OK)
    stream->broken = status; /* a record is missing now: the stream is of no use */
}

static void handshake(warp_server_stream *stream) {
  int status = wg_tls_handshake(stream->tls);
  if (status == WARP_AGAIN)
    return;
  if (status != WARP_OK)
    explain(stream);
  move(stream, status == WARP_OK ? STREAM_OPEN : STREAM_OVER, status);
}

static void hand_out(warp_server_stream *stream, const uint8_t *data, size_t len) {
  if (live(stream) && stream->handlers.on_data != NULL)
    stream->handlers.on_data(stream->attempt, stream, data, len);
}

static void read_all(warp_server_stream *stream) {
  uint8_t plain[READ_LEN];
  size_t len;
  while (stream->state == STREAM_OPEN) {
    int status = wg_tls_read(stream->tls, plain, sizeof plain, &len);
    if (status == WARP_OK)
      hand_out(stream, plain, len);
    else if (status == WARP_AGAIN)
      return;
    else
      move(stream, STREAM_OVER, status);
  }
}

/* ---- the connection -------------------------------------------------------------------------- */

static void on_open(void *arg, int status) {
  warp_server_stream *stream = arg;
  enter(stream);
  if (status != WARP_OK) {
    move(stream, STREAM_OVER, status);
  } else if (stream->tls == NULL) {
    move(stream, STREAM_OPEN, WARP_OK);
  } else {
    move(stream, STREAM_SECURING, WARP_OK);
    handshake(stream);
  }
  leave(stream);
}

static void on_data(void *arg, const uint8_t *data, size_t len) {
  warp_server_stream *stream = arg;
  enter(stream);
  if (stream->tls == NULL) {
    hand_out(stream, data, len);
  } else {
    int status = wg_tls_feed(stream->tls, data, len);
    if (status != WARP_OK)
      move(stream, STREAM_OVER, status);
    if (stream->state == STREAM_SECURING)
      handshake(stream);
    read_all(stream);
  }
  leave(stream);
}

/* Without close_notify the stream may have been cut short (RFC 8446 section 6.1). What relays send
 * has lengths of its own, so that nothing is taken for whole by it: an end is an end. */
static void on_end(void *arg, int status) {
  warp_server_stream *stream = arg;
  enter(stream);
  move(stream, STREAM_OVER, status);
  leave(stream);
}

static void on_deadline(void *arg) {
  warp_server_stream *stream = arg;
  enter(stream);
  move(stream, STREAM_OVER, WARP_TIMEOUT);
  leave(stream);
}

/* ---- the plugin's side ----------------------------------------------------------------------- */

/* Authorities are read when they are first needed, and kept for the node's life. */
static int load_trust(wg_connect *connect) {
  const wg_connect_config *config = &connect->config;
  if (connect->trust != NULL)
    return WARP_OK;
  if (config->ca_file == NULL)
    return wg_tls_client_context(NULL, 0, &connect->trust);
  uint8_t *pem = malloc(CA_FILE_MAX);
  size_t len;
  int status = pem == NULL ? WARP_NOMEM
                           : config->env->ops->file_load(config->env, config->ca_file, pem,
                                                         CA_FILE_MAX, &len);
  if (status == WARP_OK)
    status = wg_tls_client_context(pem, len, &connect->trust);
  free(pem);
  return status;
}

static int new_tls(warp_server_stream *stream, const char *name) {
  wg_connect *connect = stream->attempt->session->connect;
  const wg_connect_config *config = &connect->config;
  int status = load_trust(connect);
  if (status != WARP_OK) {
    warp_attempt_note(stream->attempt, "the authorities in %s: %s",
                      config->ca_file != NULL ? config->ca_file : "the system's store",
                      warp_strerror(status));
    return status == WARP_NOMEM ? status : WARP_TLS;
  }
  wg_tls_options options = {.context = connect->trust,
                            .name = name,
                            .utc_ms = wg_utc_ms(config->env, config->clock),
                            .output = on_output,
                            .arg = stream};
  status = wg_tls_new(&options, &stream->tls);
  return status == WARP_INVALID ? WARP_TLS : status;
}

int warp_attempt_server_stream(warp_attempt *attempt, const warp_addr *to, const char *tls_name,
                               const warp_server_handlers *handlers, warp_server_stream **out) {
  if (attempt == NULL || to == NULL || handlers == NULL || out == NULL)
    return WARP_INVALID;
  static const wg_tcp_handlers of_tcp = {.on_open = on_open, .on_data = on_data, .on_end = on_end};
  if (attempt->state != WG_ATTEMPT_RUNNING)
    return WARP_STATE;
  warp_server_stream *stream = calloc(1, sizeof *stream);
  if (stream == NULL)
    return WARP_NOMEM;
  wg_env *env = attempt->session->connect->config.env;
  *stream =
      (warp_server_stream){.attempt = attempt, .env = env, .handlers = *handlers, .server = *to};
  warp_addr local = attempt->self.nic;
  local.port = 0;
  int status = tls_name != NULL ? new_tls(stream, tls_name) : WARP_OK;
  if (status == WARP_OK)
    status = env->ops->tcp_connect(env, &local, to, 0, &of_tcp, stream, &stream->tcp);
  if (status != WARP_OK) {
    wg_tls_free(stream->tls);
    free(stream);
    return status;
  }
  wg_timer_start(env, &stream->deadline, (uint64_t)OPEN_MS * 1000, on_deadline, stream);
  wg_list_push(&attempt->server_streams, &stream->link);
  *out = stream;
  return WARP_OK;
}

/* Bytes that TLS adds to so many, from above: records hold 16 KiB and grow by less than 64. */
static size_t sealed_len(const warp_server_stream *stream, size_t len) {
  return stream->tls == NULL ? len : len + (len / READ_LEN + 1) * 64;
}

int warp_server_stream_send(warp_server_stream *stream, const void *data, size_t len) {
  if (stream == NULL || (data == NULL && len > 0))
    return WARP_INVALID;
  if (stream->state < STREAM_OPEN)
    return WARP_STATE;
  if (stream->state != STREAM_OPEN || stream->broken != WARP_OK)
    return WARP_CLOSED;
  const wg_env_ops *ops = stream->env->ops;
  if (stream->tls == NULL)
    return ops->tcp_send(stream->tcp, data, len);
  size_t queued = ops->tcp_queued(stream->tcp);
  if (queued >= WG_TCP_QUEUE_MAX || sealed_len(stream, len) > WG_TCP_QUEUE_MAX - queued)
    return WARP_AGAIN;
  int status = wg_tls_write(stream->tls, data, len);
  return status != WARP_OK || stream->broken != WARP_OK ? WARP_CLOSED : WARP_OK;
}

size_t warp_server_stream_queued(const warp_server_stream *stream) {
  bool open = stream != NULL && stream->state == STREAM_OPEN;
  return open ? stream->env->ops->tcp_queued(stream->tcp) : 0;
}

void warp_server_stream_close(warp_server_stream *stream) {
  if (stream == NULL)
    return;
  enter(stream);
  if (stream->tls != NULL && stream->state == STREAM_OPEN)
    wg_tls_shutdown(stream->tls);
  move(stream, STREAM_CLOSED, WARP_OK);
  wg_list_remove(&stream->link);
  leave(stream);
}

void wg_server_streams_close(warp_attempt *attempt) {
  while (!wg_list_empty(&attempt->server_streams))
    warp_server_stream_close(WG_CONTAINER(attempt->server_streams.next, warp_server_stream, link));
}
