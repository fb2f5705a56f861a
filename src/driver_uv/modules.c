/* Shared objects of a folder. What lies there becomes part of the program, so it must be of those
 * only who may change the program anyway: its user and the system's. */
#include "driver_uv/internal.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  PATH_LEN = 32 + 256, /* /proc/self/fd/NUMBER/FILE, by Linux's NAME_MAX */
  WHY_LEN = 512,       /* what dlerror says names the path */
  NAMES_MAX = 256,     /* folders with a file of the same name whose modules stay loaded */
};

typedef struct modules {
  const char *symbol;
  int fd; /* of the folder */
  wg_module_cb cb;
  void *arg;
} modules;

static bool is_ours_alone(const struct stat *info) {
  return (info->st_uid == geteuid() || info->st_uid == 0) &&
         (info->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* NULL, or why the file is not loaded. A link might lead out of the folder. */
static const char *object_to(const modules *self, const char *file) {
  struct stat info;
  if (fstatat(self->fd, file, &info, AT_SYMLINK_NOFOLLOW) != 0)
    return strerror(errno);
  if (!S_ISREG(info.st_mode))
    return "not a plain file";
  return is_ours_alone(&info) ? NULL : "others may write to it";
}

/* Loads from the folder that was checked, whatever its path leads to by now; what is in it only
 * those may change who are trusted. The loader takes two files for one when they are named alike,
 * and a descriptor of an earlier folder had the same number perhaps: then another one is taken. */
static void *open_object(int folder, const char *file) {
  char path[PATH_LEN];
  int fd = folder;
  for (unsigned tries = 0; fd >= 0; tries++) {
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", fd, file);
    void *other = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    if (other == NULL || tries == NAMES_MAX)
      break;
    dlclose(other);
    int next = fcntl(folder, F_DUPFD_CLOEXEC, fd + 1);
    if (fd != folder)
      close(fd);
    fd = next;
  }
  /* All that it needs must be there now: a missing function later would end the program. */
  void *handle = fd >= 0 ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
  if (fd >= 0 && fd != folder)
    close(fd);
  return handle;
}

static void load(const modules *self, const char *file) {
  char why[WHY_LEN];
  void *entry = NULL;
  const char *error = object_to(self, file);
  if (error == NULL) {
    dlerror(); /* forgets what was before */
    void *handle = open_object(self->fd, file);
    entry = handle != NULL ? dlsym(handle, self->symbol) : NULL;
    if (entry == NULL) {
      const char *text = dlerror();
      snprintf(why, sizeof why, "%s", text != NULL ? text : "it has no such symbol");
      error = why;
      if (handle != NULL)
        dlclose(handle);
    }
  }
  self->cb(self->arg, file, entry, error);
}

static int is_module(const struct dirent *entry) {
  size_t len = strlen(entry->d_name);
  return len > 3 && entry->d_name[0] != '.' && strcmp(entry->d_name + len - 3, ".so") == 0;
}

/* By bytes, whatever the locale says: which of two plugins gets a name must not depend on it. */
static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_all(const modules *self) {
  struct dirent **entries;
  int count = scandirat(self->fd, ".", &entries, is_module, by_name);
  if (count < 0)
    return wg_uv_status(errno);
  for (int i = 0; i < count; i++) {
    load(self, entries[i]->d_name);
    free(entries[i]);
  }
  free(entries);
  return WARP_OK;
}

int wg_uv_modules_load(wg_env *env, const char *dir, const char *symbol, wg_module_cb cb,
                       void *arg) {
  (void)env;
  modules self = {.symbol = symbol, .cb = cb, .arg = arg};
  self.fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (self.fd < 0)
    return wg_uv_status(errno);
  struct stat info;
  int status = fstat(self.fd, &info) == 0 ? WARP_OK : wg_uv_status(errno);
  if (status == WARP_OK && !is_ours_alone(&info))
    status = WARP_PERMISSION;
  if (status == WARP_OK)
    status = load_all(&self);
  close(self.fd);
  return status;
}
