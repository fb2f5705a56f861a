#include "pipe_rig.h"
#include "process_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct datagram {
  wg_list link;
  uint64_t due_us;
  size_t len;
  uint8_t bytes[];
} datagram;

/* ---- environment ----------------------------------------------------------------------------- */

static uint64_t fake_now_us(wg_env *env) {
  return WG_CONTAINER(env, pipe_rig, env)->now_us;
}

static const wg_env_ops fake_ops = {.now_us = fake_now_us};

static void step(pipe_rig *rig) {
  wg_timers_run(&rig->env.timers, rig->now_us);
}

void rig_run(pipe_rig *rig, uint32_t ms) {
  uint64_t end_us = rig->now_us + (uint64_t)ms * 1000;
  while (wg_timers_next(&rig->env.timers) <= end_us) {
    uint64_t next_us = wg_timers_next(&rig->env.timers);
    rig->now_us = next_us > rig->now_us ? next_us : rig->now_us;
    step(rig);
  }
  rig->now_us = end_us;
}

bool rig_run_until(pipe_rig *rig, const unsigned *flag, uint32_t ms) {
  uint64_t end_us = rig->now_us + (uint64_t)ms * 1000;
  while (*flag == 0 && wg_timers_next(&rig->env.timers) <= end_us) {
    uint64_t next_us = wg_timers_next(&rig->env.timers);
    rig->now_us = next_us > rig->now_us ? next_us : rig->now_us;
    step(rig);
  }
  return *flag != 0;
}

/* ---- the wire -------------------------------------------------------------------------------- */

static void capture(rig_lane *lane, const void *data, size_t len) {
  if (lane->captured_count < 8 && len <= WG_UDP_MAX) {
    memcpy(lane->captured[lane->captured_count], data, len);
    lane->captured_len[lane->captured_count++] = len;
  }
}

static bool listens(const rig_end *end) {
  return end->pipe != NULL && end->closed + end->resets == 0;
}

static void move_stream(void *arg);
static void move_datagrams(void *arg);

static void start_lane(rig_end *from) {
  pipe_rig *rig = from->of;
  if (from->out.moving) {
    return;
  }
  from->out.moving = true;
  wg_timer_start(&rig->env, &from->out.timer, rig->delay_us,
                 rig->kind == WARP_STREAM ? move_stream : move_datagrams, from);
}

static void deliver_stream(rig_end *from, rig_end *to) {
  rig_lane *lane = &from->out;
  size_t len = lane->bytes.len < from->of->chunk ? lane->bytes.len : from->of->chunk;
  if (len > 0) {
    uint8_t *copy = malloc(len); /* exactly its size, for the sanitizer */
    assert_non_null(copy);
    memcpy(copy, wg_queue_front(&lane->bytes), len);
    wg_queue_drop(&lane->bytes, len);
    if (listens(to)) {
      wg_pipe_input(to->pipe, copy, len);
    }
    free(copy);
    if (lane->bytes.len == 0 && listens(from)) {
      wg_pipe_carrier_drained(from->pipe);
    }
  } else if (lane->fin && !lane->fin_delivered) {
    lane->fin_delivered = true;
    if (listens(to)) {
      wg_pipe_carrier_ended(to->pipe, WARP_CLOSED);
    }
  }
}

static void move_stream(void *arg) {
  rig_end *from = arg;
  rig_lane *lane = &from->out;
  rig_end *to = from->other;
  lane->moving = false;
  if (lane->reset) {
    lane->fin_delivered = true;
    wg_queue_free(&lane->bytes);
    if (listens(to)) {
      wg_pipe_carrier_ended(to->pipe, WARP_RESET);
    }
    return;
  }
  if (!to->paused) {
    deliver_stream(from, to);
  }
  if (lane->bytes.len > 0 || (lane->fin && !lane->fin_delivered)) {
    lane->moving = true;
    wg_timer_start(&from->of->env, &lane->timer, 1000, move_stream, from);
  }
}

static void add_datagram(rig_end *from, const void *data, size_t len) {
  pipe_rig *rig = from->of;
  datagram *item = malloc(sizeof *item + len);
  assert_non_null(item);
  item->len = len;
  item->due_us = rig->now_us + rig->delay_us;
  if (wg_rng_below(&rig->rng, 100) < rig->reorder_pct) {
    item->due_us += wg_rng_below(&rig->rng, 50000);
  }
  memcpy(item->bytes, data, len);
  wg_list_push(&from->out.datagrams, &item->link);
}

static datagram *earliest(rig_lane *lane) {
  datagram *best = NULL;
  for (wg_list *at = lane->datagrams.next; at != &lane->datagrams; at = at->next) {
    datagram *item = WG_CONTAINER(at, datagram, link);
    if (best == NULL || item->due_us < best->due_us) {
      best = item;
    }
  }
  return best;
}

static void schedule_datagrams(rig_end *from) {
  datagram *item = earliest(&from->out);
  if (item != NULL) {
    uint64_t now_us = from->of->now_us;
    wg_timer_start(&from->of->env, &from->out.timer,
                   item->due_us > now_us ? item->due_us - now_us : 0, move_datagrams, from);
  }
}

static void move_datagrams(void *arg) {
  rig_end *from = arg;
  datagram *item = earliest(&from->out);
  if (item != NULL && item->due_us <= from->of->now_us) {
    wg_list_remove(&item->link);
    if (listens(from->other)) {
      uint8_t *copy = malloc(item->len);
      assert_non_null(copy);
      memcpy(copy, item->bytes, item->len);
      wg_pipe_input(from->other->pipe, copy, item->len);
      free(copy);
    }
    free(item);
  }
  schedule_datagrams(from);
}

/* ---- carriers -------------------------------------------------------------------------------- */

static int stream_send(rig_end *end, const void *data, size_t len) {
  if (end->out.broken != WARP_OK) {
    return end->out.broken;
  }
  if (end->out.fin || end->out.reset) {
    return WARP_CLOSED;
  }
  if (end->out.bytes.len + len > end->out.queue_max) {
    return WARP_AGAIN;
  }
  assert_true(wg_queue_push(&end->out.bytes, data, len));
  start_lane(end);
  return WARP_OK;
}

static int carrier_send(void *carrier, const void *data, size_t len) {
  rig_end *end = carrier;
  pipe_rig *rig = end->of;
  rig_lane *lane = &end->out;
  assert_int_equal(end->closed + end->resets, 0);
  assert_true(len > 0);
  lane->sent++;
  capture(lane, data, len);
  if (rig->kind == WARP_STREAM) {
    return stream_send(end, data, len);
  }
  lane->largest = len > lane->largest ? len : lane->largest;
  if (lane->blocked > 0) {
    lane->blocked--;
    return WARP_AGAIN;
  }
  bool too_long = lane->narrow > 0 && len > lane->narrow;
  if (lane->drop_next > 0 || lane->sent == lane->drop_at || lane->black_hole || too_long) {
    lane->drop_next -= lane->drop_next > 0;
    return WARP_OK;
  }
  if (wg_rng_below(&rig->rng, 100) >= rig->loss_pct) {
    add_datagram(end, data, len);
    if (wg_rng_below(&rig->rng, 100) < rig->duplicate_pct) {
      add_datagram(end, data, len);
    }
  }
  schedule_datagrams(end);
  return WARP_OK;
}

static size_t carrier_queued(void *carrier) {
  return ((rig_end *)carrier)->out.bytes.len;
}

static int carrier_shutdown(void *carrier) {
  rig_end *end = carrier;
  assert_int_equal(end->of->kind, WARP_STREAM);
  end->out.fin = true;
  start_lane(end);
  return WARP_OK;
}

static void carrier_pause(void *carrier, bool paused) {
  rig_end *end = carrier;
  assert_true(end->paused != paused);
  end->paused = paused;
  end->pauses += paused;
}

static void carrier_close(void *carrier) {
  rig_end *end = carrier;
  end->closed++;
  if (end->of->kind == WARP_STREAM) {
    end->out.fin = true;
    start_lane(end);
  }
}

static void carrier_reset(void *carrier) {
  rig_end *end = carrier;
  end->resets++;
  if (end->of->kind == WARP_STREAM) {
    end->out.reset = true;
    start_lane(end);
  }
}

static void carrier_addrs(void *carrier, warp_addr *local, warp_addr *remote) {
  rig_end *end = carrier;
  bool client = end == &end->of->client;
  *local = (warp_addr){.family = WARP_IP4, .ip = {192, 0, 2, client ? 1 : 2}, .port = 1000};
  *remote = (warp_addr){.family = WARP_IP4, .ip = {192, 0, 2, client ? 2 : 1}, .port = 1000};
}

static const wg_carrier_ops carrier_ops = {carrier_send,  carrier_queued, carrier_shutdown,
                                           carrier_pause, carrier_close,  carrier_reset,
                                           carrier_addrs};

const wg_carrier_ops *rig_carrier_ops(void) {
  return &carrier_ops;
}

/* ---- the application and the session ----------------------------------------------------------
 */

/* Callbacks must not nest: none runs inside a call that the application makes. */
static void begin(rig_end *end) {
  assert_false(end->in_callback);
  end->in_callback = true;
}

static void app_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  rig_end *end = arg;
  begin(end);
  assert_ptr_equal(pipe, end->pipe);
  assert_int_equal(end->ended, 0);
  end->messages++;
  assert_true(wg_queue_push(&end->received, data, len));
  if (end->on_data != NULL) {
    end->on_data(end, data, len);
  }
  end->in_callback = false;
}

static void app_end(void *arg, warp_pipe *pipe, int status) {
  rig_end *end = arg;
  begin(end);
  assert_ptr_equal(pipe, end->pipe);
  end->ended++;
  end->end_status = status;
  if (end->on_end != NULL) {
    end->on_end(end);
  }
  end->in_callback = false;
}

static void app_drain(void *arg, warp_pipe *pipe) {
  rig_end *end = arg;
  begin(end);
  assert_ptr_equal(pipe, end->pipe);
  end->drained++;
  if (end->on_drain != NULL) {
    end->on_drain(end);
  }
  end->in_callback = false;
}

static void pipe_closed(void *arg, warp_pipe *pipe) {
  rig_end *end = arg;
  assert_ptr_equal(pipe, end->pipe);
  end->pipe = NULL;
  end->on_closed++;
}

void rig_adopt(rig_end *end) {
  warp_pipe_info info = {.transport = WARP_TCP, .family = WARP_IP4, .plugin = "rig"};
  wg_pipe_adopt(end->pipe, &info, pipe_closed, end);
  warp_pipe_handlers handlers = {app_data, app_end, app_drain, end};
  assert_int_equal(warp_pipe_set_handlers(end->pipe, &handlers), WARP_OK);
  assert_int_equal(warp_pipe_get_info(end->pipe, &end->info), WARP_OK);
}

void rig_close(rig_end *end) {
  end->let_go = true;
  warp_pipe_close(end->pipe);
}

static int on_hello(void *arg, warp_pipe *pipe, const uint8_t *hello, size_t len,
                    warp_key *expected) {
  rig_end *end = arg;
  (void)pipe;
  end->hellos++;
  memcpy(end->hello, hello, len);
  end->hello_len = len;
  if (end->on_hello != NULL) {
    end->on_hello(end);
  }
  *expected = end->hello_expects;
  return end->hello_answer;
}

static void on_secured(void *arg, warp_pipe *pipe) {
  rig_end *end = arg;
  begin(end);
  assert_ptr_equal(pipe, end->pipe);
  end->secured++;
  end->secured_us = end->of->now_us;
  if (end->nominate) {
    wg_pipe_nominate(pipe);
    if (end->adopt) {
      rig_adopt(end);
    }
  }
  if (end->on_secured != NULL) {
    end->on_secured(end);
  }
  end->in_callback = false;
}

static void on_nominated(void *arg, warp_pipe *pipe) {
  rig_end *end = arg;
  begin(end);
  assert_ptr_equal(pipe, end->pipe);
  end->nominated++;
  if (end->adopt) {
    rig_adopt(end);
  }
  if (end->on_nominated != NULL) {
    end->on_nominated(end);
  }
  end->in_callback = false;
}

static void on_failed(void *arg, warp_pipe *pipe, int status, const char *detail) {
  rig_end *end = arg;
  begin(end);
  assert_ptr_equal(pipe, end->pipe);
  end->failed++;
  end->fail_status = status;
  snprintf(end->detail, sizeof end->detail, "%s", detail);
  end->pipe = NULL;
  wg_pipe_discard(pipe);
  end->in_callback = false;
}

/* ---- setting up ------------------------------------------------------------------------------ */

static void init_end(pipe_rig *rig, rig_end *end, rig_end *other) {
  end->of = rig;
  end->other = other;
  end->adopt = true;
  end->out.queue_max = WG_TCP_QUEUE_MAX;
  wg_list_init(&end->out.datagrams);
  assert_int_equal(wg_identity_generate(&end->identity), WARP_OK);
}

void rig_init(pipe_rig *rig, warp_pipe_kind kind) {
  memset(rig, 0, sizeof *rig);
  rig->env.ops = &fake_ops;
  sim_process_clock(&rig->now_us);
  rig->now_us = 1000000;
  rig->kind = kind;
  rig->delay_us = 20000;
  rig->chunk = 1 << 16;
  wg_rng_seed(&rig->rng, 7, "rig");
  init_end(rig, &rig->client, &rig->server);
  init_end(rig, &rig->server, &rig->client);
  rig->client.nominate = true;
  rig->server.hello_expects = *wg_identity_key(rig->client.identity);
}

void rig_open_end(pipe_rig *rig, rig_end *end, const warp_key *expected, size_t hello_len) {
  uint8_t hello[WG_HELLO_MAX];
  for (size_t i = 0; i < sizeof hello; i++) {
    hello[i] = (uint8_t)(i * 7 + i / 256);
  }
  wg_pipe_options options = {
      .env = &rig->env,
      .identity = end->identity,
      .kind = rig->kind,
      .client = end == &rig->client,
      .initiator = end->nominate,
      .expected = expected,
      .hello = hello,
      .hello_len = hello_len,
      .ops = &carrier_ops,
      .carrier = end,
      .callbacks = {on_hello, on_secured, on_nominated, on_failed},
      .arg = end,
  };
  assert_int_equal(wg_pipe_open(&options, &end->pipe), WARP_OK);
}

void rig_open(pipe_rig *rig, size_t hello_len) {
  rig_open_end(rig, &rig->server, NULL, 0);
  rig_open_end(rig, &rig->client, wg_identity_key(rig->server.identity), hello_len);
}

void rig_connect(pipe_rig *rig, size_t hello_len) {
  rig_open(rig, hello_len);
  rig_end *responder = rig->client.nominate ? &rig->server : &rig->client;
  assert_true(rig_run_until(rig, &responder->nominated, 20000));
  assert_int_equal(rig->client.secured, 1);
  assert_int_equal(rig->server.secured, 1);
  assert_int_equal(rig->client.failed + rig->server.failed, 0);
}

void rig_inject(rig_end *end, const void *data, size_t len) {
  uint8_t *copy = malloc(len > 0 ? len : 1);
  assert_non_null(copy);
  memcpy(copy, data, len);
  if (listens(end)) {
    wg_pipe_input(end->pipe, copy, len);
  }
  free(copy);
}

static void clear_lane(rig_end *end) {
  wg_timer_stop(&end->of->env, &end->out.timer);
  wg_queue_free(&end->out.bytes);
  wg_queue_free(&end->received);
  while (!wg_list_empty(&end->out.datagrams)) {
    wg_list *first = end->out.datagrams.next;
    wg_list_remove(first);
    free(WG_CONTAINER(first, datagram, link));
  }
}

static void reset_end(rig_end *end) {
  assert_int_equal(end->closed + end->resets, 1);
  clear_lane(end);
  rig_end before = *end;
  memset(end, 0, sizeof *end);
  end->of = before.of;
  end->other = before.other;
  end->identity = before.identity;
  end->nominate = before.nominate;
  end->adopt = before.adopt;
  end->hello_expects = before.hello_expects;
  end->out.queue_max = WG_TCP_QUEUE_MAX;
  wg_list_init(&end->out.datagrams);
}

void rig_reset(pipe_rig *rig) {
  reset_end(&rig->client);
  reset_end(&rig->server);
}

static void free_end(rig_end *end) {
  if (end->pipe != NULL) {
    if (end->info.plugin == NULL) { /* never adopted */
      wg_pipe_discard(end->pipe);
    } else {
      wg_pipe_kill(end->pipe, WARP_CANCELED); /* frees it, if the application let go of it */
      if (!end->let_go) {
        warp_pipe_close(end->pipe);
      }
    }
  }
  assert_int_equal(end->closed + end->resets, 1);
  clear_lane(end);
}

void rig_free(pipe_rig *rig) {
  free_end(&rig->client);
  free_end(&rig->server);
  assert_true(wg_timers_next(&rig->env.timers) == UINT64_MAX);
  wg_identity_free(rig->client.identity);
  wg_identity_free(rig->server.identity);
  sim_process_clock_forget(&rig->now_us);
}
