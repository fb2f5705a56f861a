/* The store: what was put is there after closing, and other files are left alone. */
#include "store.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], path[96];

static int set_up(void **state) {
  (void)state;
  strcpy(folder, "/tmp/warpgate-store-XXXXXX");
  if (mkdtemp(folder) == NULL) {
    return -1;
  }
  snprintf(path, sizeof path, "%s/names.db", folder);
  return 0;
}

static int tear_down(void **state) {
  static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
  (void)state;
  for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
    char name[128];
    snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
    unlink(name);
  }
  return rmdir(folder);
}

static name_store *open_store(const char *at) {
  name_store *store = NULL;
  char why[NAME_STORE_WHY] = "";
  if (name_store_open(at, &store, why) != WARP_OK) {
    fail_msg("%s", why);
  }
  return store;
}

static name_row make_row(uint8_t fill, int64_t expires_ms) {
  name_row row = {.key = {{2, fill}}, .sequence = 7, .expires_ms = expires_ms, .record_len = 100};
  row.source.bytes[0] = WARP_IP4;
  row.source.bytes[4] = fill;
  memset(row.record, fill, row.record_len);
  return row;
}

static void assert_same(const name_row *a, const name_row *b) {
  assert_memory_equal(&a->key, &b->key, sizeof a->key);
  assert_true(a->sequence == b->sequence);
  assert_true(a->expires_ms == b->expires_ms);
  assert_memory_equal(&a->source, &b->source, sizeof a->source);
  assert_int_equal(a->record_len, b->record_len);
  assert_memory_equal(a->record, b->record, a->record_len);
}

static void test_put_and_get(void **state) {
  (void)state;
  name_store *store = open_store(":memory:");
  name_row row = make_row(1, 1000), got;
  assert_int_equal(name_store_get(store, "alice", &got), WARP_NOT_FOUND);
  row.sequence = UINT64_MAX;
  row.record_len = WARP_RECORD_MAX;
  assert_int_equal(name_store_put(store, "alice", &row), WARP_OK);
  assert_int_equal(name_store_get(store, "alice", &got), WARP_OK);
  assert_same(&row, &got);
  name_row other = make_row(2, 2000);
  other.record_len = 0;
  assert_int_equal(name_store_put(store, "alice", &other), WARP_OK);
  assert_int_equal(name_store_get(store, "alice", &got), WARP_OK);
  assert_same(&other, &got);
  assert_int_equal(name_store_get(store, "alic", &got), WARP_NOT_FOUND);
  assert_int_equal(name_store_get(store, "' OR 1=1 --", &got), WARP_NOT_FOUND);
  name_store_close(store);
  name_store_close(NULL);
}

static void test_count_and_purge(void **state) {
  (void)state;
  name_store *store = open_store(":memory:");
  name_row row = make_row(1, 1000), other = make_row(2, 5000), deleted = make_row(1, 5000);
  deleted.record_len = 0;
  unsigned count;
  assert_int_equal(name_store_put(store, "a", &row), WARP_OK);
  row.expires_ms = 2000;
  assert_int_equal(name_store_put(store, "b", &row), WARP_OK);
  assert_int_equal(name_store_put(store, "c", &other), WARP_OK);
  assert_int_equal(name_store_put(store, "d", &deleted), WARP_OK);
  assert_int_equal(name_store_count(store, &row.source, NAME_SOURCE_LEN, 999, 9, &count), WARP_OK);
  assert_int_equal(count, 2);
  assert_int_equal(name_store_count(store, &row.source, NAME_SOURCE_LEN, 1000, 9, &count), WARP_OK);
  assert_int_equal(count, 1);
  assert_int_equal(name_store_count(store, &other.source, NAME_SOURCE_LEN, 1000, 9, &count),
                   WARP_OK);
  assert_int_equal(count, 1);
  assert_int_equal(name_store_purge(store, 999), 0);
  assert_int_equal(name_store_purge(store, 2000), 2);
  assert_int_equal(name_store_purge(store, 2000), 0);
  name_row got;
  assert_int_equal(name_store_get(store, "b", &got), WARP_NOT_FOUND);
  assert_int_equal(name_store_get(store, "c", &got), WARP_OK);
  assert_int_equal(name_store_get(store, "d", &got), WARP_OK);
  name_store_close(store);
}

static void test_persists(void **state) {
  (void)state;
  name_store *store = open_store(path);
  name_row row = make_row(3, 1000), got;
  assert_int_equal(name_store_put(store, "alice", &row), WARP_OK);
  assert_int_equal(name_store_commit(store), WARP_OK);
  name_store_close(store);
  store = open_store(path);
  assert_int_equal(name_store_get(store, "alice", &got), WARP_OK);
  assert_same(&row, &got);
  name_store_close(store);
}

/* A process that has one name stored and another not yet, says so, and waits to be killed. */
static _Noreturn void fill_and_wait(int report_fd) {
  name_store *store = NULL;
  char why[NAME_STORE_WHY];
  name_row row = make_row(4, 1000);
  bool good = name_store_open(path, &store, why) == WARP_OK &&
              name_store_put(store, "alice", &row) == WARP_OK &&
              name_store_commit(store) == WARP_OK;
  good = good && name_store_put(store, "bob", &row) == WARP_OK; /* and no commit */
  good = good && write(report_fd, "", 1) == 1;
  while (good) {
    pause();
  }
  _exit(1);
}

/* Starts it, and returns when it has said so. */
static pid_t start_filling(void) {
  int report[2];
  assert_int_equal(pipe(report), 0);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    fill_and_wait(report[1]);
  }
  close(report[1]);
  char byte;
  assert_int_equal(read(report[0], &byte, 1), 1); /* its end, if the child could not */
  close(report[0]);
  return child;
}

static void kill_child(pid_t child) {
  int status;
  kill(child, SIGKILL);
  assert_int_equal(waitpid(child, &status, 0), child);
}

/* What was acknowledged is in the file although the process is killed before it closes it. */
static void test_survives_a_crash(void **state) {
  (void)state;
  kill_child(start_filling());
  name_store *store = open_store(path);
  name_row got;
  assert_int_equal(name_store_get(store, "alice", &got), WARP_OK);
  assert_int_equal(name_store_get(store, "bob", &got), WARP_NOT_FOUND);
  name_store_close(store);
}

/* A disk that is full: the commit says so, nothing of it was done, and the store goes on. */
static void test_full_disk(void **state) {
  (void)state;
  name_store *store = open_store(path);
  name_row row = make_row(3, 1000), got;
  assert_int_equal(name_store_put(store, "before", &row), WARP_OK);
  assert_int_equal(name_store_commit(store), WARP_OK);
  struct rlimit limit, before;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, SIG_IGN); /* so that the write fails instead */
  limit = (struct rlimit){.rlim_cur = 8192, .rlim_max = before.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
  for (int i = 0; i < 20; i++) {
    char name[16];
    snprintf(name, sizeof name, "name-%d", i);
    (void)name_store_put(store, name, &row);
  }
  assert_true(name_store_dirty(store));
  int status = name_store_commit(store);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  assert_int_equal(status, WARP_IO);
  assert_false(name_store_dirty(store));
  assert_int_equal(name_store_get(store, "name-0", &got), WARP_NOT_FOUND);
  assert_int_equal(name_store_get(store, "before", &got), WARP_OK);
  assert_int_equal(name_store_put(store, "after", &row), WARP_OK);
  assert_int_equal(name_store_commit(store), WARP_OK);
  name_store_close(store);
}

static void test_sites(void **state) {
  (void)state;
  name_store *store = open_store(":memory:");
  name_row row = make_row(0, 1000);
  unsigned count;
  row.source.bytes[0] = WARP_IP6;
  for (uint8_t i = 0; i < 6; i++) {
    char name[2] = {(char)('a' + i), '\0'};
    row.source.bytes[6] = i / 3; /* two sites */
    row.source.bytes[8] = i;     /* of three networks each */
    assert_int_equal(name_store_put(store, name, &row), WARP_OK);
  }
  assert_int_equal(name_store_count(store, &row.source, NAME_SOURCE_LEN, 1, 9, &count), WARP_OK);
  assert_int_equal(count, 1);
  assert_int_equal(name_store_count(store, &row.source, NAME_SOURCE_SITE_LEN, 1, 9, &count),
                   WARP_OK);
  assert_int_equal(count, 3);
  assert_int_equal(name_store_count(store, &row.source, NAME_SOURCE_SITE_LEN, 1, 2, &count),
                   WARP_OK);
  assert_int_equal(count, 2);
  uint64_t total;
  assert_int_equal(name_store_total(store, 1, &total), WARP_OK);
  assert_int_equal(total, 6);
  name_store_close(store);
}

static void expect_refused(const char *at, int status) {
  name_store *store = NULL;
  char why[NAME_STORE_WHY] = "";
  assert_int_equal(name_store_open(at, &store, why), status);
  assert_null(store);
  assert_non_null(strstr(why, "cannot use"));
  assert_null(strchr(why, '\n'));
}

static void test_one_process_at_a_time(void **state) {
  (void)state;
  pid_t child = start_filling();
  expect_refused(path, WARP_ADDR_IN_USE);
  kill_child(child);
  name_store_close(open_store(path));
}

/* The process that changes the file may read it meanwhile: what is committed, and no more. */
static void test_reader(void **state) {
  (void)state;
  char why[NAME_STORE_WHY];
  name_store *store = open_store(path), *reader = NULL;
  name_row row = make_row(3, 1000), newer = make_row(5, 1000), got;
  assert_int_equal(name_store_open_reader(store, &reader, why), WARP_OK);
  assert_int_equal(name_store_get(reader, "alice", &got), WARP_NOT_FOUND);
  assert_int_equal(name_store_put(store, "alice", &row), WARP_OK);
  assert_int_equal(name_store_get(reader, "alice", &got), WARP_NOT_FOUND);
  assert_int_equal(name_store_commit(store), WARP_OK);
  assert_int_equal(name_store_put(store, "alice", &newer), WARP_OK);
  assert_int_equal(name_store_get(reader, "alice", &got), WARP_OK);
  assert_same(&row, &got);
  assert_int_equal(name_store_get(store, "alice", &got), WARP_OK);
  assert_same(&newer, &got);
  assert_int_equal(name_store_put(reader, "bob", &row), WARP_IO);
  name_store_close(reader);
  assert_int_equal(name_store_commit(store), WARP_OK);
  name_store_close(store);

  store = open_store(":memory:");
  assert_int_equal(name_store_open_reader(store, &reader, why), WARP_UNSUPPORTED);
  name_store_close(store);
}

static void write_file(const char *bytes, size_t len) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, len, file), len);
  fclose(file);
}

static void test_foreign_files(void **state) {
  (void)state;
  static const char text[] = "This is not a database, however long it may be, and never was one.";
  write_file(text, sizeof text);
  expect_refused(path, WARP_MALFORMED);
  unlink(path);

  char missing[128];
  snprintf(missing, sizeof missing, "%s/missing/names.db", folder);
  expect_refused(missing, WARP_PERMISSION);
  expect_refused(folder, WARP_PERMISSION);
}

/* Changes single bytes of the file's header, where SQLite keeps the two numbers. */
static void poke(long at, uint8_t value) {
  FILE *file = fopen(path, "r+b");
  assert_non_null(file);
  assert_int_equal(fseek(file, at, SEEK_SET), 0);
  assert_int_equal(fputc(value, file), value);
  fclose(file);
}

static void test_other_schemas(void **state) {
  enum { USER_VERSION_LSB = 63, APPLICATION_ID_LSB = 71 };
  (void)state;
  name_store_close(open_store(path));
  poke(USER_VERSION_LSB, 3);
  expect_refused(path, WARP_VERSION);
  poke(USER_VERSION_LSB, 1); /* brought up to date */
  name_store_close(open_store(path));
  name_store_close(open_store(path));
  poke(APPLICATION_ID_LSB, 0);
  expect_refused(path, WARP_MALFORMED);
}

static void test_damaged(void **state) {
  (void)state;
  name_store *store = open_store(path);
  name_row row = make_row(3, 1000);
  for (int i = 0; i < 50; i++) {
    char name[16];
    snprintf(name, sizeof name, "name-%d", i);
    assert_int_equal(name_store_put(store, name, &row), WARP_OK);
  }
  name_store_close(store);
  assert_int_equal(truncate(path, 4096), 0);
  char why[NAME_STORE_WHY];
  store = NULL;
  if (name_store_open(path, &store, why) == WARP_OK) { /* found out only when it is read */
    name_row got;
    assert_int_not_equal(name_store_get(store, "name-30", &got), WARP_OK);
    name_store_close(store);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_put_and_get),
      cmocka_unit_test(test_count_and_purge),
      cmocka_unit_test_setup_teardown(test_persists, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_survives_a_crash, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
      cmocka_unit_test(test_sites),
      cmocka_unit_test_setup_teardown(test_one_process_at_a_time, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_reader, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_foreign_files, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_other_schemas, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
