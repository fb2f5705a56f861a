#include "cli/handles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- handles --------------------------------------------------------------------------------- */

enum { STANDARD = 2 };
static int flags_before[STANDARD] = {-1, -1};

int cli_handle_open(cli_handle *handle, uv_loop_t *loop, int fd) {
  handle->fd = fd;
  handle->is_file = handle->is_terminal = false;
  flags_before[fd] = fcntl(fd, F_GETFL);
  int error;
  switch (uv_guess_handle(fd)) {
  case UV_TTY:
    handle->is_terminal = true;
    return uv_tty_init(loop, &handle->uv.tty, fd, 0);
  case UV_NAMED_PIPE:
    error = uv_pipe_init(loop, &handle->uv.pipe, 0);
    return error == 0 ? uv_pipe_open(&handle->uv.pipe, fd) : error;
  case UV_TCP:
    error = uv_tcp_init(loop, &handle->uv.tcp);
    return error == 0 ? uv_tcp_open(&handle->uv.tcp, fd) : error;
  case UV_FILE:
  case UV_UNKNOWN_HANDLE: /* a disk; of what cannot be read, reading says why */
    handle->is_file = true;
    return 0;
  default:
    return UV_EINVAL;
  }
}

static void restore(int fd) {
  if (flags_before[fd] >= 0) {
    (void)fcntl(fd, F_SETFL, flags_before[fd]);
    flags_before[fd] = -1;
  }
}

void cli_handles_restore(void) {
  for (int fd = 0; fd < STANDARD; fd++) {
    restore(fd);
  }
}

/* Libuv leaves standard descriptors open when it closes their handles. */
static void let_go(const cli_handle *handle) {
  if (handle->fd != STDOUT_FILENO) {
    return;
  }
  restore(STDOUT_FILENO);
  int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) {
    (void)dup2(nowhere, STDOUT_FILENO); /* not closed: the next descriptor would take its place */
    close(nowhere);
  }
}

/* ---- readers --------------------------------------------------------------------------------- */

static void read_file(cli_reader *reader);

static void reader_closed(cli_reader *reader) {
  reader->closed(reader->closed_arg);
}

static void took(cli_reader *reader, ssize_t len) {
  if (reader->ended || reader->closing) {
    return;
  }
  reader->ended = len <= 0;
  /* A terminal that is gone has no more to say than one with Ctrl-D. */
  reader->error = len < 0 && len != UV_EOF && !reader->handle.is_terminal ? (int)len : 0;
  reader->total += len > 0 ? (uint64_t)len : 0;
  reader->cb(reader->arg, reader->buffer, len > 0 ? (size_t)len : 0);
}

static void on_file_read(uv_fs_t *request) {
  cli_reader *reader = request->data;
  ssize_t len = request->result;
  uv_fs_req_cleanup(request);
  reader->busy = false;
  if (reader->closing) {
    reader_closed(reader);
    return;
  }
  took(reader, len);
  read_file(reader);
}

/* Reads on if that is wanted. A terminal or pipe never comes here, so it does not block for long.
 */
static void read_file(cli_reader *reader) {
  if (!reader->wanted || reader->ended || reader->busy || reader->closing) {
    return;
  }
  uv_buf_t buf = uv_buf_init((char *)reader->buffer, CLI_CHUNK);
  reader->busy = true;
  int error =
      uv_fs_read(reader->loop, &reader->request, reader->handle.fd, &buf, 1, -1, on_file_read);
  if (error != 0) {
    reader->busy = false;
    took(reader, error);
  }
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  cli_reader *reader = handle->data;
  *buf = uv_buf_init((char *)reader->buffer, CLI_CHUNK);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf) {
  (void)buf;
  cli_reader *reader = stream->data;
  if (len != 0) { /* 0 is no end but "not now" */
    took(reader, len);
  }
  if (reader->ended && !reader->closing) {
    uv_read_stop(stream);
  }
}

void cli_reader_start(cli_reader *reader, uv_loop_t *loop, cli_reader_cb cb, void *arg) {
  reader->loop = loop;
  reader->cb = cb;
  reader->arg = arg;
  reader->request.data = reader;
  if (!reader->handle.is_file) {
    reader->handle.uv.any.data = reader;
  }
  cli_reader_pause(reader, false);
}

void cli_reader_pause(cli_reader *reader, bool paused) {
  if (reader->wanted == !paused || reader->ended || reader->closing) {
    return;
  }
  reader->wanted = !paused;
  if (reader->handle.is_file) {
    read_file(reader);
  } else if (paused) {
    uv_read_stop(&reader->handle.uv.stream);
  } else {
    uv_read_start(&reader->handle.uv.stream, on_room, on_read);
  }
}

static void on_reader_closed(uv_handle_t *handle) {
  reader_closed(handle->data);
}

void cli_reader_close(cli_reader *reader, cli_closed_cb closed, void *arg) {
  reader->closing = true;
  reader->closed = closed;
  reader->closed_arg = arg;
  if (!reader->handle.is_file) {
    reader->handle.uv.any.data = reader;
    uv_close(&reader->handle.uv.any, on_reader_closed);
  } else if (!reader->busy) {
    reader_closed(reader);
  }
}

/* ---- writers --------------------------------------------------------------------------------- */

typedef struct piece {
  uv_write_t request;
  cli_writer *writer;
  size_t len;
  char bytes[];
} piece;

static void broke(cli_writer *writer, int error) {
  writer->error = writer->error != 0 ? writer->error : error;
}

static void changed(cli_writer *writer) {
  if (writer->on_change != NULL && !writer->closing) {
    writer->on_change(writer->arg);
  }
}

static void on_written(uv_write_t *request, int error) {
  piece *sent = request->data;
  cli_writer *writer = sent->writer;
  writer->queued -= sent->len;
  free(sent);
  if (error != 0) {
    broke(writer, error);
  }
  if (writer->queued == 0 || error != 0) {
    changed(writer);
  }
}

static void send_stream(cli_writer *writer, const uint8_t *data, size_t len) {
  piece *next = malloc(sizeof *next + len);
  if (next == NULL) {
    broke(writer, UV_ENOMEM);
    return;
  }
  next->request.data = next;
  next->writer = writer;
  next->len = len;
  memcpy(next->bytes, data, len);
  uv_buf_t buf = uv_buf_init(next->bytes, (unsigned)len);
  int error = uv_write(&next->request, &writer->handle.uv.stream, &buf, 1, on_written);
  if (error != 0) {
    free(next);
    broke(writer, error);
    return;
  }
  writer->queued += len;
}

static void send_file(cli_writer *writer, const uint8_t *data, size_t len) {
  while (len > 0 && writer->error == 0) {
    ssize_t written = write(writer->handle.fd, data, len);
    if (written < 0 && errno != EINTR) {
      broke(writer, uv_translate_sys_error(errno));
    } else if (written > 0) {
      data += written;
      len -= (size_t)written;
    }
  }
}

void cli_writer_start(cli_writer *writer, void (*on_change)(void *arg), void *arg) {
  writer->on_change = on_change;
  writer->arg = arg;
}

void cli_writer_send(cli_writer *writer, const uint8_t *data, size_t len) {
  if (writer->error != 0 || writer->closing || len == 0) {
    return;
  }
  writer->total += len;
  if (writer->handle.is_file) {
    send_file(writer, data, len);
  } else {
    send_stream(writer, data, len);
  }
}

static void writer_gone(cli_writer *writer) {
  writer->gone = true;
  writer->closed(writer->closed_arg);
}

static void on_writer_closed(uv_handle_t *handle) {
  writer_gone(handle->data);
}

void cli_writer_close(cli_writer *writer, cli_closed_cb closed, void *arg) {
  bool again = writer->closing;
  writer->closing = true;
  writer->closed = closed;
  writer->closed_arg = arg;
  if (!again && !writer->handle.is_file) {
    writer->handle.uv.any.data = writer;
    uv_close(&writer->handle.uv.any, on_writer_closed);
  }
  if (!again) {
    let_go(&writer->handle);
  }
  if (again ? writer->gone : writer->handle.is_file) {
    writer_gone(writer);
  }
}
