/* Gates inside the library: what the tests need beyond the public header. */
#ifndef WG_GATE_GATE_H
#define WG_GATE_GATE_H

#include "env/env.h"

/* warp_gate_open over any environment, which must outlive the gate. */
int wg_gate_open(wg_env *env, const char *name, const warp_conf *conf, warp_gate_on_open cb,
                 void *arg, warp_gate **out);

#endif
