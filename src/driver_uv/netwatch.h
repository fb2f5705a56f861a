/* How the system tells that interfaces, addresses or routes have changed. */
#ifndef WG_DRIVER_UV_NETWATCH_H
#define WG_DRIVER_UV_NETWATCH_H

/* A non-blocking descriptor that becomes readable then. WARP_UNSUPPORTED where the system has
 * none, and what it says. The caller closes it. */
int wg_uv_netwatch_socket(int *out);
/* Reads what the descriptor has to say, or so much of it that the loop is not held up: whatever it
 * is, somebody has to look. */
void wg_uv_netwatch_drain(int fd);

#endif
