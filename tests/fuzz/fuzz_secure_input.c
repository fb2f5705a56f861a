/*
 * What a stranger can send to a listener: bytes into a fresh server, TLS or DTLS.
 *
 * The first byte's lowest bit picks the kind (0: stream, 1: datagrams). Then come pieces, each
 * after its length in two bytes: a datagram, or what one read of a stream brought. The last one may
 * be shorter than it says.
 */
#include "base/bytes.h"
#include "pipe/pipe.h"

#include <stdlib.h>

static uint64_t now_us;
static wg_identity *server_identity;
static warp_key client_key;
static warp_pipe *pipe_alive; /* NULL once it has failed */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t fake_now_us(wg_env *env) {
  (void)env;
  return now_us;
}

static int send_nowhere(void *carrier, const void *data, size_t len) {
  (void)carrier;
  (void)data;
  (void)len;
  return WARP_OK;
}

static size_t nothing_queued(void *carrier) {
  (void)carrier;
  return 0;
}

static int shut_down(void *carrier) {
  (void)carrier;
  return WARP_OK;
}

static void pause_reading(void *carrier, bool paused) {
  (void)carrier;
  (void)paused;
}

static void close_carrier(void *carrier) {
  (void)carrier;
}

static void no_addrs(void *carrier, warp_addr *local, warp_addr *remote) {
  (void)carrier;
  *local = *remote = (warp_addr){0};
}

/* The key is one that no input can prove, so nothing may ever be secured. */
static int on_hello(void *arg, warp_pipe *pipe, const uint8_t *hello, size_t len,
                    warp_key *expected) {
  (void)arg;
  (void)pipe;
  (void)hello;
  *expected = client_key;
  return len % 7 == 3 ? WARP_REFUSED : WARP_OK;
}

static void on_secured(void *arg, warp_pipe *pipe) {
  (void)arg;
  (void)pipe;
  abort();
}

static void on_failed(void *arg, warp_pipe *pipe, int status, const char *detail) {
  (void)arg;
  if (status == WARP_OK || detail[0] == '\0') {
    abort();
  }
  pipe_alive = NULL;
  wg_pipe_discard(pipe);
}

static void make_keys(void) {
  wg_identity *client = NULL;
  if (wg_identity_generate(&server_identity) != WARP_OK ||
      wg_identity_generate(&client) != WARP_OK) {
    abort();
  }
  client_key = *wg_identity_key(client);
  wg_identity_free(client);
}

static void run_for_ms(wg_env *env, uint64_t ms) {
  now_us += ms * 1000;
  wg_timers_run(&env->timers, now_us);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const wg_env_ops env_ops = {.now_us = fake_now_us};
  static const wg_carrier_ops carrier_ops = {send_nowhere,  nothing_queued, shut_down,
                                             pause_reading, close_carrier,  close_carrier,
                                             no_addrs};
  if (server_identity == NULL) {
    make_keys();
  }
  wg_env env = {.ops = &env_ops};
  now_us = 1;
  wg_reader reader = wg_reader_init(data, size);
  wg_pipe_options options = {
      .env = &env,
      .identity = server_identity,
      .kind = (wg_read_u8(&reader) & 1) != 0 ? WARP_MESSAGES : WARP_STREAM,
      .ops = &carrier_ops,
      .callbacks = {on_hello, on_secured, NULL, on_failed},
  };
  if (wg_pipe_open(&options, &pipe_alive) != WARP_OK) {
    abort();
  }
  while (pipe_alive != NULL && wg_reader_left(&reader) > 2) {
    size_t len = wg_read_u16(&reader);
    len = len < wg_reader_left(&reader) ? len : wg_reader_left(&reader);
    wg_pipe_input(pipe_alive, wg_read_bytes(&reader, len), len);
    run_for_ms(&env, 1);
  }
  run_for_ms(&env, 1000);
  if (pipe_alive != NULL) {
    wg_pipe_discard(pipe_alive);
  }
  if (wg_timers_next(&env.timers) != UINT64_MAX) {
    abort();
  }
  return 0;
}
