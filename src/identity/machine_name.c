/*
 * A name for a machine that was given none. It follows from a hardware address that stays: one that
 * is burnt in, of an interface that may be down at the moment. When an interface is added with a
 * lower one, the name stays that under which the machine has a key already.
 */
#include "base/bytes.h"
#include "identity/internal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Hosts have a handful of network cards; of a switch with hundreds the lowest ones will do. */
enum { MACS_MAX = 256, CARDS_MAX = 8 };
/* Names are public. There are so few hardware addresses (16 million of each maker's block) that a
 * plain hash could be reversed by trying them all; this makes each try cost some milliseconds. */
enum { ROUNDS = 20000 };
static const char name_salt[] = "warpgate machine name v1";

static void write_name(const uint8_t hash[WG_MACHINE_ID_LEN], char out[WG_MACHINE_NAME_LEN]) {
  char hex[2 * WG_MACHINE_ID_LEN + 1];
  wg_hex_encode(hash, WG_MACHINE_ID_LEN, hex);
  snprintf(out, WG_MACHINE_NAME_LEN, "m-%s", hex);
}

static int name_of(const wg_mac *mac, char out[WG_MACHINE_NAME_LEN]) {
  uint8_t hash[WG_MACHINE_ID_LEN];
  if (PKCS5_PBKDF2_HMAC((const char *)mac->bytes, sizeof mac->bytes, (const uint8_t *)name_salt,
                        sizeof name_salt, ROUNDS, EVP_sha256(), sizeof hash, hash) != 1) {
    return WARP_NOMEM;
  }
  write_name(hash, out);
  return WARP_OK;
}

static int by_order(const void *a, const void *b) {
  return wg_mac_compare(a, b);
}

/* Of those that are burnt in: the first one that has a key, else the first. */
static int name_of_cards(wg_env *env, const char *dir, const wg_mac *macs, size_t count,
                         char out[WG_MACHINE_NAME_LEN]) {
  char name[WG_MACHINE_NAME_LEN];
  for (size_t i = 0; i < count && i < CARDS_MAX; i++) {
    int status = name_of(&macs[i], name);
    if (status != WARP_OK) {
      return status;
    }
    bool used = wg_identity_exists(env, dir, name);
    if (used || i == 0) {
      memcpy(out, name, sizeof name);
    }
    if (used) {
      break;
    }
  }
  return WARP_OK;
}

static int default_mac(wg_env *env, wg_mac *out) {
  wg_interface all[WG_INTERFACES_MAX];
  int count = env->ops->interfaces(env, all, WG_INTERFACES_MAX);
  for (int i = 0; i < count; i++) {
    memcpy(out->bytes, all[i].mac, sizeof out->bytes);
    if (all[i].is_default && !wg_mac_is_none(out)) {
      return WARP_OK;
    }
  }
  return WARP_NOT_FOUND;
}

/* A tag of no key tells nothing of the machine's identifiers. */
static int name_of_hardware(wg_env *env, const char *override, char out[WG_MACHINE_NAME_LEN]) {
  static const warp_key no_key;
  uint8_t machine[WG_MACHINE_ID_LEN], tag[WG_MACHINE_ID_LEN];
  int status = wg_machine_id(env, override, machine);
  if (status == WARP_OK) {
    wg_machine_tag(machine, &no_key, tag);
    write_name(tag, out);
  }
  return status;
}

int wg_machine_name(wg_env *env, const char *override, const char *dir,
                    char out[WG_MACHINE_NAME_LEN]) {
  if (override != NULL) {
    return name_of_hardware(env, override, out);
  }
  wg_mac macs[MACS_MAX], mac;
  int count = env->ops->macs(env, macs, MACS_MAX);
  size_t cards = 0;
  if (count > 0) {
    qsort(macs, (size_t)count, sizeof macs[0], by_order);
  }
  while ((int)cards < count && !wg_mac_is_made_up(&macs[cards])) {
    cards++;
  }
  if (cards > 0) {
    return name_of_cards(env, dir, macs, cards, out);
  }
  return default_mac(env, &mac) == WARP_OK ? name_of(&mac, out) : name_of_hardware(env, NULL, out);
}
