/*
 * A TCP server that sends everything back, in plain TCP or TLS: any client will do. Pipes that are
 * opened by hand need no node and no server of ours.
 *
 *   tcp_echo_server [PORT]                  then, elsewhere: nc 127.0.0.1 PORT
 *   tcp_echo_server PORT CERTIFICATE KEY    then: openssl s_client -connect 127.0.0.1:PORT
 */
#include <stdio.h>
#include <stdlib.h>
#include <warpgate/warpgate.h>

static void on_msg(void *arg, warp_pipe *client, const uint8_t *data, size_t len,
                   const warp_addr *from) {
  (void)arg;
  (void)from;
  int status = warp_pipe_send(client, data, len);
  if (status !=
      WARP_OK) { /* WARP_AGAIN: it sends and sends, and reads nothing of what comes back */
    fprintf(stderr, "a client is dropped: %s\n", warp_strerror(status));
    warp_pipe_close(client);
  }
}

static void on_up(void *arg, warp_pipe *server, warp_pipe *client) {
  (void)arg;
  (void)server;
  warp_pipe_info info;
  char text[WARP_ADDR_STRLEN];
  warp_pipe_get_info(client, &info);
  printf("a client: %s\n", warp_addr_format(&info.remote, text));
  fflush(stdout);
}

static void on_open(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  if (status != WARP_OK) {
    fprintf(stderr, "cannot listen: %s%s\n", warp_strerror(status),
            status == WARP_ADDR_IN_USE ? ": give another port" : "");
    return; /* nothing is open now, so the loop ends */
  }
  warp_pipe_info info;
  char text[WARP_ADDR_STRLEN];
  warp_pipe_get_info(pipe, &info);
  printf("listening on %s\n", warp_addr_format(&info.local, text));
  fflush(stdout);
}

int main(int argc, char **argv) {
  warp_route route = {.interface = ""};
  warp_addr_parse("127.0.0.1", &route.addr); /* without a route: the default interface */
  route.addr.port = argc > 1 ? (uint16_t)atoi(argv[1]) : 0;
  warp_loop *loop = warp_loop_new();
  /* No destination: a server. The callback is set before anything can arrive. */
  warp_pipe_options options = {
      .transport = WARP_TCP, .route = &route, .on_msg = on_msg, .on_up = on_up};
  warp_net_conf secure = warp_net_conf_default();
  if (argc > 3) { /* two PEM files */
    secure.use_ssl = true;
    secure.cert_file = argv[2];
    secure.key_file = argv[3];
    options.conf = &secure;
  }
  int status = loop != NULL ? warp_pipe_open(loop, &options, on_open, NULL, NULL) : WARP_NOMEM;
  if (status != WARP_OK) {
    fprintf(stderr, "cannot listen: %s\n", warp_strerror(status));
    return EXIT_FAILURE;
  }
  warp_loop_run(loop);
  warp_loop_close(loop);
  return EXIT_FAILURE; /* it ends only when it could not listen */
}
