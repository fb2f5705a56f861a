/* warp_interface_list and warp_interface_load over any environment. */
#ifndef WG_PIPE_INTERFACES_H
#define WG_PIPE_INTERFACES_H

#include "env/env.h"

int wg_interface_list(wg_env *env, warp_interface *out, size_t max);
int wg_interface_load(wg_env *env, const char *name, warp_interface *out);

#endif
