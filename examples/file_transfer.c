/*
 * A file from one node to another. It goes over TCP, whose pipes are streams: every byte arrives,
 * in order, and the end of the stream is the end of the file.
 *
 *   file_transfer FILE COPY                      both nodes here, on loopback
 *   file_transfer listen FILE                    offers FILE to the first who connects
 *   file_transfer connect ADDRESS COPY           fetches it
 */
#include "common/sides.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *source, *copy;
static uint8_t piece[65536]; /* read, but not taken by the pipe yet */
static size_t piece_len;
static long total;

/* ---- the sender ------------------------------------------------------------------------------ */

/* Sends until the pipe's queue is full, and goes on when it has drained: a large file never stands
 * in memory as a whole. */
static void send_more(void *arg, warp_pipe *pipe) {
  (void)arg;
  while (source != NULL) {
    if (piece_len == 0) {
      piece_len = fread(piece, 1, sizeof piece, source);
    }
    if (piece_len == 0) {
      fclose(source);
      source = NULL;
      warp_pipe_shutdown(pipe); /* the receiver sees the end, after all that was sent */
      return;
    }
    int status = warp_pipe_send(pipe, piece, piece_len);
    if (status == WARP_AGAIN) {
      return; /* nothing was taken: on_drain calls us again */
    }
    if (status != WARP_OK) {
      fprintf(stderr, "cannot send: %s\n", warp_strerror(status));
      example_end(EXIT_FAILURE);
      return;
    }
    piece_len = 0;
  }
}

static void on_receiver_gone(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  warp_pipe_close(pipe);
  /* The receiver closes when it has the end: before that it is an error. Where both nodes are in
   * one process, WARP_CANCELED is the receiver's example_end. */
  bool whole = source == NULL && (status == WARP_CLOSED || status == WARP_CANCELED);
  if (!whole) {
    fprintf(stderr, "the receiver is gone too early: %s\n", warp_strerror(status));
  }
  example_end(whole ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void on_accepted(warp_pipe *pipe) {
  warp_pipe_set_handlers(pipe,
                         &(warp_pipe_handlers){.on_drain = send_more, .on_end = on_receiver_gone});
  send_more(NULL, pipe);
}

/* ---- the receiver ---------------------------------------------------------------------------- */

static void on_bytes(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  (void)arg;
  (void)pipe;
  if (fwrite(data, 1, len, copy) != len) {
    perror("cannot write");
    example_end(EXIT_FAILURE);
  }
  total += (long)len;
}

static void on_whole(void *arg, warp_pipe *pipe, int status) {
  (void)arg;
  bool whole = status == WARP_CLOSED && fclose(copy) == 0;
  if (whole) {
    printf("%ld bytes received\n", total);
  } else {
    fprintf(stderr, "the file is not whole: %s\n", warp_strerror(status));
  }
  warp_pipe_close(pipe); /* tells the sender, too */
  example_end(whole ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void on_connected(warp_pipe *pipe) {
  warp_pipe_set_handlers(pipe, &(warp_pipe_handlers){.on_data = on_bytes, .on_end = on_whole});
}

/* ---- main ------------------------------------------------------------------------------------ */

static FILE *open_or_exit(const char *name, const char *mode) {
  FILE *file = fopen(name, mode);
  if (file == NULL) {
    perror(name);
    exit(EXIT_FAILURE);
  }
  return file;
}

int main(int argc, char **argv) {
  const char *from = NULL, *to = NULL;
  if (argc == 3 && strcmp(argv[1], "listen") == 0) {
    from = argv[2];
  } else if (argc == 4 && strcmp(argv[1], "connect") == 0) {
    to = argv[3];
  } else if (argc == 3) {
    from = argv[1];
    to = argv[2];
  } else {
    fprintf(stderr, "usage: file_transfer FILE COPY | listen FILE | connect ADDRESS COPY\n");
    return 2;
  }
  source = from != NULL ? open_or_exit(from, "rb") : NULL;
  copy = to != NULL ? open_or_exit(to, "wb") : NULL;
  static const example_sides sides = {.on_accepted = on_accepted,
                                      .on_connected = on_connected,
                                      .options = {.transports = WARP_TCP}};
  return example_run(argc, argv, &sides);
}
