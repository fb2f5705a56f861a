/* Nodes inside the library: what gate and the tests need beyond the public header. */
#ifndef WG_NODE_NODE_H
#define WG_NODE_NODE_H

#include "env/env.h"

/* warp_node_start over any environment, which must outlive the node. */
int wg_node_start(wg_env *env, const warp_conf *conf, warp_node_on_start cb, void *arg,
                  warp_node **out);

#endif
