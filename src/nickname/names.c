/* The client: its servers, and what the caller asks for. */
#include "nickname/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- opening and closing --------------------------------------------------------------------- */

int wg_names_open(const wg_names_options *options, wg_names **out) {
  wg_names *names = calloc(1, sizeof *names);
  if (names == NULL) {
    return WARP_NOMEM;
  }
  names->env = options->env;
  names->clock = options->clock;
  names->identity = options->identity;
  names->timeout_ms = options->timeout_ms;
  wg_list_init(&names->jobs);
  wg_list_init(&names->kept);
  for (size_t i = 0; i < WG_NAME_SERVERS && options->servers != NULL && options->servers[i] != NULL;
       i++) {
    wg_name_server *server = &names->servers[names->server_count++];
    if (wg_server_name_parse(options->servers[i], &server->name) != WARP_OK) {
      free(names);
      return WARP_INVALID;
    }
    if (options->loopback_only && !wg_host_is_loopback(server->name.host)) {
      names->server_count--;
    }
  }
  int status = wg_name_set_init(&names->set, options->servers, options->defaults);
  if (status != WARP_OK) {
    free(names);
    return status;
  }
  *out = names;
  return WARP_OK;
}

const wg_name_set *wg_names_set(const wg_names *names) {
  return &names->set;
}

void wg_names_close(wg_names *names) {
  if (names == NULL || names->closing) {
    return;
  }
  names->closing = true;
  wg_keep_drop_all(names);
  while (!wg_list_empty(&names->jobs)) {
    wg_job_cancel(WG_CONTAINER(names->jobs.next, wg_name_job, link));
  }
  if (names->udp4 != NULL) {
    names->env->ops->udp_close(names->udp4);
  }
  if (names->udp6 != NULL) {
    names->env->ops->udp_close(names->udp6);
  }
  free(names);
}

/* ---- requests -------------------------------------------------------------------------------- */

static bool is_our_record(const wg_names *names, const uint8_t *bytes, size_t len) {
  wg_record record;
  size_t signed_len;
  uint8_t signature[WG_SIGNATURE_LEN];
  return wg_record_decode(bytes, len, &record, &signed_len, signature) == WARP_OK &&
         wg_key_equal(&record.key, wg_identity_key(names->identity));
}

int wg_names_register(wg_names *names, const char *name, const uint8_t *record, size_t len,
                      wg_names_cb cb, void *arg) {
  char plain[WARP_NAME_MAX + 1];
  if (wg_name_normalize(name, &names->set, plain) != WARP_OK ||
      !is_our_record(names, record, len)) {
    return WARP_INVALID;
  }
  uint64_t before;
  bool kept = wg_keep_sequence(names, plain, &before);
  int status = wg_keep_set(names, plain, record, len);
  if (status != WARP_OK) {
    return status;
  }
  status = wg_job_start(names, WG_NAME_REGISTER, plain, record, len, 0, cb, arg);
  if (status != WARP_OK && !kept) {
    wg_keep_drop(names, plain);
  }
  return status;
}

int wg_names_update(wg_names *names, const uint8_t *record, size_t len) {
  if (names->closing) {
    return WARP_STATE;
  }
  if (!is_our_record(names, record, len)) {
    return WARP_INVALID;
  }
  wg_keep_update(names, record, len);
  return WARP_OK;
}

int wg_names_lookup(wg_names *names, const char *name, wg_names_cb cb, void *arg) {
  char plain[WARP_NAME_MAX + 1];
  if (wg_name_normalize(name, &names->set, plain) != WARP_OK) {
    return WARP_INVALID;
  }
  return wg_job_start(names, WG_NAME_LOOKUP, plain, NULL, 0, 0, cb, arg);
}

/* A deletion needs the sequence of what it deletes, so that it cannot be played again later to
 * delete what came after. Where we do not know it, the servers do. */
typedef struct deletion {
  wg_names *names;
  char name[WARP_NAME_MAX + 1];
  wg_names_cb cb;
  void *arg;
} deletion;

static int delete_found(const deletion *wanted, const uint8_t *bytes, size_t len) {
  wg_record record;
  size_t signed_len;
  uint8_t signature[WG_SIGNATURE_LEN];
  int status = wg_record_decode(bytes, len, &record, &signed_len, signature);
  if (status != WARP_OK) {
    return status;
  }
  if (!wg_key_equal(&record.key, wg_identity_key(wanted->names->identity))) {
    return WARP_NAME_TAKEN;
  }
  return wg_job_start(wanted->names, WG_NAME_DELETE, wanted->name, NULL, 0, record.sequence,
                      wanted->cb, wanted->arg);
}

static void on_found(void *arg, int status, const uint8_t *record, size_t len) {
  deletion wanted = *(deletion *)arg;
  free(arg);
  if (status == WARP_OK) {
    status = delete_found(&wanted, record, len);
    if (status == WARP_OK) {
      return;
    }
  }
  if (wanted.cb != NULL) {
    wanted.cb(wanted.arg, status, NULL, 0);
  }
}

int wg_names_delete(wg_names *names, const char *name, wg_names_cb cb, void *arg) {
  char plain[WARP_NAME_MAX + 1];
  uint64_t sequence;
  if (wg_name_normalize(name, &names->set, plain) != WARP_OK) {
    return WARP_INVALID;
  }
  if (wg_keep_sequence(names, plain, &sequence)) {
    int status = wg_job_start(names, WG_NAME_DELETE, plain, NULL, 0, sequence, cb, arg);
    if (status == WARP_OK) {
      wg_keep_drop(names, plain);
    }
    return status;
  }
  deletion *wanted = malloc(sizeof *wanted);
  if (wanted == NULL) {
    return WARP_NOMEM;
  }
  *wanted = (deletion){.names = names, .cb = cb, .arg = arg};
  memcpy(wanted->name, plain, sizeof plain);
  int status = wg_job_start(names, WG_NAME_LOOKUP, plain, NULL, 0, 0, on_found, wanted);
  if (status != WARP_OK) {
    free(wanted);
  }
  return status;
}
