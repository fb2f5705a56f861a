/* Nodes inside the library: what gate and the tests need beyond the public header. */
#ifndef WG_NODE_NODE_H
#define WG_NODE_NODE_H

#include "env/env.h"

/* warp_node_start over any environment, which must outlive the node. */
int wg_node_start(wg_env *env, const warp_conf *conf, warp_node_on_start cb, void *arg,
                  warp_node **out);

/* Has the start register this name, too, at the same time as the derived one: who waits for both
 * waits for one round trip, and for a dead server once. Called after wg_node_start has returned;
 * the name is borrowed. The start does not wait for `cb`, which runs once, unless the start fails
 * before. */
void wg_node_also_register(warp_node *node, const char *name, warp_on_name cb, void *arg);
/* Have servers taken the derived name? */
bool wg_node_has_nickname(const warp_node *node);
/* Is what was registered so still the node's record? */
bool wg_node_also_stands(const warp_node *node);

#endif
