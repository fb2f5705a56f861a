/*
 * Frames: how a link cuts a stream of bytes into messages. Each direction begins with the link's
 * header; then every frame is its type, its length in three bytes, and so many bytes.
 */
#ifndef WG_WIRE_FRAME_H
#define WG_WIRE_FRAME_H

#include "base/bytes.h"
#include <warpgate/warpgate.h>

typedef enum wg_frame_type {
  WG_FRAME_MESSAGE = 1, /* one whole message */
  WG_FRAME_END = 2,     /* no more messages come; empty */
  WG_FRAME_CLOSE = 3,   /* nor is anything read any more; empty */
  WG_FRAME_DONE = 4,    /* all up to the peer's END or CLOSE has been taken; empty */
} wg_frame_type;

enum {
  WG_LINK_HEADER_LEN = 4,
  WG_FRAME_HEAD_LEN = 4,
  WG_FRAME_BODY_MAX = WARP_LINK_MESSAGE_MAX,
};

/* A frame inside the bytes that were read; `type` may be one of a later version: skip it. */
typedef struct wg_frame {
  uint8_t type;
  const uint8_t *body;
  size_t len;
} wg_frame;

void wg_link_header_write(uint8_t out[WG_LINK_HEADER_LEN]);
/* WARP_AGAIN with fewer bytes than it needs, WARP_MALFORMED, WARP_VERSION. */
int wg_link_header_read(const uint8_t *data, size_t len);
/* `len` is at most WG_FRAME_BODY_MAX. */
void wg_frame_head_write(uint8_t out[WG_FRAME_HEAD_LEN], wg_frame_type type, size_t len);
/* The first frame of `len` bytes: WARP_OK, WARP_AGAIN when it is not all there, WARP_TOO_BIG,
 * WARP_MALFORMED (a body where there is none). It takes WG_FRAME_HEAD_LEN + out->len bytes. */
int wg_frame_read(const uint8_t *data, size_t len, wg_frame *out);

#endif
