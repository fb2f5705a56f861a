/*
 * Readers and writers of what a program has in hand: standard input and output, whatever stands
 * behind them, and the pipes to a child. They live inside their owner's memory until their close
 * callback has run.
 */
#ifndef CLI_HANDLES_H
#define CLI_HANDLES_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum { CLI_CHUNK = 65536 };

/* A terminal, a pipe, a socket, or a file (also a device, and whatever else can be read). */
typedef struct cli_handle {
  union {
    uv_handle_t any;
    uv_stream_t stream;
    uv_pipe_t pipe;
    uv_tty_t tty;
    uv_tcp_t tcp;
  } uv;
  int fd;
  bool is_terminal;
  bool is_file; /* no handle of libuv's: read and written by its descriptor */
} cli_handle;

/* Opens what is behind a standard descriptor, 0 or 1. What cannot be opened is told by a negative
 * error of libuv's. */
int cli_handle_open(cli_handle *handle, uv_loop_t *loop, int fd);
/* Libuv makes descriptors non-blocking, and so for all who share them, also after our end: puts
 * standard input and output back as they were when they were opened. */
void cli_handles_restore(void);

typedef struct cli_reader cli_reader;
/* Bytes, valid until it returns and then as long as the reader is paused; or the end, with len 0
 * (once; also after an error, which the reader then has). */
typedef void (*cli_reader_cb)(void *arg, const uint8_t *data, size_t len);
typedef void (*cli_closed_cb)(void *arg);

struct cli_reader {
  cli_handle handle; /* opened by the owner before */
  uv_loop_t *loop;
  cli_reader_cb cb;
  void *arg;
  bool wanted, ended, closing;
  bool busy;      /* a read of a file is under way */
  int error;      /* of libuv's: why the end came too early, or 0 */
  uint64_t total; /* bytes read so far */
  uv_fs_t request;
  cli_closed_cb closed;
  void *closed_arg;
  uint8_t buffer[CLI_CHUNK];
};

/* Starts reading. The handle must be open. */
void cli_reader_start(cli_reader *reader, uv_loop_t *loop, cli_reader_cb cb, void *arg);
/* Stops or goes on reading. Only the callback may stop it: outside of it a read is under way. */
void cli_reader_pause(cli_reader *reader, bool paused);
/* Closes it; `closed` runs once, perhaps before this returns. */
void cli_reader_close(cli_reader *reader, cli_closed_cb closed, void *arg);

typedef struct cli_writer cli_writer;
struct cli_writer {
  cli_handle handle;
  size_t queued;  /* bytes that wait */
  uint64_t total; /* bytes taken so far */
  int error;      /* of libuv's: nobody reads any more; what is written is dropped */
  bool closing, gone;
  void (*on_change)(void *arg); /* the queue is empty again, or it broke; may be NULL */
  void *arg;
  cli_closed_cb closed;
  void *closed_arg;
};

void cli_writer_start(cli_writer *writer, void (*on_change)(void *arg), void *arg);
/* Writes a copy. What cannot go at once waits, in memory: the caller looks at `queued`. */
void cli_writer_send(cli_writer *writer, const uint8_t *data, size_t len);
/* Closes it, also with bytes that wait, and lets go of standard output, so that its reader sees the
 * end. `closed` runs once, perhaps before this returns; when it is called again, the last one
 * given. */
void cli_writer_close(cli_writer *writer, cli_closed_cb closed, void *arg);

#endif
