/* The data folders of a host, in memory, and its folder of shared objects. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static char *join(const char *dir, const char *name) {
  if (name[0] == 0 || strchr(name, '/') != NULL) {
    sim_fail("a file called \"%s\"", name);
  }
  const char *folder = dir != NULL ? dir : "";
  size_t size = strlen(folder) + strlen(name) + 2;
  char *path = sim_alloc(size);
  snprintf(path, size, "%s/%s", folder, name);
  return path;
}

static sim_file *find(sim_host *host, const char *path) {
  for (wg_list *item = host->files.next; item != &host->files; item = item->next) {
    sim_file *file = WG_CONTAINER(item, sim_file, item);
    if (strcmp(file->path, path) == 0) {
      return file;
    }
  }
  return NULL;
}

int sim_file_read(wg_env *env, const char *dir, const char *name, void *out, size_t cap,
                  size_t *len) {
  char *path = join(dir, name);
  int status = sim_file_load(env, path, out, cap, len);
  free(path);
  return status;
}

int sim_file_load(wg_env *env, const char *path, void *out, size_t cap, size_t *len) {
  sim_host *host = SIM_HOST(env);
  if (host->file_status != WARP_OK) {
    return host->file_status;
  }
  const sim_file *file = find(host, path);
  if (file == NULL) {
    return WARP_NOT_FOUND;
  }
  if (file->len > cap) {
    return WARP_TOO_BIG;
  }
  if (file->len > 0) {
    memcpy(out, file->data, file->len);
  }
  *len = file->len;
  return WARP_OK;
}

int sim_file_write(wg_env *env, const char *dir, const char *name, const void *data, size_t len) {
  sim_host *host = SIM_HOST(env);
  if (host->file_status != WARP_OK) {
    return host->file_status;
  }
  char *path = join(dir, name);
  sim_file *file = find(host, path);
  if (file == NULL) {
    file = sim_alloc(sizeof *file);
    file->path = path;
    wg_list_push(&host->files, &file->item);
  } else {
    free(path);
  }
  free(file->data);
  file->data = sim_alloc(len + 1);
  file->len = len;
  if (len > 0) {
    memcpy(file->data, data, len);
  }
  return WARP_OK;
}

int sim_file_create(wg_env *env, const char *dir, const char *name, const void *data, size_t len) {
  sim_host *host = SIM_HOST(env);
  char *path = join(dir, name);
  bool exists = host->file_status == WARP_OK && find(host, path) != NULL;
  free(path);
  return exists ? WARP_STATE : sim_file_write(env, dir, name, data, len);
}

void sim_host_set_modules(sim_host *host, const sim_module *modules, size_t count) {
  host->modules = modules;
  host->module_count = count;
}

int sim_modules_load(wg_env *env, const char *dir, const char *symbol, wg_module_cb cb, void *arg) {
  (void)dir;
  (void)symbol;
  const sim_host *host = SIM_HOST(env);
  if (host->modules == NULL) {
    return WARP_NOT_FOUND;
  }
  for (size_t i = 0; i < host->module_count; i++) {
    const sim_module *module = &host->modules[i];
    cb(arg, module->file, module->entry, module->error);
  }
  return WARP_OK;
}

void sim_files_free(sim_host *host) {
  while (!wg_list_empty(&host->files)) {
    sim_file *file = WG_CONTAINER(host->files.next, sim_file, item);
    wg_list_remove(&file->item);
    free(file->path);
    free(file->data);
    free(file);
  }
}
