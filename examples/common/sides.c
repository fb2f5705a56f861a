#include "common/sides.h"

#include "common/servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const example_sides *wanted;
static warp_conf conf;
static warp_loop *loop;
static warp_node *listener, *connector;
static uint8_t record[WARP_RECORD_MAX]; /* of the listener */
static size_t record_len;
static int result;

void example_end(int exit_status) {
  static bool ended;
  if (ended) { /* closing a node ends its pipes, which may call us again */
    return;
  }
  ended = true;
  result = exit_status;
  warp_node_close(listener, NULL, NULL);
  warp_node_close(connector, NULL, NULL);
  listener = connector = NULL;
}

static void fail(const char *what, int status) {
  fprintf(stderr, "%s: %s\n", what, warp_strerror(status));
  if (status == WARP_UNREACHABLE) {
    fprintf(stderr, "Is there a network, and are WARPGATE_BROKERS and WARPGATE_STUN right?\n");
  }
  example_end(EXIT_FAILURE);
}

/* ---- the one who connects -------------------------------------------------------------------- */

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  (void)arg;
  if (status == WARP_CANCELED) {
    return;
  }
  if (status != WARP_OK) { /* the report says why each attempt failed */
    for (size_t i = 0; i < report->count; i++) {
      const warp_report_row *row = &report->rows[i];
      fprintf(stderr, "  %s over %s: %s: %s\n", row->plugin, warp_transport_name(row->transport),
              warp_strerror(row->status), row->detail);
    }
    fail("cannot connect", status);
    return;
  }
  warp_pipe_info info;
  warp_pipe_get_info(pipe, &info);
  printf("connected by %s over %s and IPv%d, %s, in %.0f ms\n", info.plugin,
         warp_transport_name(info.transport), info.family, info.relayed ? "relayed" : "direct",
         info.connect_ms);
  fflush(stdout);
  wanted->on_connected(pipe);
}

static void on_connector_started(void *arg, warp_node *node, int status) {
  (void)arg;
  if (status == WARP_CANCELED) {
    return;
  }
  if (status == WARP_OK && wanted->plugin != NULL) {
    status = warp_node_connect(node, wanted->family, wanted->route_type, record, record_len,
                               wanted->plugin, &wanted->options, on_connect, NULL);
  } else if (status == WARP_OK) {
    status = warp_auto_connect(node, record, record_len, &wanted->options, on_connect, NULL);
  } else {
    connector = NULL; /* a node that could not start is gone */
  }
  if (status != WARP_OK) {
    fail("cannot start to connect", status);
  }
}

static void start_connector(void) {
  int status = warp_node_start(loop, &conf, on_connector_started, NULL, &connector);
  if (status != WARP_OK) {
    fail("cannot start a node", status);
  }
}

/* ---- the one who listens --------------------------------------------------------------------- */

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)arg;
  (void)node;
  (void)report;
  wanted->on_accepted(pipe);
}

static void on_listener_started(void *arg, warp_node *node, int status) {
  const bool *alone = arg;
  if (status == WARP_CANCELED) {
    return;
  }
  if (status != WARP_OK) {
    listener = NULL;
    fail("cannot start a node", status);
    return;
  }
  warp_node_listen(node, on_pipe, NULL, NULL);
  record_len = sizeof record;
  warp_node_address(node, record, &record_len);
  if (!*alone) {
    start_connector();
    return;
  }
  printf("address ");
  for (size_t i = 0; i < record_len; i++) {
    printf("%02x", record[i]);
  }
  printf("\n");
  fflush(stdout);
}

/* ---- both ------------------------------------------------------------------------------------ */

static bool read_address(const char *text) {
  size_t digits = strlen(text);
  if (digits == 0 || digits % 2 != 0 || digits / 2 > sizeof record) {
    return false;
  }
  for (record_len = 0; record_len < digits / 2; record_len++) {
    char byte[3] = {text[record_len * 2], text[record_len * 2 + 1]}, *end;
    record[record_len] = (uint8_t)strtoul(byte, &end, 16);
    if (*end != '\0') {
      return false;
    }
  }
  return true;
}

int example_run(int argc, char **argv, const example_sides *sides) {
  bool connects = argc > 1 && strcmp(argv[1], "connect") == 0;
  bool listens = argc > 1 && strcmp(argv[1], "listen") == 0;
  wanted = sides;
  conf = example_conf();
  if (connects && (argc < 3 || !read_address(argv[2]))) {
    fprintf(stderr, "%s connect ADDRESS: the address that '%s listen' prints\n", argv[0], argv[0]);
    return 2;
  }
  loop = warp_loop_new();
  if (loop == NULL) {
    fprintf(stderr, "out of memory or file descriptors\n");
    return EXIT_FAILURE;
  }
  if (connects) {
    start_connector();
  } else {
    int status = warp_node_start(loop, &conf, on_listener_started, &listens, &listener);
    if (status != WARP_OK) {
      fail("cannot start a node", status);
    }
  }
  warp_loop_run(loop); /* returns when the nodes are closed */
  warp_loop_close(loop);
  return result;
}
