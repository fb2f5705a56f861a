#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char base[64]; /* a temporary folder for each test */

static int files_up(void **state) {
  strcpy(base, "/tmp/warpgate-test-XXXXXX");
  assert_non_null(mkdtemp(base));
  return world_up(state);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *ftw) {
  (void)info;
  (void)kind;
  (void)ftw;
  return remove(path);
}

static int files_down(void **state) {
  nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  return world_down(state);
}

static const char *path_of(const char *relative) {
  static char path[256];
  snprintf(path, sizeof path, "%s/%s", base, relative);
  return path;
}

static unsigned mode_of(const char *relative) {
  struct stat info;
  assert_int_equal(stat(path_of(relative), &info), 0);
  return info.st_mode & 07777;
}

static size_t entries_of(const char *path) {
  DIR *dir = opendir(path);
  assert_non_null(dir);
  size_t count = 0;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
  }
  closedir(dir);
  return count;
}

static void put(world *w, const char *dir, const char *name, const char *text) {
  assert_int_equal(w->ops->file_write(w->env, dir, name, text, strlen(text)), WARP_OK);
}

static void expect(world *w, const char *dir, const char *name, const char *text) {
  char got[64];
  size_t len;
  assert_int_equal(w->ops->file_read(w->env, dir, name, got, sizeof got, &len), WARP_OK);
  assert_int_equal(len, strlen(text));
  assert_memory_equal(got, text, len);
}

static void test_written_files_are_private(void **state) {
  world *w = *state;
  char dir[256];
  snprintf(dir, sizeof dir, "%s/a/b", base);
  mode_t before = umask(0); /* the modes must not rest on it */
  put(w, dir, "key", "secret");
  umask(before);
  expect(w, dir, "key", "secret");
  assert_int_equal(mode_of("a/b/key"), 0600);
  assert_int_equal(mode_of("a/b"), 0700);
  assert_int_equal(mode_of("a"), 0700);
}

static void test_replacing_is_atomic_and_leaves_nothing(void **state) {
  world *w = *state;
  put(w, base, "key", "old");
  struct stat first, second;
  assert_int_equal(stat(path_of("key"), &first), 0);
  int reader = open(path_of("key"), O_RDONLY);
  put(w, base, "key", "newer");
  expect(w, base, "key", "newer");
  assert_int_equal(stat(path_of("key"), &second), 0);
  assert_int_not_equal(first.st_ino, second.st_ino); /* another file, not the old one rewritten */
  char got[8];
  assert_int_equal(read(reader, got, sizeof got), 3); /* who has the old one open, keeps it */
  assert_memory_equal(got, "old", 3);
  close(reader);
  assert_int_equal(entries_of(base), 1);
}

/* What is there stays, be it a file, a folder or a link that leads nowhere. */
static void test_created_once(void **state) {
  world *w = *state;
  assert_int_equal(w->ops->file_create(w->env, path_of("new"), "key", "first", 5), WARP_OK);
  expect(w, path_of("new"), "key", "first");
  assert_int_equal(mode_of("new/key"), 0600);
  assert_int_equal(mkdir(path_of("new/folder"), 0700), 0);
  assert_int_equal(symlink("nowhere", path_of("new/link")), 0);
  static const char *const taken[] = {"key", "folder", "link"};
  for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
    assert_int_equal(w->ops->file_create(w->env, path_of("new"), taken[i], "second", 6),
                     WARP_STATE);
  }
  expect(w, path_of("new"), "key", "first");
  assert_int_equal(entries_of(path_of("new")), 3);
}

/* The target cannot be replaced: the old state stays, nothing is left beside it. */
static void test_failing_leaves_the_old_state(void **state) {
  world *w = *state;
  assert_int_equal(mkdir(path_of("key"), 0700), 0);
  assert_int_equal(mkdir(path_of("key/inside"), 0700), 0);
  assert_int_not_equal(w->ops->file_write(w->env, base, "key", "x", 1), WARP_OK);
  assert_int_equal(entries_of(base), 1);
  assert_int_equal(entries_of(path_of("key")), 1);
}

static void test_reading(void **state) {
  world *w = *state;
  char got[8];
  size_t len;
  assert_int_equal(w->ops->file_read(w->env, base, "none", got, sizeof got, &len), WARP_NOT_FOUND);
  assert_int_equal(w->ops->file_read(w->env, path_of("no/folder"), "x", got, sizeof got, &len),
                   WARP_NOT_FOUND);
  put(w, base, "full", "12345678");
  expect(w, base, "full", "12345678");
  assert_int_equal(w->ops->file_read(w->env, base, "full", got, 8, &len), WARP_OK);
  assert_int_equal(w->ops->file_read(w->env, base, "full", got, 7, &len), WARP_TOO_BIG);
  put(w, base, "empty", "");
  expect(w, base, "empty", "");
  assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
  assert_int_equal(w->ops->file_read(w->env, base, "fifo", got, 8, &len), WARP_IO);
  assert_int_equal(mkdir(path_of("folder"), 0700), 0);
  assert_int_equal(w->ops->file_read(w->env, base, "folder", got, 8, &len), WARP_IO);
}

static void test_names_stay_in_the_folder(void **state) {
  world *w = *state;
  const char *bad[] = {"", ".", "..", "../x", "a/b", "/etc/passwd"};
  char got[8];
  size_t len;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    assert_int_equal(w->ops->file_read(w->env, base, bad[i], got, 8, &len), WARP_INVALID);
    assert_int_equal(w->ops->file_write(w->env, base, bad[i], "x", 1), WARP_INVALID);
    assert_int_equal(w->ops->file_create(w->env, base, bad[i], "x", 1), WARP_INVALID);
  }
  assert_int_equal(w->ops->file_write(w->env, "", "x", "x", 1), WARP_INVALID);
  assert_int_equal(entries_of(base), 0);
}

static void test_what_others_may_read_is_refused(void **state) {
  world *w = *state;
  char got[64];
  size_t len;
  put(w, base, "key", "secret");
  static const mode_t modes[] = {0640, 0604, 0620, 0602, 0601};
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
    assert_int_equal(chmod(path_of("key"), modes[i]), 0);
    assert_int_equal(w->ops->file_read(w->env, base, "key", got, sizeof got, &len),
                     WARP_PERMISSION);
  }
  assert_int_equal(chmod(path_of("key"), 0400), 0);
  expect(w, base, "key", "secret");
}

static void test_no_permission(void **state) {
  world *w = *state;
  enum { NOBODY = 65534 };
  bool root = geteuid() == 0; /* who may do everything: goes on as somebody who may not */
  if (root) {
    if (chown(base, NOBODY, NOBODY) != 0 && errno == EINVAL) {
      skip(); /* a user namespace that knows nobody but root */
    }
    assert_int_equal(seteuid(NOBODY), 0);
  }
  char got[8];
  size_t len;
  put(w, base, "key", "x");
  assert_int_equal(chmod(path_of("key"), 0), 0);
  assert_int_equal(w->ops->file_read(w->env, base, "key", got, 8, &len), WARP_PERMISSION);
  assert_int_equal(chmod(base, 0500), 0);
  assert_int_equal(w->ops->file_write(w->env, base, "key", "y", 1), WARP_PERMISSION);
  assert_int_equal(chmod(base, 0700), 0);
  if (root) {
    assert_int_equal(seteuid(0), 0);
  }
}

static void test_the_default_folder(void **state) {
  world *w = *state;
  char dir[256];
  assert_int_equal(setenv("HOME", base, 1), 0);
  assert_int_equal(setenv("XDG_DATA_HOME", "relative", 1), 0); /* to be ignored */
  put(w, NULL, "key", "home");
  snprintf(dir, sizeof dir, "%s/.local/share/warpgate", base);
  expect(w, dir, "key", "home");
  assert_int_equal(setenv("XDG_DATA_HOME", path_of("data"), 1), 0);
  put(w, NULL, "key", "xdg");
  snprintf(dir, sizeof dir, "%s/data/warpgate", base);
  expect(w, dir, "key", "xdg");
  expect(w, NULL, "key", "xdg");
  assert_int_equal(mode_of("data/warpgate"), 0700);
}

/* What the configuration names may be anybody's to read, and is found by its path. */
static void test_load(void **state) {
  world *w = *state;
  char got[64];
  size_t len;
  put(w, base, "public", "for all");
  assert_int_equal(chmod(path_of("public"), 0644), 0);
  assert_int_equal(w->ops->file_load(w->env, path_of("public"), got, sizeof got, &len), WARP_OK);
  assert_int_equal(len, 7);
  assert_memory_equal(got, "for all", 7);
  assert_int_equal(w->ops->file_load(w->env, path_of("public"), got, 6, &len), WARP_TOO_BIG);
  assert_int_equal(w->ops->file_load(w->env, path_of("nothing"), got, sizeof got, &len),
                   WARP_NOT_FOUND);
  assert_int_equal(w->ops->file_load(w->env, base, got, sizeof got, &len), WARP_IO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, files_up, files_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_written_files_are_private),
      TEST(test_replacing_is_atomic_and_leaves_nothing),
      TEST(test_created_once),
      TEST(test_failing_leaves_the_old_state),
      TEST(test_reading),
      TEST(test_names_stay_in_the_folder),
      TEST(test_what_others_may_read_is_refused),
      TEST(test_no_permission),
      TEST(test_the_default_folder),
      TEST(test_load),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
