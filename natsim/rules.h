/*
 * From a NAT's axes to nftables.
 *
 * The text form of nftables cannot hand a computed port to `snat` (numgen and jhash yield numbers
 * in host byte order, which nft 1.0 does not turn around), and a map of all 64512 ports costs 0.2 s
 * and 50 MB a NAT. So the text leaves two chains, `allocate` and `walk`, empty, and sim_rules_load
 * fills them with rules made of kernel expressions.
 */
#ifndef NATSIM_RULES_H
#define NATSIM_RULES_H

#include "natsim/profile.h"

/* Interface names of every router. */
#define SIM_WAN "wan0"
/* All inside interfaces of a router, in the words of nft: lan0, lan1 ... */
#define SIM_LANS "lan*"
/* What comes in by a port that the inside had opened for it carries this mark. */
#define SIM_OPENED_MARK "1"
/* Names that the text and the computed rules share. */
#define SIM_NFT_TABLE    "nat"
#define SIM_NFT_ALLOCATE "allocate"
#define SIM_NFT_WALK     "walk"
#define SIM_NFT_USED     "used"
#define SIM_NFT_STEPS    "steps"

/* Seeded draws before a flow whose every draw is taken gets the next free port of a walk. */
enum { SIM_RANDOM_DRAWS = 4 };
/* Sequential NATs with a step over 1 start again after this many ports: their ports stand in a map.
 */
enum { SIM_STEPS_MAX = 2048 };

/* The nftables text of a NAT whose external address is `wan_ip` (dotted). `seed` decides where a
 * sequence starts; `replace` takes away what the router had, in the same transaction. Allocated;
 * NULL when out of memory. */
char *sim_rules_text(const sim_nat *nat, const char *wan_ip, uint64_t seed, bool replace);

/* How ports are drawn, for the computed rules. */
typedef struct sim_draw {
  bool sequential;
  uint16_t first; /* lowest port drawn */
  uint32_t count; /* of different ports */
  bool steps;     /* the number is looked up in the map `steps` */
  uint32_t seeds[SIM_RANDOM_DRAWS];
} sim_draw;
sim_draw sim_draw_of(const sim_nat *nat, uint64_t seed);

/* Loads the text and the computed rules into the router; with `replace` in place of those it may
 * have, which takes longer. 0, or a negative errno with the line. */
int sim_rules_load(const ns_host *router, const sim_nat *nat, const char *wan_ip, uint64_t seed,
                   bool replace, ns_error *error);

/* Fills the chain `allocate` with `draw`, and `walk` with one port of the range after the other,
 * for flows that find all that was drawn in use. The table is loaded already. 0, or a negative
 * errno with the line. */
int sim_draw_load(const ns_host *router, const sim_nat *nat, const char *wan_ip,
                  const sim_draw *draw, ns_error *error);

#endif
