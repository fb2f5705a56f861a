/*
 * Datagrams that leave together, with a system that refuses what the test wants it to refuse: the
 * calls of the driver that send come here.
 */
#include "harness.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { UNLIMITED = 1 << 20 };

/* What the system does, and how often it was asked. */
static struct {
  bool cuts;       /* it knows UDP_SEGMENT */
  int piece_error; /* of pieces; 0: they are cut */
  int error;       /* of single datagrams once `room` is used up */
  unsigned room;
  unsigned pieces, singles;
} os;

static void os_is_well(bool cuts) {
  memset(&os, 0, sizeof os);
  os.cuts = cuts;
  os.room = UNLIMITED;
}

/* The buffer is full after so many more. */
static void os_has_room_for(unsigned count) {
  os.room = count;
  os.error = EAGAIN;
  os.piece_error = EAGAIN;
}

static void os_has_room(void) {
  os.room = UNLIMITED;
  os.piece_error = 0;
}

/* In place of libc's. */
ssize_t test_sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *to,
                    socklen_t to_len) __asm__("sendto");
ssize_t test_sendmsg(int fd, const struct msghdr *message, int flags) __asm__("sendmsg");
int test_getsockopt(int fd, int level, int option, void *value,
                    socklen_t *len) __asm__("getsockopt");

ssize_t test_sendto(int fd, const void *data, size_t len, int flags, const struct sockaddr *to,
                    socklen_t to_len) {
  os.singles++;
  if (os.room == 0) {
    errno = os.error;
    return -1;
  }
  os.room--;
  return syscall(SYS_sendto, fd, data, len, flags, to, to_len);
}

ssize_t test_sendmsg(int fd, const struct msghdr *message, int flags) {
  os.pieces++;
  if (os.piece_error != 0) {
    errno = os.piece_error;
    return -1;
  }
  const struct cmsghdr *control = message->msg_control;
  assert_int_equal(control->cmsg_level, IPPROTO_UDP);
  assert_int_equal(control->cmsg_type, UDP_SEGMENT);
  uint16_t size;
  memcpy(&size, CMSG_DATA(control), sizeof size);
  assert_int_equal(message->msg_iovlen, 1);
  const uint8_t *bytes = message->msg_iov->iov_base;
  size_t len = message->msg_iov->iov_len;
  assert_in_range(len, size + 1, 65000);
  assert_in_range((len + size - 1) / size, 2, 64); /* UDP_MAX_SEGMENTS of the oldest kernels */
  for (size_t at = 0; at < len; at += size) {
    size_t here = len - at < size ? len - at : size;
    assert_int_equal(
        syscall(SYS_sendto, fd, bytes + at, here, flags, message->msg_name, message->msg_namelen),
        here);
  }
  return (ssize_t)len;
}

int test_getsockopt(int fd, int level, int option, void *value, socklen_t *len) {
  if (level == IPPROTO_UDP && option == UDP_SEGMENT) {
    errno = ENOPROTOOPT;
    return os.cuts ? 0 : -1;
  }
  return (int)syscall(SYS_getsockopt, fd, level, option, value, len);
}

/* ---- two ends -------------------------------------------------------------------------------- */

enum { MOST = 256 };

typedef struct ends {
  world *w;
  wg_udp *from, *other, *into;
  warp_addr to;
  size_t came, want;
  size_t lens[MOST];
  uint8_t numbers[MOST];
  bool all; /* came == want */
  /* The volley. */
  void (*script)(struct ends *e);
  bool fired;
  uint8_t next; /* number of the next datagram */
} ends;

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  (void)from;
  ends *e = arg;
  assert_in_range(e->came, 0, MOST - 1);
  e->numbers[e->came] = data[0];
  e->lens[e->came] = len;
  e->came++;
  e->all = e->came == e->want;
}

static void open_one(ends *e, wg_udp_recv_cb cb, wg_udp **out) {
  warp_addr local = wg_addr_loopback(WARP_IP4, 0);
  assert_int_equal(e->w->ops->udp_open(e->w->env, &local, 0, cb, e, out), WARP_OK);
}

static void open_ends(ends *e, world *w, bool cuts) {
  *e = (ends){.w = w};
  os_is_well(cuts);
  open_one(e, harness_ignore, &e->from);
  open_one(e, harness_ignore, &e->other);
  open_one(e, on_datagram, &e->into);
  w->ops->udp_local(e->into, &e->to);
}

static void close_ends(ends *e) {
  if (e->from != NULL) {
    e->w->ops->udp_close(e->from);
  }
  e->w->ops->udp_close(e->other);
  e->w->ops->udp_close(e->into);
}

static void on_time(void *arg) {
  ends *e = arg;
  e->script(e);
  e->fired = true;
}

/* Runs it within a callback of the loop, and until that has returned. */
static void fire(ends *e, void (*script)(ends *e)) {
  wg_timer timer = {0};
  e->script = script;
  e->fired = false;
  wg_timer_start(e->w->env, &timer, 0, on_time, e);
  run_until(e->w, &e->fired);
}

static int send_from(ends *e, wg_udp *from, size_t len) {
  uint8_t bytes[WG_UDP_MAX];
  memset(bytes, e->next, sizeof bytes);
  int status = e->w->ops->udp_send(from, &e->to, bytes, len);
  e->next = (uint8_t)(e->next + (status == WARP_OK));
  return status;
}

static void send_sized(ends *e, size_t count, size_t len) {
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(send_from(e, e->from, len), WARP_OK);
  }
}

/* All that were taken so far come, in order. */
static void await_all(ends *e) {
  e->want = e->next;
  e->all = e->came == e->want;
  run_until(e->w, &e->all);
  for (size_t i = 0; i < e->came; i++) {
    assert_int_equal(e->numbers[i], i);
  }
}

/* ---- scripts --------------------------------------------------------------------------------- */

static void send_twenty(ends *e) {
  unsigned before = os.singles;
  send_sized(e, 1, 1000);
  assert_int_equal(os.singles, before + 1); /* it did not wait */
  send_sized(e, 19, 1000);
}

static void send_twenty_small(ends *e) {
  send_sized(e, 20, 100);
}

static void send_two(ends *e) {
  send_sized(e, 2, 1000);
}

static void send_many_small(ends *e) {
  send_sized(e, 130, 1);
}

static void send_many_large(ends *e) {
  send_sized(e, 70, WG_UDP_MAX);
}

static void send_shrinking(ends *e) {
  static const size_t lens[] = {500, 500, 500, 300, 500, 500, 200, 700};
  for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
    send_sized(e, 1, lens[i]);
  }
}

static void fill_up(ends *e) {
  send_sized(e, 1, 10);
  os_has_room_for(0);
  send_sized(e, 64, 10); /* what waits is bounded */
  assert_int_equal(send_from(e, e->from, 10), WARP_AGAIN);
  assert_int_equal(send_from(e, e->from, 10), WARP_AGAIN);
}

static void fill_up_late(ends *e) {
  send_twenty(e);
  os_has_room_for(0);
}

static void send_one_refused(ends *e) {
  assert_int_equal(send_from(e, e->from, 10), WARP_AGAIN);
}

static void send_by_another(ends *e) {
  for (int i = 0; i < 3; i++) {
    os_has_room_for(0);
    assert_int_equal(send_from(e, e->from, 10), WARP_AGAIN);
    os_has_room_for(1); /* of its own */
    warp_addr to = e->to;
    assert_int_equal(e->w->ops->udp_send(e->other, &to, "\xff", 1), WARP_OK);
    os_has_room_for(0);
  }
}

static void close_sender(ends *e) {
  e->w->ops->udp_close(e->from);
  e->from = NULL;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_one_piece_for_what_follows_the_first(void **state) {
  ends e;
  open_ends(&e, *state, true);
  fire(&e, send_twenty);
  assert_int_equal(os.singles, 1);
  assert_int_equal(os.pieces, 1);
  fire(&e, send_two); /* nothing to be cut */
  assert_int_equal(os.singles, 3);
  assert_int_equal(os.pieces, 1);
  await_all(&e);
  close_ends(&e);
}

static void test_outside_of_callbacks_nothing_waits(void **state) {
  ends e;
  open_ends(&e, *state, true);
  send_sized(&e, 5, 10);
  assert_int_equal(os.singles, 5);
  await_all(&e);
  assert_int_equal(os.pieces, 0);
  close_ends(&e);
}

static void test_pieces_are_bounded_by_number_and_bytes(void **state) {
  ends e;
  open_ends(&e, *state, true);
  fire(&e, send_many_small);
  assert_int_equal(os.pieces, 2); /* 64 and 64, and the last one goes for itself */
  assert_int_equal(os.singles, 2);
  await_all(&e);
  fire(&e, send_many_large);
  assert_int_equal(os.pieces, 2 + 3); /* of at most 65000 bytes */
  await_all(&e);
  close_ends(&e);
}

static void test_a_shorter_one_ends_its_piece(void **state) {
  ends e;
  open_ends(&e, *state, true);
  fire(&e, send_shrinking); /* 500, then 500 500 300, then 500 500 200, then 700 */
  assert_int_equal(os.pieces, 2);
  assert_int_equal(os.singles, 2);
  await_all(&e);
  static const size_t lens[] = {500, 500, 500, 300, 500, 500, 200, 700};
  assert_memory_equal(e.lens, lens, sizeof lens);
  close_ends(&e);
}

static void test_kernels_that_do_not_cut(void **state) {
  ends e;
  open_ends(&e, *state, false);
  fire(&e, send_twenty);
  assert_int_equal(os.singles, 20);
  assert_int_equal(os.pieces, 0);
  await_all(&e);
  close_ends(&e);
}

/* Each datagram comes, and the socket does not try again what cannot be. */
static void test_refused_pieces_go_one_by_one(void **state) {
  static const struct {
    int error;
    unsigned again, smaller; /* pieces that are tried afterwards */
  } cases[] = {
      {EIO, 0, 0},    {EOPNOTSUPP, 0, 0}, {ENOPROTOOPT, 0, 0},
      {EINVAL, 0, 1}, {EMSGSIZE, 0, 1},   {ENOBUFS, 1, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    ends e;
    open_ends(&e, *state, true);
    os.piece_error = cases[i].error;
    fire(&e, send_twenty);
    assert_int_equal(os.pieces, 1);
    assert_int_equal(os.singles, 20);
    await_all(&e);
    os.piece_error = 0;
    os.pieces = 0;
    fire(&e, send_twenty);
    assert_int_equal(os.pieces, cases[i].again);
    await_all(&e);
    os.pieces = 0;
    fire(&e, send_twenty_small);
    assert_int_equal(os.pieces, cases[i].smaller);
    await_all(&e);
    close_ends(&e);
  }
}

static void test_a_full_buffer(void **state) {
  ends e;
  open_ends(&e, *state, true);
  fire(&e, fill_up);
  fire(&e, send_one_refused);
  assert_int_equal(send_from(&e, e.from, 10), WARP_AGAIN);
  os_has_room();
  await_all(&e); /* without another send */
  assert_int_equal(e.came, 65);
  fire(&e, send_twenty);
  await_all(&e);
  close_ends(&e);
}

static void test_a_buffer_that_fills_at_the_end_of_the_callback(void **state) {
  ends e;
  open_ends(&e, *state, true);
  fire(&e, fill_up_late);
  os_has_room();
  send_sized(&e, 1, 10); /* takes the others along */
  await_all(&e);
  close_ends(&e);
}

static void test_a_buffer_that_fills_between_single_ones(void **state) {
  ends e;
  open_ends(&e, *state, true);
  os_has_room_for(6);
  os.piece_error = EIO;
  fire(&e, send_twenty);
  e.want = 6;
  e.all = e.came == 6;
  run_until(e.w, &e.all);
  fire(&e, send_one_refused);
  os.room = 3;
  e.want = 9;
  e.all = e.came == 9;
  run_until(e.w, &e.all);
  os_has_room();
  await_all(&e);
  assert_int_equal(e.came, 20);
  close_ends(&e);
}

/* Datagrams of one that has no room do not keep another one from sending. */
static void test_another_sender_beside_a_full_one(void **state) {
  ends e;
  open_ends(&e, *state, true);
  fire(&e, fill_up_late);
  fire(&e, send_by_another);
  e.want = 1 + 3;
  e.all = e.came == e.want;
  run_until(e.w, &e.all);
  for (size_t i = 1; i < e.came; i++) {
    assert_int_equal(e.numbers[i], 0xff);
  }
  os_has_room();
  e.want = 20 + 3;
  e.all = false;
  run_until(e.w, &e.all);
  for (size_t i = 4; i < e.came; i++) {
    assert_int_equal(e.numbers[i], i - 3);
  }
  close_ends(&e);
}

static void test_closing_while_some_wait_for_room(void **state) {
  ends e;
  open_ends(&e, *state, true);
  fire(&e, fill_up_late);
  fire(&e, close_sender);
  os_has_room();
  open_one(&e, harness_ignore, &e.from); /* perhaps with the descriptor of the other */
  e.next = 1;                            /* of the first volley only the first one came */
  fire(&e, send_twenty);
  await_all(&e);
  close_ends(&e);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_one_piece_for_what_follows_the_first),
      TEST(test_outside_of_callbacks_nothing_waits),
      TEST(test_pieces_are_bounded_by_number_and_bytes),
      TEST(test_a_shorter_one_ends_its_piece),
      TEST(test_kernels_that_do_not_cut),
      TEST(test_refused_pieces_go_one_by_one),
      TEST(test_a_full_buffer),
      TEST(test_a_buffer_that_fills_at_the_end_of_the_callback),
      TEST(test_a_buffer_that_fills_between_single_ones),
      TEST(test_another_sender_beside_a_full_one),
      TEST(test_closing_while_some_wait_for_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
