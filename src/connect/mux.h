/*
 * One long-lived UDP socket of a node, shared by everything that wants its NAT mapping: paths to
 * peers, told apart by the tag in each packet, and the STUN transactions that keep the mapping
 * known and alive.
 */
#ifndef WG_CONNECT_MUX_H
#define WG_CONNECT_MUX_H

#include "base/list.h"
#include "env/env.h"
#include "wire/message.h"

enum {
  WG_MUX_BUCKETS = 64,
  WG_MUX_TAGS = 1024,    /* paths at once: four for each of 256 connects */
  WG_MUX_TAGS_OWN = 256, /* of these only for connects of our own, whatever strangers begin */
};

/* A packet with the tag came. */
typedef void (*wg_mux_on_packet)(void *arg, const wg_carried *packet, const warp_addr *from);

/* One tag's place in the table; embedded in its owner. */
typedef struct wg_mux_tag {
  wg_list link;
  uint8_t tag[WG_TAG_LEN];
  wg_mux_on_packet cb;
  void *arg;
} wg_mux_tag;

typedef struct wg_mux {
  wg_env *env;
  wg_udp *udp;
  warp_addr local;
  wg_list buckets[WG_MUX_BUCKETS];
  size_t tag_count;
  wg_udp_recv_cb on_stun; /* packets that look like STUN; may be NULL */
  void *stun_arg;
  uint64_t dropped; /* packets that were nobody's */
} wg_mux;

/* Binds the socket. The errors of udp_open. */
int wg_mux_open(wg_mux *mux, wg_env *env, const warp_addr *local, unsigned flags);
/* Harmless on one that is not open. */
void wg_mux_close(wg_mux *mux);
/* WARP_LIMIT when there are WG_MUX_TAGS already. */
int wg_mux_bind(wg_mux *mux, wg_mux_tag *entry, const uint8_t tag[WG_TAG_LEN], wg_mux_on_packet cb,
                void *arg);
void wg_mux_unbind(wg_mux *mux, wg_mux_tag *entry);

#endif
