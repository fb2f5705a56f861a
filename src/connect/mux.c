#include "connect/mux.h"

#include <string.h>

/* The tag is the output of a key derivation, so any of its bytes spreads evenly. */
static wg_list *bucket_of(wg_mux *mux, const uint8_t *tag) {
  return &mux->buckets[tag[0] % WG_MUX_BUCKETS];
}

static wg_mux_tag *find(wg_mux *mux, const uint8_t *tag) {
  wg_list *bucket = bucket_of(mux, tag);
  for (wg_list *item = bucket->next; item != bucket; item = item->next) {
    wg_mux_tag *entry = WG_CONTAINER(item, wg_mux_tag, link);
    if (wg_bytes_equal_ct(entry->tag, tag, WG_TAG_LEN))
      return entry;
  }
  return NULL;
}

/* RFC 7983: STUN has 0-3 in the first byte; our packets begin with WG_MAGIC_0. */
static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  wg_mux *mux = arg;
  if (len > 0 && data[0] < 4 && mux->on_stun != NULL) {
    mux->on_stun(mux->stun_arg, data, len, from);
    return;
  }
  wg_carried packet;
  wg_mux_tag *entry = NULL;
  if (wg_carry_open(data, len, &packet) == WARP_OK)
    entry = find(mux, packet.tag);
  if (entry == NULL) {
    mux->dropped++;
    return;
  }
  entry->cb(entry->arg, &packet, from);
}

int wg_mux_open(wg_mux *mux, wg_env *env, const warp_addr *local, unsigned flags) {
  memset(mux, 0, sizeof *mux);
  mux->env = env;
  for (size_t i = 0; i < WG_MUX_BUCKETS; i++)
    wg_list_init(&mux->buckets[i]);
  int status = env->ops->udp_open(env, local, flags, on_datagram, mux, &mux->udp);
  if (status == WARP_OK)
    env->ops->udp_local(mux->udp, &mux->local);
  return status;
}

void wg_mux_close(wg_mux *mux) {
  if (mux->udp == NULL)
    return;
  mux->env->ops->udp_close(mux->udp);
  mux->udp = NULL;
}

int wg_mux_bind(wg_mux *mux, wg_mux_tag *entry, const uint8_t tag[WG_TAG_LEN], wg_mux_on_packet cb,
                void *arg) {
  if (mux->tag_count >= WG_MUX_TAGS)
    return WARP_LIMIT;
  memcpy(entry->tag, tag, WG_TAG_LEN);
  entry->cb = cb;
  entry->arg = arg;
  wg_list_push(bucket_of(mux, tag), &entry->link);
  mux->tag_count++;
  return WARP_OK;
}

void wg_mux_unbind(wg_mux *mux, wg_mux_tag *entry) {
  wg_list_remove(&entry->link);
  mux->tag_count--;
}
