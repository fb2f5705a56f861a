#include "natsim/files.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int sim_make_folder(const char *path, ns_error *error) {
  char partial[PATH_MAX];
  if (!*path || strlen(path) >= sizeof partial)
    return sim_fail(error, -ENAMETOOLONG, "'%s' is no name for a folder", path);
  snprintf(partial, sizeof partial, "%s", path);
  for (char *slash = partial + 1; slash; slash++) {
    slash = strchr(slash, '/');
    if (slash)
      *slash = 0;
    if (mkdir(partial, 0777) < 0 && errno != EEXIST)
      return sim_fail(error, -errno, "cannot make %s: %s", partial, strerror(errno));
    if (!slash)
      break;
    *slash = '/';
  }
  struct stat info;
  if (stat(path, &info) < 0 || !S_ISDIR(info.st_mode))
    return sim_fail(error, -ENOTDIR, "%s is not a folder", path);
  return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
  (void)info;
  (void)kind;
  (void)where;
  return remove(path);
}

void sim_remove_folder(const char *path) {
  enum { OPEN_FOLDERS = 16 };
  nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
}

const char *sim_file_tail(const char *path, char *buf, size_t size) {
  buf[0] = 0;
  FILE *in = fopen(path, "re");
  if (!in)
    return buf;
  if (fseek(in, -(long)(size - 1), SEEK_END) < 0)
    rewind(in); /* shorter than that */
  buf[fread(buf, 1, size - 1, in)] = 0;
  fclose(in);
  return buf;
}

const char *sim_last_line(const char *text, char *buf, size_t size) {
  size_t end = strlen(text);
  while (end && strchr("\r\n \t", text[end - 1]))
    end--;
  size_t start = end;
  while (start && text[start - 1] != '\n')
    start--;
  snprintf(buf, size, "%.*s", (int)(end - start), text + start);
  return buf;
}

int sim_write_template(const char *path, const char *text, const sim_fill *fills, size_t count,
                       ns_error *error) {
  FILE *out = fopen(path, "we");
  if (!out)
    return sim_fail(error, -errno, "cannot write %s: %s", path, strerror(errno));
  while (*text) {
    size_t i = 0;
    while (i < count && strncmp(text, fills[i].key, strlen(fills[i].key)) != 0)
      i++;
    fputs(i < count ? fills[i].value : (char[]){*text, 0}, out);
    text += i < count ? strlen(fills[i].key) : 1;
  }
  return fclose(out) ? sim_fail(error, -EIO, "cannot write %s", path) : 0;
}

int sim_open_log(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  return fd < 0 ? -errno : fd;
}
