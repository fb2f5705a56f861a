/*
 * Waiting for UDP: a question, and the answer or a timeout. Datagrams may be lost, so that every
 * wait has an end. A server answers whom it heard from. Both are in this process, on loopback.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <warpgate/warpgate.h>

static warp_loop *loop;
static warp_pipe *server, *client;
static int result = EXIT_FAILURE;

static void end(void) {
  warp_pipe_close(client);
  warp_pipe_close(server);
  client = server = NULL;
}

static void fail(const char *what, int status) {
  fprintf(stderr, "%s: %s\n", what, warp_strerror(status));
  end();
}

/* ---- the server ------------------------------------------------------------------------------ */

static void on_question(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                        const warp_addr *from) {
  (void)arg;
  char text[WARP_ADDR_STRLEN];
  printf("the server: '%.*s' from %s\n", (int)len, (const char *)data,
         warp_addr_format(from, text));
  if (len > 0 && data[len - 1] == '?') { /* silent otherwise */
    warp_pipe_send_to(pipe, "noon", strlen("noon"), from);
  }
}

/* ---- the client ------------------------------------------------------------------------------ */

static void on_silence(void *arg, warp_pipe *pipe, int status, const uint8_t *data, size_t len,
                       const warp_addr *from) {
  (void)arg;
  (void)pipe;
  (void)data;
  (void)len;
  (void)from;
  if (status == WARP_CANCELED) {
    return; /* we closed it */
  }
  printf("the client: %s\n", warp_strerror(status));
  result = status == WARP_TIMEOUT ? EXIT_SUCCESS : EXIT_FAILURE;
  end();
}

static void on_answer(void *arg, warp_pipe *pipe, int status, const uint8_t *data, size_t len,
                      const warp_addr *from) {
  (void)arg;
  (void)from;
  if (status == WARP_CANCELED) {
    return;
  }
  if (status != WARP_OK) {
    fail("no answer", status);
    return;
  }
  printf("the client: '%.*s'\n", (int)len, (const char *)data);
  warp_pipe_send(pipe, "thank you", strlen("thank you"));
  status = warp_pipe_recv(pipe, NULL, 200, on_silence, NULL); /* milliseconds */
  if (status != WARP_OK) {
    fail("cannot wait", status);
  }
}

static void on_client_open(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  if (status != WARP_OK) {
    client = NULL;
    fail("cannot open the client", status);
    return;
  }
  /* warp_pipe_ask sends again when nothing came; 0: as long as the configuration says, 2 s. */
  status =
      warp_pipe_ask(pipe, NULL, "what time is it?", strlen("what time is it?"), 0, on_answer, NULL);
  if (status != WARP_OK) {
    fail("cannot ask", status);
  }
}

static void on_server_open(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  if (status != WARP_OK) {
    server = NULL;
    fail("cannot open the server", status);
    return;
  }
  warp_pipe_info info;
  warp_pipe_get_info(pipe, &info);
  warp_pipe_options options = {.transport = WARP_UDP, .dest_addr = &info.local};
  status = warp_pipe_open(loop, &options, on_client_open, NULL, &client);
  if (status != WARP_OK) {
    fail("cannot open the client", status);
  }
}

int main(void) {
  warp_route route = {.interface = ""};
  warp_addr_parse("127.0.0.1", &route.addr);
  loop = warp_loop_new();
  warp_pipe_options options = {.transport = WARP_UDP, .route = &route, .on_msg = on_question};
  int status =
      loop != NULL ? warp_pipe_open(loop, &options, on_server_open, NULL, &server) : WARP_NOMEM;
  if (status != WARP_OK) {
    fprintf(stderr, "cannot open the server: %s\n", warp_strerror(status));
    return EXIT_FAILURE;
  }
  warp_loop_run(loop);
  warp_loop_close(loop);
  return result;
}
