/*
 * Binding requests over a TCP connection that leaves from a given port (RFC 8489 section 6.2.2):
 * where that port is seen. The connection stays open afterwards, because it is what keeps the
 * mapping, and asking again over it shows whether the NAT still does.
 */
#ifndef WG_CONNECT_STUN_STREAM_H
#define WG_CONNECT_STUN_STREAM_H

#include "env/env.h"

typedef struct wg_stun_stream wg_stun_stream;

/* WARP_OK with the external address, once per request; or that the connection is over and why
 * (NULL; before an answer also WARP_TIMEOUT, WARP_MALFORMED): then nothing more comes, and it waits
 * to be closed. */
typedef void (*wg_stun_stream_cb)(void *arg, int status, const warp_addr *external);
/* Connects from `local`, shared with whatever else uses that port (WG_SOCK_REUSE). `timeout_ms` is
 * for connection and answer together. WARP_NOMEM, WARP_IO (no randomness), and what tcp_connect
 * says at once, as WARP_ADDR_NOT_AVAILABLE when the port has a connection to that server. */
int wg_stun_stream_open(wg_env *env, const warp_addr *local, const warp_addr *server,
                        uint32_t timeout_ms, wg_stun_stream_cb cb, void *arg, wg_stun_stream **out);
/* Asks once more over the same connection, within `timeout_ms`. WARP_STATE (not answered yet, or
 * over), WARP_IO (no randomness), and what tcp_send says; then nothing was asked. */
int wg_stun_stream_ask(wg_stun_stream *stream, uint32_t timeout_ms);
/* At once, with a reset: nobody reads the rest. May be called from its callback. */
void wg_stun_stream_close(wg_stun_stream *stream);

#endif
