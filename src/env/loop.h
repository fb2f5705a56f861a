/* How the rooms above the seam get from the program's loop to their environment. */
#ifndef WG_ENV_LOOP_H
#define WG_ENV_LOOP_H

#include "env/env.h"

/* The environment of a loop; owned by the loop, never NULL. The driver behind the loop provides
 * this function. */
wg_env *warp_loop_env(warp_loop *loop);

#endif
