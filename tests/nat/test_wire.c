/* What lab and lab exec say to each other: requests there and back, and broken ones. */
#include "natsim/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static char *const arguments[] = {"echo", "", "two words", NULL};
static char *const variables[] = {"A=1", "EMPTY=", NULL};

static void requests_come_through(void **state) {
  (void)state;
  sim_wire_head head;
  sim_wire_request request;
  char *body;
  assert_int_equal(sim_wire_pack("router-a", "/tmp", arguments, variables, &head, &body), 0);
  assert_int_equal(sim_wire_unpack(&head, body, &request), 0);
  assert_string_equal(request.host, "router-a");
  assert_string_equal(request.folder, "/tmp");
  for (size_t i = 0; i < 3; i++)
    assert_string_equal(request.argv[i], arguments[i]);
  assert_null(request.argv[3]);
  for (size_t i = 0; i < 2; i++)
    assert_string_equal(request.envp[i], variables[i]);
  assert_null(request.envp[2]);
  sim_wire_free(&request);
}

static void what_is_too_long_is_not_sent(void **state) {
  (void)state;
  sim_wire_head head;
  char *body, *big = malloc(SIM_WIRE_BODY + 1);
  memset(big, 'x', SIM_WIRE_BODY);
  big[SIM_WIRE_BODY] = 0;
  char *const argv[] = {big, NULL};
  assert_int_equal(sim_wire_pack("a", "/", argv, variables, &head, &body), -E2BIG);
  free(big);
}

/* A copy of exactly that many bytes, so that a sanitizer sees what is read past them. */
static int unpack(sim_wire_head head, const char *body, size_t len) {
  sim_wire_request request;
  char *copy = malloc(len ? len : 1);
  memcpy(copy, body, len);
  head.body_len = (uint32_t)len;
  int status = sim_wire_unpack(&head, copy, &request);
  if (!status)
    sim_wire_free(&request);
  return status;
}

static void broken_requests_are_refused(void **state) {
  (void)state;
  sim_wire_head head;
  char *body;
  assert_int_equal(sim_wire_pack("a", "/", arguments, variables, &head, &body), 0);
  size_t len = head.body_len;
  assert_int_equal(unpack(head, body, len), 0);
  for (size_t cut = 0; cut < len; cut++)
    assert_int_equal(unpack(head, body, cut), -EBADMSG);
  sim_wire_head wrong = head;
  wrong.magic++;
  assert_int_equal(unpack(wrong, body, len), -EBADMSG);
  wrong = head;
  wrong.arguments = 0;
  assert_int_equal(unpack(wrong, body, len), -EBADMSG);
  wrong = head;
  wrong.variables = UINT32_MAX;
  assert_int_equal(unpack(wrong, body, len), -EBADMSG);
  wrong = head;
  wrong.arguments = UINT32_MAX;
  wrong.variables = 2;
  assert_int_equal(unpack(wrong, body, len), -EBADMSG);
  wrong = head;
  wrong.variables--; /* something is left */
  assert_int_equal(unpack(wrong, body, len), -EBADMSG);
  free(body);
}

static void names_are_plain(void **state) {
  (void)state;
  assert_true(sim_lab_name_ok("default"));
  assert_true(sim_lab_name_ok("A-b_9"));
  assert_true(sim_lab_name_ok("1234567890123456789012345678901"));
  assert_false(sim_lab_name_ok("12345678901234567890123456789012"));
  assert_false(sim_lab_name_ok(""));
  assert_false(sim_lab_name_ok("a/b"));
  assert_false(sim_lab_name_ok("a b"));
}

static void descriptors_come_along_once(void **state) {
  (void)state;
  int ends[2], pipes[2], fds[SIM_WIRE_DESCRIPTORS], got[SIM_WIRE_DESCRIPTORS];
  char word[6] = "", byte;
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  assert_int_equal(pipe(pipes), 0);
  for (int i = 0; i < SIM_WIRE_DESCRIPTORS; i++)
    fds[i] = pipes[1];
  assert_true(sim_wire_send(ends[0], "hello", 5, fds));
  assert_true(sim_wire_send(ends[0], "x", 1, fds)); /* nobody asks for these */
  assert_true(sim_wire_receive(ends[1], word, 5, got));
  assert_string_equal(word, "hello");
  assert_true(sim_wire_receive(ends[1], &byte, 1, NULL));
  close(pipes[1]);
  for (int i = 0; i < SIM_WIRE_DESCRIPTORS; i++) {
    assert_int_equal(fcntl(got[i], F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(got[i], "y", 1), 1);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    close(got[i]);
  }
  assert_int_equal(read(pipes[0], &byte, 1), 0); /* the others are closed */
  close(ends[0]);
  assert_false(sim_wire_receive(ends[1], &byte, 1, got));
  assert_int_equal(got[0], -1);
  close(ends[1]);
  close(pipes[0]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(requests_come_through),       cmocka_unit_test(what_is_too_long_is_not_sent),
      cmocka_unit_test(broken_requests_are_refused), cmocka_unit_test(names_are_plain),
      cmocka_unit_test(descriptors_come_along_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
