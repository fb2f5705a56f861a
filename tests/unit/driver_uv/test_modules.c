/* Loading the shared objects of a folder, and which ones are not trusted. */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOUND_MAX = 8, PATH_LEN = 600 };

typedef struct folder {
  world *w;
  char path[64];
  size_t count; /* what was told */
  char files[FOUND_MAX][64];
  void *entries[FOUND_MAX];
  char errors[FOUND_MAX][300];
} folder;

static void on_module(void *arg, const char *file, void *entry, const char *error) {
  folder *self = arg;
  assert_true(self->count < FOUND_MAX);
  assert_true((entry == NULL) == (error != NULL));
  snprintf(self->files[self->count], sizeof self->files[0], "%s", file);
  snprintf(self->errors[self->count], sizeof self->errors[0], "%s", error != NULL ? error : "");
  self->entries[self->count++] = entry;
}

static int load(folder *self) {
  self->count = 0;
  return self->w->ops->modules_load(self->w->env, self->path, "warp_test_entry", on_module, self);
}

/* Copies a module of the build under a name, with these bits. */
static void put(folder *self, const char *module, const char *name, mode_t mode) {
  char from[PATH_LEN], to[PATH_LEN];
  uint8_t bytes[65536];
  snprintf(from, sizeof from, "%s/%s", WARPGATE_MODULES_DIR, module);
  snprintf(to, sizeof to, "%s/%s", self->path, name);
  int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
  assert_true(in >= 0 && out >= 0);
  for (ssize_t got; (got = read(in, bytes, sizeof bytes)) > 0;)
    assert_int_equal(write(out, bytes, (size_t)got), got);
  assert_int_equal(fchmod(out, mode), 0);
  close(in);
  close(out);
}

static int set_up(void **state) {
  folder *self = calloc(1, sizeof *self);
  snprintf(self->path, sizeof self->path, "/tmp/warpgate-modules-XXXXXX");
  assert_non_null(mkdtemp(self->path));
  world_up(state);
  self->w = *state;
  *state = self;
  return 0;
}

static int tear_down(void **state) {
  folder *self = *state;
  char command[PATH_LEN];
  snprintf(command, sizeof command, "rm -r %s", self->path);
  assert_int_equal(system(command), 0);
  *state = self->w;
  free(self);
  return world_down(state);
}

static void test_in_the_order_of_names(void **state) {
  folder *self = *state;
  put(self, "good.so", "b.so", 0644);
  put(self, "foreign.so", "a.so", 0644);
  put(self, "wanting.so", "C.so", 0755);
  put(self, "good.so", "good.so.1", 0644); /* no name of a module */
  put(self, "good.so", ".so", 0644);
  assert_int_equal(load(self), WARP_OK);
  assert_int_equal(self->count, 3);
  assert_string_equal(self->files[0], "C.so");
  assert_non_null(strstr(self->errors[0], "warp_of_a_later_version"));
  assert_string_equal(self->files[1], "a.so");
  assert_non_null(strstr(self->errors[1], "warp_test_entry"));
  assert_string_equal(self->files[2], "b.so");
  int (*entry)(void);
  memcpy(&entry, &self->entries[2], sizeof entry);
  assert_int_equal(entry(), 7);
}

static void test_what_others_may_write_to(void **state) {
  folder *self = *state;
  char target[PATH_LEN], link[PATH_LEN];
  put(self, "good.so", "a.so", 0664);
  put(self, "good.so", "b.so", 0646);
  put(self, "good.so", "target", 0644);
  snprintf(target, sizeof target, "%s/target", self->path);
  snprintf(link, sizeof link, "%s/c.so", self->path);
  assert_int_equal(symlink(target, link), 0);
  assert_int_equal(load(self), WARP_OK);
  assert_int_equal(self->count, 3);
  assert_string_equal(self->errors[0], "others may write to it");
  assert_string_equal(self->errors[1], "others may write to it");
  assert_string_equal(self->errors[2], "not a plain file");
  assert_int_equal(chmod(self->path, 0777), 0);
  assert_int_equal(load(self), WARP_PERMISSION);
  assert_int_equal(self->count, 0);
  assert_int_equal(chmod(self->path, 0700), 0);
}

/* The path of a folder that was checked may lead elsewhere a moment later. */
static void on_module_of_a_moved_folder(void *arg, const char *file, void *entry,
                                        const char *error) {
  folder *self = arg;
  on_module(arg, file, entry, error);
  if (self->count == 1) {
    char moved[PATH_LEN];
    snprintf(moved, sizeof moved, "%s.moved", self->path);
    assert_int_equal(rename(self->path, moved), 0);
    assert_int_equal(mkdir(self->path, 0700), 0);
    put(self, "foreign.so", "b.so", 0644);
  }
}

static void test_what_was_checked_is_loaded(void **state) {
  folder *self = *state;
  put(self, "good.so", "a.so", 0644);
  put(self, "good.so", "b.so", 0644);
  self->count = 0;
  assert_int_equal(self->w->ops->modules_load(self->w->env, self->path, "warp_test_entry",
                                              on_module_of_a_moved_folder, self),
                   WARP_OK);
  assert_int_equal(self->count, 2);
  assert_non_null(self->entries[0]);
  assert_non_null(self->entries[1]);
  assert_int_equal(load(self), WARP_OK); /* and the new folder when it is asked for */
  assert_int_equal(self->count, 1);
  assert_non_null(strstr(self->errors[0], "warp_test_entry"));
  char command[PATH_LEN];
  snprintf(command, sizeof command, "rm -r %s.moved", self->path);
  assert_int_equal(system(command), 0);
}

static void test_what_is_no_module(void **state) {
  folder *self = *state;
  char path[PATH_LEN];
  snprintf(path, sizeof path, "%s/text.so", self->path);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs("not an object\n", file);
  fclose(file);
  assert_int_equal(chmod(path, 0600), 0);
  assert_int_equal(load(self), WARP_OK);
  assert_int_equal(self->count, 1);
  assert_null(self->entries[0]);
  assert_true(self->errors[0][0] != '\0');
}

static void test_no_folder(void **state) {
  folder *self = *state;
  put(self, "good.so", "file", 0600);
  char *end = self->path + strlen(self->path);
  memcpy(end, "/none", 6);
  assert_int_equal(load(self), WARP_NOT_FOUND);
  memcpy(end, "/file", 6);
  assert_int_equal(load(self), WARP_NOT_FOUND);
  *end = '\0';
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_in_the_order_of_names, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_what_others_may_write_to, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_what_was_checked_is_loaded, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_what_is_no_module, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_no_folder, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
