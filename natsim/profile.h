/*
 * NAT behaviours as data: the axes of RFC 4787, 5382 and 7857, the named profiles, and the text
 * form `map=ad,filter=apd,alloc=sequential:1`. Nothing here touches the kernel.
 */
#ifndef NATSIM_PROFILE_H
#define NATSIM_PROFILE_H

#include "natsim/fail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a mapping (RFC 4787 4.1) or a filter (5) depends on, of the remote endpoint. */
enum sim_dependence { SIM_EI, SIM_AD, SIM_APD };
enum sim_alloc { SIM_PRESERVING, SIM_SEQUENTIAL, SIM_RANDOM };
/* The answer to a packet that a mapping exists for but the filter refuses (RFC 5382 REQ-4). */
enum sim_unsolicited { SIM_UNSOLICITED_DROP, SIM_UNSOLICITED_RESET, SIM_UNSOLICITED_ICMP };
/* What the router's own input does with a packet that no mapping exists for. */
enum sim_strays { SIM_STRAYS_DROP, SIM_STRAYS_REJECT, SIM_STRAYS_ACCEPT };

typedef struct sim_nat {
  enum sim_dependence map;
  enum sim_dependence filter;
  enum sim_alloc alloc;
  uint16_t step; /* between two sequential ports; at least 1 */
  uint16_t port_low, port_high;
  bool hairpin;
  enum sim_unsolicited unsolicited;
  enum sim_strays strays;
  unsigned udp_lifetime_s, tcp_lifetime_s;
} sim_nat;

enum { SIM_PROFILE_NAME = 160 };

/* A site's way to the outside. */
typedef struct sim_profile {
  char name[SIM_PROFILE_NAME]; /* as the user wrote it */
  bool translated;             /* false: `open`, public addresses behind a plain router */
  sim_nat nat;                 /* meaningful when translated */
} sim_profile;

/* The defaults of the text form: ei, apd, preserving, 1024-65535, all else off or drop. */
sim_nat sim_nat_default(void);

/* Sets axes from `key=value,key=value`. A key given twice, a value that is none of the key's, a
 * range upside down, or an axis this version does not build are refused: returns -1 with the line.
 */
int sim_nat_set(sim_nat *nat, const char *text, ns_error *error);

/* Room for what sim_nat_format writes. */
enum { SIM_NAT_STRLEN = 192 };
/* Writes all axes in the text form that sim_nat_set reads; returns buf. */
const char *sim_nat_format(const sim_nat *nat, char buf[SIM_NAT_STRLEN]);

/* What a run adds to the profiles it names. */
typedef struct sim_profile_changes {
  const char *grid_alloc; /* allocation of the MAP-FILTER names; NULL: random */
  const char *nat;        /* `key=value,...` added to every NAT; NULL: nothing */
} sim_profile_changes;

/* Reads a profile name, a MAP-FILTER name or a spelled-out NAT. `changes` may be NULL. Returns -1
 * with the line. */
int sim_profile_parse(const char *text, const sim_profile_changes *changes, sim_profile *out,
                      ns_error *error);

/* The i-th profile that `natsim profiles` lists, or NULL past the end: its name, and one line on
 * what it stands for. */
const char *sim_profile_name(size_t i, const char **summary);

/* The words of the axes, as the text form writes them. */
const char *sim_dependence_name(enum sim_dependence value);
const char *sim_unsolicited_name(enum sim_unsolicited value);
const char *sim_strays_name(enum sim_strays value);
/* "preserving", "random", "sequential:1". Returns buf. */
const char *sim_alloc_format(const sim_nat *nat, char buf[32]);

#endif
