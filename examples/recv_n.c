/*
 * Streaming with recv_n: a stream has no messages, so a reader that knows how much comes next asks
 * for exactly so many bytes. Here each line is preceded by its length in four bytes. Both ends are
 * in this process, over TCP on loopback.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <warpgate/warpgate.h>

enum { HEAD = 4, LINE_MAX_LEN = 1000 };
static const char *const lines[] = {"a stream", "is bytes in order,",
                                    "cut wherever the network likes"};
enum { LINES = sizeof lines / sizeof lines[0] };

static warp_loop *loop;
static warp_pipe *server, *reader;
static size_t lines_read;

static void end(const char *what, int status) {
  if (status != WARP_OK) {
    fprintf(stderr, "%s: %s\n", what, warp_strerror(status));
  }
  warp_pipe_close(reader);
  warp_pipe_close(server); /* and with it its clients */
  reader = server = NULL;
}

/* ---- the writer: a server that sends to who connects ------------------------------------------
 */

static void on_up(void *arg, warp_pipe *self, warp_pipe *client) {
  (void)arg;
  (void)self;
  for (size_t i = 0; i < LINES; i++) {
    size_t len = strlen(lines[i]);
    uint8_t head[HEAD] = {0, 0, (uint8_t)(len >> 8), (uint8_t)len};
    warp_pipe_send(client, head, HEAD);
    warp_pipe_send(client, lines[i], len);
  }
  warp_pipe_shutdown(client); /* no more will come */
}

/* ---- the reader ------------------------------------------------------------------------------ */

static void read_head(warp_pipe *pipe);

static void on_line(void *arg, warp_pipe *pipe, int status, const uint8_t *data, size_t len,
                    const warp_addr *from) {
  (void)arg;
  (void)from;
  if (status == WARP_OK) {
    printf("%.*s\n", (int)len, (const char *)data);
    lines_read++;
    read_head(pipe);
  } else if (status != WARP_CANCELED) {
    end("half a line", status);
  }
}

static void on_head(void *arg, warp_pipe *pipe, int status, const uint8_t *data, size_t len,
                    const warp_addr *from) {
  (void)arg;
  (void)len; /* HEAD, when the status is WARP_OK */
  (void)from;
  if (status == WARP_CLOSED) {
    end("", WARP_OK); /* the orderly end, between two lines */
  } else if (status == WARP_OK) {
    size_t next = (size_t)data[0] << 24 | (size_t)data[1] << 16 | (size_t)data[2] << 8 | data[3];
    /* Never trust a length that comes from outside. */
    status = next > 0 && next <= LINE_MAX_LEN ? warp_pipe_recv_n(pipe, NULL, next, 0, on_line, NULL)
                                              : WARP_MALFORMED;
    if (status != WARP_OK) {
      end("cannot read a line", status);
    }
  } else if (status != WARP_CANCELED) {
    end("cannot read", status);
  }
}

static void read_head(warp_pipe *pipe) {
  int status = warp_pipe_recv_n(pipe, NULL, HEAD, 0, on_head, NULL);
  if (status != WARP_OK) {
    end("", status == WARP_CLOSED ? WARP_OK : status);
  }
}

static void on_reader_open(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  if (status != WARP_OK) {
    reader = NULL;
    end("cannot connect", status);
    return;
  }
  read_head(pipe);
}

static void on_server_open(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  if (status != WARP_OK) {
    server = NULL;
    end("cannot listen", status);
    return;
  }
  warp_pipe_info info;
  warp_pipe_get_info(pipe, &info);
  warp_pipe_options options = {.transport = WARP_TCP, .dest_addr = &info.local};
  status = warp_pipe_open(loop, &options, on_reader_open, NULL, &reader);
  if (status != WARP_OK) {
    end("cannot connect", status);
  }
}

int main(void) {
  warp_route route = {.interface = ""};
  warp_addr_parse("127.0.0.1", &route.addr);
  loop = warp_loop_new();
  warp_pipe_options options = {.transport = WARP_TCP, .route = &route, .on_up = on_up};
  int status =
      loop != NULL ? warp_pipe_open(loop, &options, on_server_open, NULL, &server) : WARP_NOMEM;
  if (status != WARP_OK) {
    fprintf(stderr, "cannot listen: %s\n", warp_strerror(status));
    return EXIT_FAILURE;
  }
  warp_loop_run(loop);
  warp_loop_close(loop);
  return lines_read == LINES ? EXIT_SUCCESS : EXIT_FAILURE;
}
