#include "link_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint8_t byte_of(unsigned message, size_t at) {
  return (uint8_t)(message * 31 + at * 7 + (at >> 8));
}

static void on_message(void *arg, warp_link *link, const uint8_t *data, size_t len) {
  link_end *end = arg;
  assert_ptr_equal(link, end->link);
  assert_int_equal(end->half_ended + end->ended, 0);
  assert_int_equal(end->closed, 0);
  for (size_t i = 0; i < len; i++) {
    if (data[i] != byte_of(end->received, i)) {
      fail_msg("message %u differs at %zu of %zu", end->received, i, len);
    }
  }
  end->received++;
  end->bytes += len;
  if (end->on_message != NULL) {
    end->on_message(end, len);
  }
}

static void on_end(void *arg, warp_link *link, int status) {
  link_end *end = arg;
  assert_ptr_equal(link, end->link);
  assert_int_equal(end->ended, 0);
  if (status == WARP_OK) {
    assert_int_equal(end->half_ended, 0);
    end->half_ended++;
    return;
  }
  end->ended++;
  end->end_status = status;
  if (end->on_end != NULL) {
    end->on_end(end);
  }
}

static void on_drain(void *arg, warp_link *link) {
  link_end *end = arg;
  assert_ptr_equal(link, end->link);
  end->drained++;
  if (end->on_drain != NULL) {
    end->on_drain(end);
  }
}

static void on_closed(void *arg, int status) {
  link_end *end = arg;
  end->closed++;
  end->closed_status = status;
}

static void open_end(link_end *end, link_end *other, rig_end *below) {
  *end = (link_end){.below = below, .other = other};
  assert_int_equal(warp_link_open(below->pipe, &end->link), WARP_OK);
  below->let_go = true; /* the link closes it */
  assert_int_equal(warp_link_on_message(end->link, on_message, end), WARP_OK);
  assert_int_equal(warp_link_on_end(end->link, on_end, end), WARP_OK);
  assert_int_equal(warp_link_on_drain(end->link, on_drain, end), WARP_OK);
}

void link_rig_open_one(link_rig *rig, warp_pipe_kind kind) {
  rig_init(&rig->pipes, kind);
  rig_connect(&rig->pipes, RIG_HELLO_LEN);
  open_end(&rig->a, &rig->b, &rig->pipes.client);
  rig->b = (link_end){0};
}

void link_rig_open(link_rig *rig, warp_pipe_kind kind) {
  link_rig_open_one(rig, kind);
  open_end(&rig->b, &rig->a, &rig->pipes.server);
}

int link_send(link_end *end, size_t len) {
  uint8_t *message = malloc(len + 1);
  assert_non_null(message);
  for (size_t i = 0; i < len; i++) {
    message[i] = byte_of(end->sent, i);
  }
  int status = warp_link_send(end->link, message, len);
  free(message);
  end->sent += status == WARP_OK;
  return status;
}

void link_close(link_end *end) {
  warp_link_close(end->link, on_closed, end);
}

void link_abort(link_end *end) {
  warp_link_abort(end->link, on_closed, end);
}

void link_rig_free(link_rig *rig) {
  rig_run(&rig->pipes, 5000); /* goodbyes of pipes */
  assert_int_equal(rig->a.closed, 1);
  assert_int_equal(rig->b.closed, rig->b.link != NULL);
  rig_free(&rig->pipes);
}
