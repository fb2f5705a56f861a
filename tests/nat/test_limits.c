/* What is said when there is no room for so many labs. */
#include "natsim/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const sim_need need = {.namespaces = 8, .descriptors = 40, .mebibytes = 10};

static const char *said(sim_room room, unsigned labs) {
  static ns_error error;
  error.text[0] = 0;
  int status = sim_room_check(&room, &need, labs, "--labs", &error);
  assert_int_equal(status, *error.text ? -1 : 0);
  assert_null(strchr(error.text, '\n'));
  return error.text;
}

static sim_room plenty(void) {
  return (sim_room){.namespaces = 1600, .descriptors = 9200, .mebibytes = 2000};
}

static void enough_is_enough(void **state) {
  (void)state;
  assert_string_equal(said(plenty(), 200), "");
  assert_string_equal(said((sim_room){UINT64_MAX, UINT64_MAX, UINT64_MAX}, 1000), "");
}

static void names_what_is_short(void **state) {
  (void)state;
  sim_room room = plenty();
  room.namespaces--;
  assert_string_equal(said(room, 200),
                      "200 labs take 1600 network namespaces and there are 1599, enough for 199: "
                      "raise user.max_net_namespaces with sysctl, or ask for fewer with --labs");
  room = plenty();
  room.descriptors = 1024; /* less than natsim itself takes */
  assert_non_null(strstr(said(room, 1), "open files and there are 0, enough for 0"));
  room.descriptors = 639;
  assert_string_equal(said(room, 1), "a program of the lab may need 640 open files and there are "
                                     "639: raise the limit of open files (ulimit -Hn)");
  room = plenty();
  room.mebibytes = 1999;
  assert_non_null(strstr(said(room, 200), "2000 MiB of memory and there are 1999, enough for 199"));
}

static void reads_this_machine(void **state) {
  (void)state;
  sim_room room;
  sim_room_read(&room);
  assert_true(room.mebibytes > 0 && room.descriptors > 0 && room.namespaces > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(enough_is_enough),
      cmocka_unit_test(names_what_is_short),
      cmocka_unit_test(reads_this_machine),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
