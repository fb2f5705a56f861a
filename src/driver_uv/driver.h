/*
 * The production environment: clock, timers, sockets, names, files and MQTT brokers of the system,
 * driven by a libuv loop. Programs reach it through warp_loop_new or warp_loop_wrap and
 * warp_loop_env (env/loop.h); the functions here are for warp_loop itself and for tests.
 */
#ifndef WG_DRIVER_UV_DRIVER_H
#define WG_DRIVER_UV_DRIVER_H

#include "env/env.h"

struct uv_loop_s;

/* Makes an environment on a loop, which must outlive it. Nothing of it keeps the loop running until
 * something is opened or a timer started. Free with wg_uv_env_close. WARP_NOMEM, WARP_LIMIT (no
 * descriptors left), WARP_IO. */
int wg_uv_env_new(struct uv_loop_s *loop, wg_env **out);

/* Closes the environment. The loop must be run until `done(arg)` is called (may be NULL), which is
 * after the connections that still send their rest: at most 2 s. The memory goes then. WARP_STATE
 * with no effect while a handle is open or a timer runs that was not stopped. */
int wg_uv_env_close(wg_env *env, void (*done)(void *arg), void *arg);

/* Shifts what wall_ms tells, so that tests need not change the host's clock. */
void wg_uv_env_set_wall_offset(wg_env *env, int64_t wall_offset_ms);

/* The router that is asked for ports, with its port for NAT-PMP, so that tests need none. */
void wg_uv_env_set_gateway(wg_env *env, const warp_addr *gateway);

/* Raises how many descriptors this process may have to what the system allows it: the usual 1024
 * are too few for random probing over TCP. For programs, at their start. */
void wg_uv_raise_file_limit(void);

/* The status for a system error number (positive errno, or libuv's negative one). */
int wg_uv_status(int error);

#endif
