/* Links between two nodes: reliable messages over either kind of pipe. */
#include "nodes.h"

static warp_link *open_link(warp_pipe *pipe) {
  warp_link *link;
  int status = warp_link_open(pipe, &link);
  if (status != WARP_OK) {
    bench_die("no link: %s", warp_strerror(status));
  }
  return link;
}

static void on_end(void *arg, warp_link *link, int status) {
  (void)arg;
  (void)link;
  bench_die("the link ended: %s", warp_strerror(status));
}

/* ---- the process that receives --------------------------------------------------------------- */

static void on_message(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  (void)link;
  (void)data;
  bench_count(arg, len);
}

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)node;
  (void)report;
  warp_link *link = open_link(pipe);
  warp_link_on_message(link, on_message, arg);
  warp_link_on_end(link, on_end, arg);
}

/* ---- the process that sends ------------------------------------------------------------------ */

static void fill(void *arg, warp_link *link) {
  int status = WARP_OK;
  (void)arg;
  while (status == WARP_OK) {
    status = warp_link_send(link, bench_payload(), BENCH_CHUNK);
  }
  if (status != WARP_AGAIN) {
    bench_die("cannot send: %s", warp_strerror(status));
  }
}

static void begin(void *arg, warp_pipe *pipe) {
  warp_link *link = open_link(pipe);
  warp_link_on_end(link, on_end, arg);
  warp_link_on_drain(link, fill, arg);
  fill(arg, link);
}

void bench_link_receive(bench_side *side) {
  bench_node_receive(side, on_pipe);
}

void bench_link_send(bench_side *side) {
  bench_node_send(side, warp_loop_new(), "direct_connect", begin, NULL);
}

void bench_udp_link_receive(bench_side *side) {
  bench_node_receive(side, on_pipe);
}

void bench_udp_link_send(bench_side *side) {
  bench_node_send(side, warp_loop_new(), "udp_punch", begin, NULL);
}
