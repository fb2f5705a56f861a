/*
 * Feeds a fuzz target from files, with any compiler and without libFuzzer.
 *
 *   replay FOLDER|FILE...
 *
 * Each file is given as it is, then every prefix of it, then with each of its bytes inverted: what
 * truncation and a flipped byte do to a valid packet is the least a decoder must bear. Inputs lie
 * in blocks of exactly their size, so that AddressSanitizer sees a read one byte beyond. A folder
 * without files is an error: nothing would have been tested.
 */
#include "fuzz_target.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Variants of an input cost its length squared: longer files are only given as they are. */
enum { VARIANTS_UP_TO = 4096, FILE_MAX_BYTES = 1 << 20 };

static unsigned long inputs;
static bool with_variants; /* thirty times slower, under valgrind, files must do */

static int feed(const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size > 0 ? size : 1);
  if (copy == NULL) {
    fprintf(stderr, "replay: out of memory\n");
    return -1;
  }
  if (size > 0) {
    memcpy(copy, data, size);
  }
  /* A zero-length block still has one byte: hand out its end, where nothing may be read. */
  LLVMFuzzerTestOneInput(size > 0 ? copy : copy + 1, size);
  free(copy);
  inputs++;
  return 0;
}

static int feed_variants(uint8_t *data, size_t size) {
  if (feed(data, size) < 0) {
    return -1;
  }
  if (size > VARIANTS_UP_TO || !with_variants) {
    return 0;
  }
  for (size_t len = 0; len < size; len++) {
    if (feed(data, len) < 0) {
      return -1;
    }
  }
  for (size_t i = 0; i < size; i++) {
    data[i] ^= 0xff;
    int rc = feed(data, size);
    data[i] ^= 0xff;
    if (rc < 0) {
      return -1;
    }
  }
  return 0;
}

static int replay_file(const char *path) {
  static uint8_t data[FILE_MAX_BYTES];
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    fprintf(stderr, "replay: cannot read %s: %s\n", path, strerror(errno));
    return -1;
  }
  size_t size = fread(data, 1, sizeof data, file);
  int failed = ferror(file) || fgetc(file) != EOF;
  fclose(file);
  if (failed) {
    fprintf(stderr, "replay: cannot read %s, or it is over 1 MiB\n", path);
    return -1;
  }
  return feed_variants(data, size);
}

static int replay_folder(const char *path) {
  struct dirent **entries;
  int count = scandir(path, &entries, NULL, alphasort);
  if (count < 0) {
    fprintf(stderr, "replay: no corpus at %s: %s\n", path, strerror(errno));
    return -1;
  }
  int files = 0;
  int rc = 0;
  for (int i = 0; i < count; i++) {
    char name[4096];
    if (rc == 0 && entries[i]->d_name[0] != '.') {
      snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
      rc = replay_file(name);
      files++;
    }
    free(entries[i]);
  }
  free(entries);
  if (files == 0) {
    fprintf(stderr, "replay: no files in %s: nothing was tested\n", path);
    return -1;
  }
  return rc;
}

int main(int argc, char **argv) {
  with_variants = getenv("WARPGATE_VALGRIND") == NULL;
  if (argc < 2) {
    fprintf(stderr, "usage: %s FOLDER|FILE...\n", argv[0]);
    return 2;
  }
  for (int i = 1; i < argc; i++) {
    struct stat what;
    int folder = stat(argv[i], &what) != 0 || S_ISDIR(what.st_mode);
    if ((folder ? replay_folder(argv[i]) : replay_file(argv[i])) < 0) {
      return 1;
    }
  }
  printf("replay: %lu inputs\n", inputs);
  return 0;
}
