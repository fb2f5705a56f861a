/* Secure pipes of a connect between two nodes, as programs get them. */
#include "fill.h"
#include "nodes.h"

/* A node that a subject tests with: test configuration, and a broker for UDP, which has to punch.
 */
static warp_conf configure(const bench_side *side, const char *brokers[2],
                           const char *interfaces[2]) {
  warp_conf conf = warp_conf_test();
  conf.key_name = "";
  if (side->place->broker != NULL) {
    brokers[0] = side->place->broker;
    conf.brokers = brokers;
    conf.sig_pipe_no = 1;
  }
  if (side->place->interface != NULL) {
    interfaces[0] = side->place->interface;
    conf.interfaces = interfaces;
    conf.loopback_only = false;
    conf.machine_id = side->receives ? "receiver" : "sender"; /* else they take it for one */
  }
  return conf;
}

_Noreturn static void run_node(const bench_side *side, warp_loop *loop, warp_node_on_start on_start,
                               void *arg) {
  const char *brokers[2] = {NULL, NULL}, *interfaces[2] = {NULL, NULL};
  warp_conf conf = configure(side, brokers, interfaces);
  warp_node *node;
  int status = warp_node_start(loop, &conf, on_start, arg, &node);
  if (status != WARP_OK) {
    bench_die("no node: %s", warp_strerror(status));
  }
  warp_loop_run(loop);
  bench_die("the node ended");
}

/* ---- the process that receives --------------------------------------------------------------- */

typedef struct receiver {
  bench_side *side;
  warp_node_on_pipe on_pipe;
} receiver;

static void on_receiver(void *arg, warp_node *node, int status) {
  receiver *self = arg;
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  if (status != WARP_OK || warp_node_address(node, record, &len) != WARP_OK) {
    bench_die("no node: %s", warp_strerror(status));
  }
  warp_node_listen(node, self->on_pipe, NULL, self->side);
  bench_tell(self->side, record, len);
}

void bench_node_receive(bench_side *side, warp_node_on_pipe on_pipe) {
  receiver self = {.side = side, .on_pipe = on_pipe};
  run_node(side, warp_loop_new(), on_receiver, &self);
}

/* ---- the process that sends ------------------------------------------------------------------ */

typedef struct sender {
  bench_side *side;
  const char *plugin;
  void (*begin)(void *arg, warp_pipe *pipe);
  void *arg;
} sender;

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  sender *self = arg;
  (void)report;
  if (status != WARP_OK) {
    bench_die("no connection: %s", warp_strerror(status));
  }
  self->begin(self->arg, pipe);
}

static void on_sender(void *arg, warp_node *node, int status) {
  sender *self = arg;
  if (status != WARP_OK) {
    bench_die("no node: %s", warp_strerror(status));
  }
  uint8_t record[WARP_RECORD_MAX];
  size_t len = bench_hear(self->side, record, sizeof record);
  status = warp_node_connect(node, 0, 0, record, len, self->plugin, NULL, on_connect, self);
  if (status != WARP_OK) {
    bench_die("no connection: %s", warp_strerror(status));
  }
}

void bench_node_send(bench_side *side, warp_loop *loop, const char *plugin,
                     void (*begin)(void *arg, warp_pipe *pipe), void *arg) {
  sender self = {.side = side, .plugin = plugin, .begin = begin, .arg = arg};
  run_node(side, loop, on_sender, &self);
}

/* ---- pipes ----------------------------------------------------------------------------------- */

static void on_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)pipe;
  (void)data;
  bench_count(arg, len);
}

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)node;
  (void)report;
  warp_pipe_set_handlers(pipe, &(warp_pipe_handlers){.on_data = on_data, .arg = arg});
}

static void begin_filling(void *arg, warp_pipe *pipe) {
  bench_fill(arg, pipe);
}

static void send_on(bench_side *side, const char *plugin, size_t size) {
  bench_filler filler = {.loop = warp_loop_new(), .size = size};
  bench_node_send(side, filler.loop, plugin, begin_filling, &filler);
}

void bench_secure_receive(bench_side *side) {
  bench_node_receive(side, on_pipe);
}

void bench_secure_send(bench_side *side) {
  send_on(side, "direct_connect", BENCH_CHUNK);
}

void bench_secure_messages_receive(bench_side *side) {
  bench_node_receive(side, on_pipe);
}

void bench_secure_messages_send(bench_side *side) {
  send_on(side, "udp_punch", BENCH_MESSAGE);
}
