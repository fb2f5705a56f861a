/* Key files as a damaged disk or another program left them. A file that is there is never written
 * over, whatever is in it. */
#include "fuzz_target.h"
#include "identity/identity.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t *file;
static size_t file_len;

static int file_read(wg_env *env, const char *dir, const char *name, void *out, size_t cap,
                     size_t *len) {
  (void)env;
  (void)dir;
  (void)name;
  if (file_len > cap) {
    return WARP_TOO_BIG;
  }
  memcpy(out, file, file_len);
  *len = file_len;
  return WARP_OK;
}

static int file_create(wg_env *env, const char *dir, const char *name, const void *data,
                       size_t len) {
  (void)env;
  (void)dir;
  (void)name;
  (void)data;
  (void)len;
  abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const wg_env_ops ops = {.file_read = file_read, .file_create = file_create};
  wg_env env = {.ops = &ops};
  file = data;
  file_len = size;
  wg_identity *identity = NULL;
  int status = wg_identity_load(&env, NULL, "default", &identity);
  if ((status == WARP_OK) != (identity != NULL)) {
    abort();
  }
  wg_identity_free(identity);
  return 0;
}
