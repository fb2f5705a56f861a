/*
 * Addressing by bytes only: no name, no name server. A node's address is a signed record of at most
 * WARP_RECORD_MAX bytes. It may travel by any way (a file, a QR code, a chat message), because who
 * changes it breaks the signature. Here it is a file.
 *
 *   bytes_only listen FILE       writes its address into FILE and waits for one peer
 *   bytes_only connect FILE      reads it from there
 *
 * Both stay on this machine unless servers are named in the environment: see common/servers.h.
 */
#include "common/servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *file_name;
static warp_loop *loop;
static warp_node *node;
static int result = EXIT_FAILURE;

static void end(int exit_status) {
  result = exit_status;
  warp_node_close(node, NULL, NULL);
  node = NULL;
}

static void fail(const char *what, int status) {
  fprintf(stderr, "%s: %s\n", what, warp_strerror(status));
  end(EXIT_FAILURE);
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  warp_pipe_close(pipe);
  if (status != WARP_CANCELED) { /* that is our own end */
    end(result);
  }
}

/* ---- who listens ----------------------------------------------------------------------------- */

static void on_question(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)arg;
  printf("asked: %.*s\n", (int)len, (const char *)data);
  warp_pipe_send(pipe, "quite well", strlen("quite well"));
  result = EXIT_SUCCESS;
}

static void on_pipe(void *arg, warp_node *self, warp_pipe *pipe, const warp_report *report) {
  (void)arg;
  (void)self;
  (void)report;
  warp_pipe_set_handlers(pipe, &(warp_pipe_handlers){.on_data = on_question, .on_end = on_end});
}

static void on_listening(void *arg, warp_node *self, int status) {
  (void)arg;
  if (status != WARP_OK) {
    node = NULL;
    fail("cannot start", status);
    return;
  }
  warp_node_listen(self, on_pipe, NULL, NULL);
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  warp_node_address(self, record, &len);
  FILE *file = fopen(file_name, "wb");
  if (file == NULL || fwrite(record, 1, len, file) != len || fclose(file) != 0) {
    perror(file_name);
    end(EXIT_FAILURE);
    return;
  }
  printf("my address is in %s\n", file_name);
  fflush(stdout);
}

/* ---- who connects ---------------------------------------------------------------------------- */

static void on_answer(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)arg;
  (void)pipe;
  printf("answer: %.*s\n", (int)len, (const char *)data);
  end(EXIT_SUCCESS);
}

static void on_connect(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  (void)arg;
  (void)report;
  if (status == WARP_CANCELED) {
    return;
  }
  if (status != WARP_OK) {
    fail("cannot connect", status);
    return;
  }
  warp_pipe_info info;
  warp_pipe_get_info(pipe, &info);
  printf("connected by %s over %s and IPv%d, %s, in %.0f ms\n", info.plugin,
         warp_transport_name(info.transport), info.family, info.relayed ? "relayed" : "direct",
         info.connect_ms);
  fflush(stdout);
  warp_pipe_set_handlers(pipe, &(warp_pipe_handlers){.on_data = on_answer, .on_end = on_end});
  warp_pipe_send(pipe, "how are you?", strlen("how are you?"));
}

static void on_started(void *arg, warp_node *self, int status) {
  (void)arg;
  if (status != WARP_OK) {
    node = NULL;
    fail("cannot start", status);
    return;
  }
  uint8_t record[WARP_RECORD_MAX];
  FILE *file = fopen(file_name, "rb");
  if (file == NULL) {
    perror(file_name);
    end(EXIT_FAILURE);
    return;
  }
  size_t len = fread(record, 1, sizeof record, file);
  fclose(file);
  /* WARP_BAD_SIGNATURE here: somebody changed the file; WARP_EXPIRED: it is older than a day. */
  status = warp_auto_connect(self, record, len, NULL, on_connect, NULL);
  if (status != WARP_OK) {
    fail(file_name, status);
  }
}

int main(int argc, char **argv) {
  bool listens = argc == 3 && strcmp(argv[1], "listen") == 0;
  if (!listens && (argc != 3 || strcmp(argv[1], "connect") != 0)) {
    fprintf(stderr, "usage: bytes_only listen FILE | connect FILE\n");
    return 2;
  }
  file_name = argv[2];
  warp_conf conf = example_conf();
  loop = warp_loop_new();
  if (loop == NULL) {
    fprintf(stderr, "no loop: out of memory or file descriptors\n");
    return EXIT_FAILURE;
  }
  int status = warp_node_start(loop, &conf, listens ? on_listening : on_started, NULL, &node);
  if (status != WARP_OK) {
    fprintf(stderr, "cannot start: %s\n", warp_strerror(status));
  }
  warp_loop_run(loop);
  warp_loop_close(loop);
  return result;
}
