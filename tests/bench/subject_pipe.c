/* Plain pipes, opened by hand. */
#include "fill.h"

/* ---- the process that receives --------------------------------------------------------------- */

static void on_msg(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                   const warp_addr *from) {
  (void)pipe;
  (void)data;
  (void)from;
  bench_count(arg, len);
}

static void on_server(void *arg, warp_pipe *pipe, int status) {
  warp_pipe_info info;
  if (status != WARP_OK || warp_pipe_get_info(pipe, &info) != WARP_OK) {
    bench_die("no server: %s", warp_strerror(status));
  }
  bench_tell(arg, &info.local, sizeof info.local);
}

static void receive(bench_side *side, warp_transport transport) {
  warp_loop *loop = warp_loop_new();
  warp_route route = {0};
  warp_addr_parse(side->place->receiver, &route.addr);
  warp_pipe_options options = {
      .transport = transport, .route = &route, .on_msg = on_msg, .arg = side};
  int status = warp_pipe_open(loop, &options, on_server, side, NULL);
  if (status != WARP_OK) {
    bench_die("no server: %s", warp_strerror(status));
  }
  warp_loop_run(loop);
  bench_die("the server ended");
}

/* ---- the process that sends ------------------------------------------------------------------ */

static void on_open(void *arg, warp_pipe *pipe, int status) {
  if (status != WARP_OK) {
    bench_die("no connection: %s", warp_strerror(status));
  }
  bench_fill(arg, pipe);
}

static void send_on(bench_side *side, warp_transport transport, size_t size) {
  warp_loop *loop = warp_loop_new();
  bench_filler self = {.loop = loop, .size = size};
  warp_addr dest;
  warp_pipe_options options = {.transport = transport, .dest_addr = &dest};
  if (bench_hear(side, &dest, sizeof dest) != sizeof dest ||
      warp_pipe_open(loop, &options, on_open, &self, NULL) != WARP_OK) {
    bench_die("cannot connect to the receiver");
  }
  warp_loop_run(loop);
  bench_die("the connection ended");
}

void bench_pipe_receive(bench_side *side) {
  receive(side, WARP_TCP);
}

void bench_pipe_send(bench_side *side) {
  send_on(side, WARP_TCP, BENCH_CHUNK);
}

void bench_udp_pipe_receive(bench_side *side) {
  receive(side, WARP_UDP);
}

void bench_udp_pipe_send(bench_side *side) {
  send_on(side, WARP_UDP, BENCH_MESSAGE);
}
