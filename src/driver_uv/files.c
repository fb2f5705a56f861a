#include "driver_uv/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_LEN = 4096 }; /* Linux's PATH_MAX */

/* ---- where ----------------------------------------------------------------------------------- */

/* XDG base directory specification: a relative XDG_DATA_HOME is to be ignored. */
static int default_dir(char out[PATH_LEN]) {
  const char *data_home = getenv("XDG_DATA_HOME");
  int len;
  if (data_home != NULL && data_home[0] == '/') {
    len = snprintf(out, PATH_LEN, "%s/warpgate", data_home);
  } else {
    char home[PATH_LEN];
    size_t home_len = sizeof home;
    if (uv_os_homedir(home, &home_len) != 0) {
      return WARP_NOT_FOUND;
    }
    len = snprintf(out, PATH_LEN, "%s/.local/share/warpgate", home);
  }
  return len < PATH_LEN ? WARP_OK : WARP_INVALID;
}

static int folder(const char *dir, const char *name, char out[PATH_LEN]) {
  if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
      strchr(name, '/') != NULL) {
    return WARP_INVALID;
  }
  if (dir == NULL) {
    return default_dir(out);
  }
  if (dir[0] == '\0' || strlen(dir) >= PATH_LEN) {
    return WARP_INVALID;
  }
  memcpy(out, dir, strlen(dir) + 1);
  return WARP_OK;
}

/* Opens the folder so that everything after happens in the very same one. */
static int open_folder(const char *path, int *out) {
  *out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return *out >= 0 ? WARP_OK : wg_uv_status(errno);
}

/* Makes the folder and what is missing above it. */
static int make_folder(char *path) {
  for (char *c = path + 1; *c != '\0'; c++) {
    if (*c == '/') {
      *c = '\0';
      int error = mkdir(path, 0700) == 0 ? 0 : errno;
      *c = '/';
      if (error == ENOSPC || error == EROFS || error == EDQUOT) {
        return wg_uv_status(error);
      }
    }
  }
  /* Whatever else went wrong above, this one or the opening after it tells. */
  return mkdir(path, 0700) == 0 || errno == EEXIST ? WARP_OK : wg_uv_status(errno);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Reads until the end, or until there is more than fits. */
static int read_all(int fd, uint8_t *out, size_t cap, size_t *len) {
  *len = 0;
  for (;;) {
    uint8_t more;
    bool full = *len == cap;
    ssize_t got = read(fd, full ? &more : out + *len, full ? 1 : cap - *len);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return wg_uv_status(errno);
    }
    if (got == 0) {
      return WARP_OK;
    }
    if (full) {
      return WARP_TOO_BIG;
    }
    *len += (size_t)got;
  }
}

/* `forbidden`: what nobody may be allowed to do with it. A secret that others may read is none, nor
 * one that they may have written. */
static int read_file(int fd, mode_t forbidden, void *out, size_t cap, size_t *len) {
  struct stat info;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    return WARP_IO;
  }
  return info.st_mode & forbidden ? WARP_PERMISSION : read_all(fd, out, cap, len);
}

int wg_uv_file_read(wg_env *env, const char *dir, const char *name, void *out, size_t cap,
                    size_t *len) {
  (void)env;
  char path[PATH_LEN];
  int folder_fd;
  int status = folder(dir, name, path);
  if (status == WARP_OK) {
    status = open_folder(path, &folder_fd);
  }
  if (status != WARP_OK) {
    return status;
  }
  /* O_NONBLOCK: somebody's FIFO must not stop the loop. It means nothing to a file. */
  int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  status = fd >= 0 ? WARP_OK : wg_uv_status(errno);
  close(folder_fd);
  if (status != WARP_OK) {
    return status;
  }
  status = read_file(fd, S_IRWXG | S_IRWXO, out, cap, len);
  close(fd);
  return status;
}

int wg_uv_file_load(wg_env *env, const char *path, void *out, size_t cap, size_t *len) {
  (void)env;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    return wg_uv_status(errno);
  }
  int status = read_file(fd, 0, out, cap, len);
  close(fd);
  return status;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Writes all and brings it to the disk. */
static int write_all(int fd, const uint8_t *data, size_t len) {
  while (len > 0) {
    ssize_t written = write(fd, data, len);
    if (written < 0 && errno != EINTR) {
      return wg_uv_status(errno);
    }
    if (written > 0) {
      data += written;
      len -= (size_t)written;
    }
  }
  return fsync(fd) == 0 ? WARP_OK : wg_uv_status(errno);
}

/* A name beside that nobody else uses. */
static int beside_name(wg_env *env, const char *name, char out[NAME_MAX + 1]) {
  uint64_t random;
  int status = env->ops->random(env, &random, sizeof random);
  if (status != WARP_OK) {
    return status;
  }
  int len = snprintf(out, NAME_MAX + 1, ".%s.%016llx", name, (unsigned long long)random);
  return len <= NAME_MAX ? WARP_OK : WARP_INVALID;
}

/* Gives a file the name that no other has yet. FAT and the like have no second names for a file:
 * there whoever comes last has it. */
static int take_name(int folder_fd, const char *from, const char *to) {
  int status = WARP_OK;
  if (linkat(folder_fd, from, folder_fd, to, 0) == 0) {
    unlinkat(folder_fd, from, 0);
  } else if (errno == EEXIST) {
    status = WARP_STATE;
  } else if ((errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS) ||
             renameat(folder_fd, from, folder_fd, to) != 0) {
    status = wg_uv_status(errno);
  }
  return status;
}

static int replace_name(int folder_fd, const char *from, const char *to) {
  return renameat(folder_fd, from, folder_fd, to) == 0 ? WARP_OK : wg_uv_status(errno);
}

/* `named` gives the complete file its name. */
static int write_beside(wg_env *env, int folder_fd, const char *name, const void *data, size_t len,
                        int (*named)(int folder_fd, const char *from, const char *to)) {
  char beside[NAME_MAX + 1];
  int status = beside_name(env, name, beside);
  if (status != WARP_OK) {
    return status;
  }
  int fd = openat(folder_fd, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    return wg_uv_status(errno);
  }
  status = write_all(fd, data, len);
  if (close(fd) != 0 && status == WARP_OK) {
    status = wg_uv_status(errno);
  }
  if (status == WARP_OK) {
    status = named(folder_fd, beside, name);
  }
  if (status != WARP_OK) {
    unlinkat(folder_fd, beside, 0);
    return status;
  }
  /* The new name is safe only when the folder is on the disk, too. */
  return fsync(folder_fd) == 0 ? WARP_OK : wg_uv_status(errno);
}

static int write_file(wg_env *env, const char *dir, const char *name, const void *data, size_t len,
                      int (*named)(int folder_fd, const char *from, const char *to)) {
  char path[PATH_LEN];
  int folder_fd;
  int status = folder(dir, name, path);
  if (status == WARP_OK) {
    status = make_folder(path);
  }
  if (status == WARP_OK) {
    status = open_folder(path, &folder_fd);
  }
  if (status != WARP_OK) {
    return status;
  }
  status = write_beside(env, folder_fd, name, data, len, named);
  close(folder_fd);
  return status;
}

int wg_uv_file_write(wg_env *env, const char *dir, const char *name, const void *data, size_t len) {
  return write_file(env, dir, name, data, len, replace_name);
}

int wg_uv_file_create(wg_env *env, const char *dir, const char *name, const void *data,
                      size_t len) {
  return write_file(env, dir, name, data, len, take_name);
}
