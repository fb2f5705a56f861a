/*
 * Broadcast: one datagram to everybody in a network, and an answer from somebody whose address was
 * not known before. The receiver is in this process, too.
 *
 *   broadcast                    on loopback
 *   broadcast 192.168.1.255      in that network
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <warpgate/warpgate.h>

static warp_loop *loop;
static warp_pipe *receiver, *sender;
static warp_addr everybody;
static int result = EXIT_FAILURE;

static void end(const char *what, int status) {
  if (status != WARP_OK) {
    fprintf(stderr, "%s: %s\n", what, warp_strerror(status));
  }
  warp_pipe_close(sender);
  warp_pipe_close(receiver);
  sender = receiver = NULL;
}

static void on_call(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                    const warp_addr *from) {
  (void)arg;
  printf("heard: %.*s\n", (int)len, (const char *)data);
  warp_pipe_send_to(pipe, "I am", strlen("I am"), from);
}

static void on_answer(void *arg, warp_pipe *pipe, int status, const uint8_t *data, size_t len,
                      const warp_addr *from) {
  (void)arg;
  (void)pipe;
  if (status == WARP_CANCELED) {
    return;
  }
  if (status == WARP_OK) {
    char text[WARP_ADDR_STRLEN];
    printf("%s says: %.*s\n", warp_addr_format(from, text), (int)len, (const char *)data);
    result = EXIT_SUCCESS;
  }
  end("nobody answers", status);
}

static void on_sender_open(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  if (status != WARP_OK) {
    sender = NULL;
    end("cannot open the sender", status);
    return;
  }
  status = warp_pipe_ask(pipe, NULL, "who is here?", strlen("who is here?"), 500, on_answer, NULL);
  if (status != WARP_OK) {
    end("cannot send", status);
  }
}

static void on_receiver_open(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  if (status != WARP_OK) {
    receiver = NULL;
    end("cannot open the receiver", status);
    return;
  }
  warp_pipe_info info;
  warp_pipe_get_info(pipe, &info);
  everybody.port = info.local.port;
  warp_net_conf conf = warp_net_conf_default();
  conf.broadcast = true; /* the system forbids it to who did not say so */
  warp_pipe_options options = {.transport = WARP_UDP, .dest_addr = &everybody, .conf = &conf};
  status = warp_pipe_open(loop, &options, on_sender_open, NULL, &sender);
  if (status != WARP_OK) {
    end("cannot open the sender", status);
  }
}

int main(int argc, char **argv) {
  if (warp_addr_parse(argc > 1 ? argv[1] : "127.255.255.255", &everybody) != WARP_OK) {
    fprintf(stderr, "usage: broadcast [ADDRESS], as 192.168.1.255\n");
    return 2;
  }
  /* A broadcast reaches only who is bound to all addresses. */
  warp_route route = {.addr = {.family = WARP_IP4}};
  loop = warp_loop_new();
  warp_pipe_options options = {.transport = WARP_UDP, .route = &route, .on_msg = on_call};
  int status =
      loop != NULL ? warp_pipe_open(loop, &options, on_receiver_open, NULL, &receiver) : WARP_NOMEM;
  if (status != WARP_OK) {
    fprintf(stderr, "cannot open the receiver: %s\n", warp_strerror(status));
    return EXIT_FAILURE;
  }
  warp_loop_run(loop);
  warp_loop_close(loop);
  return result;
}
