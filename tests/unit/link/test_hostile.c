/* A link over messages against a peer whose SCTP packets are changed on their way: nothing but the
 * peer itself can do that, since the pipe below authenticates them. The link may break, but the
 * process may not, its memory stays bounded, and closing ends. */
#include "link_rig.h"
#include "pipe/pipe_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <cmocka.h>

enum { COMMON_LEN = 12, CHUNK_HEAD_LEN = 4 };

/* Between a pipe and the link above it. */
typedef struct tamperer {
  link_end *end;
  warp_pipe_handlers above;
  wg_rng rng;
  unsigned chance;                /* in a hundred packets */
  uint8_t kept[WARP_MESSAGE_MAX]; /* an earlier packet */
  size_t kept_len;
  unsigned changed;
} tamperer;

static link_rig rig;

/* usrsctp's own, which goes before that of its library: a world is its seed's, also in its tags and
 * cookies. */
static wg_rng sctp_rng;
void read_random(void *out, size_t len);
__attribute__((visibility("default"))) void read_random(void *out, size_t len) {
  uint8_t *bytes = out;
  for (size_t i = 0; i < len; i++) {
    bytes[i] = (uint8_t)wg_rng_next(&sctp_rng);
  }
}

static uint32_t below(tamperer *self, size_t bound) {
  return wg_rng_below(&self->rng, (uint32_t)bound);
}

/* Where the first, second, ... chunk begins, or the end. */
static size_t chunk_at(const uint8_t *packet, size_t len, unsigned index) {
  size_t at = COMMON_LEN;
  while (index-- > 0 && at + CHUNK_HEAD_LEN <= len) {
    size_t chunk_len = ((size_t)packet[at + 2] << 8 | packet[at + 3]) + 3;
    at += chunk_len / 4 * 4 < CHUNK_HEAD_LEN ? CHUNK_HEAD_LEN : chunk_len / 4 * 4;
  }
  return at + CHUNK_HEAD_LEN <= len ? at : COMMON_LEN;
}

static size_t change(tamperer *self, uint8_t *packet, size_t len) {
  static const uint8_t lengths[] = {0, 1, 3, 4, 5, 8, 16, 20, 255};
  size_t at = chunk_at(packet, len, below(self, 3));
  switch (below(self, 8)) {
  case 0: /* some bytes */
    for (unsigned i = 0; i < 1 + len / 200; i++) {
      packet[COMMON_LEN + below(self, len - COMMON_LEN)] = (uint8_t)wg_rng_next(&self->rng);
    }
    return len;
  case 1: /* another chunk: all the types that there are, and more */
    packet[at] = (uint8_t)(below(self, 3) == 0 ? 0xc0 + below(self, 3) : below(self, 16));
    return len;
  case 2: /* its length */
    packet[at + 2] = (uint8_t)(below(self, 4) == 0 ? below(self, 256) : packet[at + 2]);
    packet[at + 3] = lengths[below(self, sizeof lengths)];
    return len;
  case 3: /* its flags, or its numbers */
    packet[at + 1 + below(self, len - at - 1 < 19 ? len - at - 1 : 19)] ^=
        (uint8_t)(1u << below(self, 8));
    return len;
  case 4: /* ends early */
    return COMMON_LEN + below(self, len - COMMON_LEN);
  case 5: /* an earlier one again */
    memcpy(packet, self->kept, self->kept_len);
    return self->kept_len;
  case 6: /* the chunks of an earlier one behind */
    if (self->kept_len > COMMON_LEN && len + self->kept_len <= WARP_MESSAGE_MAX) {
      memcpy(packet + len, self->kept + COMMON_LEN, self->kept_len - COMMON_LEN);
      return len + self->kept_len - COMMON_LEN;
    }
    return len;
  default: /* a number far away, as of a transmission that was never made */
    for (size_t i = 4; i < 8 && at + i < len; i++) {
      packet[at + i] = (uint8_t)wg_rng_next(&self->rng);
    }
    return len;
  }
}

static void on_data(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len) {
  tamperer *self = arg;
  uint8_t packet[2 * WARP_MESSAGE_MAX];
  memcpy(packet, data, len);
  size_t changed_len = len;
  if (len > COMMON_LEN + CHUNK_HEAD_LEN && below(self, 100) < self->chance) {
    changed_len = change(self, packet, len);
    self->changed++;
  }
  if (below(self, 4) == 0) {
    memcpy(self->kept, data, len);
    self->kept_len = len;
  }
  uint8_t *exact = malloc(changed_len + 1); /* its size, for the sanitizer */
  assert_non_null(exact);
  memcpy(exact, packet, changed_len);
  if (changed_len != len || memcmp(exact, data, len) != 0) {
    if (below(self, 2) == 0) { /* besides the true one */
      self->above.on_data(self->above.arg, pipe, data, len);
    }
  }
  if (self->end->closed == 0 && warp_link_pipe(self->end->link) != NULL) { /* not broken by it */
    self->above.on_data(self->above.arg, pipe, exact, changed_len);
  }
  free(exact);
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  const tamperer *self = arg;
  self->above.on_end(self->above.arg, pipe, status);
}

static void on_drain(void *arg, warp_pipe *pipe) {
  const tamperer *self = arg;
  self->above.on_drain(self->above.arg, pipe);
}

static void tamper(tamperer *self, link_end *end, unsigned seed, unsigned chance) {
  warp_pipe *pipe = end->below->pipe;
  memset(self, 0, sizeof *self);
  wg_rng_seed(&self->rng, seed, "tamper");
  self->end = end;
  self->above = pipe->handlers;
  self->chance = chance;
  warp_pipe_handlers between = {
      .on_data = on_data, .on_end = on_end, .on_drain = on_drain, .arg = self};
  assert_int_equal(warp_pipe_set_handlers(pipe, &between), WARP_OK);
}

/* 0 where the C library cannot tell, or a sanitizer has taken its place. */
static size_t heap_len(void) {
#ifdef __GLIBC__
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

/* WARPGATE_SEED=NUMBER in the environment: other worlds than the usual ones. */
static void changed_packets_do_no_harm(void **state) {
  (void)state;
  const char *others = getenv("WARPGATE_SEED");
  unsigned first = others != NULL ? (unsigned)strtoul(others, NULL, 10) : 0;
  enum { SEEDS = 60, MEMORY_MAX = 16 << 20 };
  unsigned changed = 0;
  size_t largest = 0;
  for (unsigned seed = first; seed < first + SEEDS; seed++) {
    tamperer at_a, at_b;
    wg_rng_seed(&sctp_rng, seed, "sctp");
    link_rig_open(&rig, WARP_MESSAGES);
    warp_link_on_message(rig.a.link, NULL, NULL);
    warp_link_on_message(rig.b.link, NULL, NULL);
    tamper(&at_a, &rig.a, seed, seed % 3 == 0 ? 0 : 1 + seed % 40);
    tamper(&at_b, &rig.b, seed + 1000, seed % 3 == 1 ? 0 : 1 + seed % 40);
    size_t before = heap_len();
    for (unsigned i = 0; i < 30; i++) {
      for (unsigned j = 0; j < 5; j++) {
        (void)link_send(&rig.a, 20000);
        (void)link_send(&rig.b, 300);
      }
      rig_run(&rig.pipes, 100);
      size_t now = heap_len();
      largest = now > before + largest ? now - before : largest;
    }
    changed += at_a.changed + at_b.changed;
    link_close(&rig.a);
    link_close(&rig.b);
    rig_run(&rig.pipes, 200000);
    assert_int_equal(rig.a.closed, 1);
    assert_int_equal(rig.b.closed, 1);
    link_rig_free(&rig);
  }
  assert_true(changed > SEEDS);
  assert_true(largest < MEMORY_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(changed_packets_do_no_harm),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
