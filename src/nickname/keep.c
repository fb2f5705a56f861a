/* Names that stay registered while the client lives. */
#include "nickname/internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct kept {
  wg_list link;
  wg_names *names;
  char name[WARP_NAME_MAX + 1];
  uint8_t record[WARP_RECORD_MAX];
  size_t record_len;
  uint32_t retry_ms;
  wg_timer renew;
} kept;

static kept *find(wg_names *names, const char *name) {
  for (wg_list *link = names->kept.next; link != &names->kept; link = link->next) {
    kept *entry = WG_CONTAINER(link, kept, link);
    if (strcmp(entry->name, name) == 0) {
      return entry;
    }
  }
  return NULL;
}

static void drop(kept *entry) {
  wg_timer_stop(entry->names->env, &entry->renew);
  wg_list_remove(&entry->link);
  free(entry);
}

static void take_record(kept *entry, const uint8_t *record, size_t len) {
  memcpy(entry->record, record, len);
  entry->record_len = len;
  entry->retry_ms = WG_NAME_RETRY_MS;
}

int wg_keep_set(wg_names *names, const char *name, const uint8_t *record, size_t len) {
  kept *entry = find(names, name);
  if (entry == NULL) {
    entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
      return WARP_NOMEM;
    }
    entry->names = names;
    memcpy(entry->name, name, strlen(name) + 1);
    wg_list_push(&names->kept, &entry->link);
  }
  take_record(entry, record, len);
  return WARP_OK;
}

void wg_keep_drop(wg_names *names, const char *name) {
  kept *entry = find(names, name);
  if (entry != NULL) {
    drop(entry);
  }
}

void wg_keep_drop_all(wg_names *names) {
  while (!wg_list_empty(&names->kept)) {
    drop(WG_CONTAINER(names->kept.next, kept, link));
  }
}

bool wg_keep_sequence(wg_names *names, const char *name, uint64_t *out) {
  const kept *entry = find(names, name);
  wg_record record;
  size_t signed_len;
  uint8_t signature[WG_SIGNATURE_LEN];
  if (entry == NULL || wg_record_decode(entry->record, entry->record_len, &record, &signed_len,
                                        signature) != WARP_OK) {
    return false;
  }
  *out = record.sequence;
  return true;
}

static void plan(kept *entry, uint32_t delay_ms);

static void on_renew(void *arg) {
  kept *entry = arg;
  if (wg_job_start(entry->names, WG_NAME_REGISTER, entry->name, entry->record, entry->record_len, 0,
                   NULL, NULL) != WARP_OK) {
    plan(entry, entry->retry_ms); /* too much is under way */
  }
}

static void plan(kept *entry, uint32_t delay_ms) {
  wg_timer_start(entry->names->env, &entry->renew, delay_ms * UINT64_C(1000), on_renew, entry);
}

void wg_keep_update(wg_names *names, const uint8_t *record, size_t len) {
  for (wg_list *link = names->kept.next; link != &names->kept; link = link->next) {
    kept *entry = WG_CONTAINER(link, kept, link);
    take_record(entry, record, len);
    on_renew(entry);
  }
}

/* Asking again is no use when a server said that it will not have the record. */
static bool refused(int status) {
  return status == WARP_NAME_TAKEN || status == WARP_QUOTA || status == WARP_REPLAY ||
         status == WARP_EXPIRED || status == WARP_BAD_SIGNATURE;
}

void wg_keep_result(wg_names *names, const char *name, int status, uint32_t lifetime_s,
                    bool silent) {
  enum { HALF_MAX_MS = WG_NAME_LIFETIME_S * 500 };
  kept *entry = find(names, name);
  if (entry == NULL) {
    return; /* deleted meanwhile */
  }
  if (refused(status)) {
    drop(entry);
    return;
  }
  uint32_t delay_ms = HALF_MAX_MS;
  if (status == WARP_OK && lifetime_s < WG_NAME_LIFETIME_S) {
    delay_ms = lifetime_s * 500;
  }
  if (!silent) {
    entry->retry_ms = WG_NAME_RETRY_MS;
  } else if (entry->retry_ms < delay_ms) {
    delay_ms = entry->retry_ms;
    entry->retry_ms *= 2;
  }
  /* Whatever a server grants, it is not asked more often than this. */
  plan(entry, delay_ms > WG_NAME_RETRY_MS ? delay_ms : WG_NAME_RETRY_MS);
}
