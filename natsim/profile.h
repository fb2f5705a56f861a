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
  bool reuse; /* an answer to an inbound session keeps its mapping; false: UDP gets a new one */
  unsigned udp_lifetime_s, tcp_lifetime_s;
} sim_nat;

/* What else a router does, as bits. */
enum sim_filter {
  SIM_FIREWALL6 = 1, /* IPv6 comes in only as an answer (RFC 6092 2.2) */
  SIM_BLOCK_UDP = 2, /* no UDP passes either way, of either family */
  SIM_WEB_ONLY = 4,  /* only TCP to ports 80 and 443 gets out */
  SIM_UPNP = 8,      /* the inside opens ports by UPnP and NAT-PMP */
  SIM_ISOLATED = 16, /* inside networks do not see each other */
};

/* All that a router does to packets. */
typedef struct sim_gate {
  bool translated; /* IPv4 goes through the NAT; else it is routed */
  sim_nat nat;
  unsigned filters;
} sim_gate;

enum { SIM_PROFILE_NAME = 160 };

/* A site's way to the outside. */
typedef struct sim_profile {
  char name[SIM_PROFILE_NAME]; /* as the user wrote it */
  bool translated;             /* false: public addresses behind a plain router */
  sim_nat nat;                 /* meaningful when translated */
  bool ip6_only;               /* no IPv4 at all */
  unsigned filters;            /* enum sim_filter */
  bool carrier;                /* another NAT stands before this one */
  sim_nat carrier_nat;         /* meaningful when carrier */
} sim_profile;

/* The defaults of the text form: ei, apd, preserving, 1024-65535, all else off or drop. */
sim_nat sim_nat_default(void);

/* Sets axes from `key=value,key=value`. A key given twice, a value that is none of the key's, a
 * range upside down, or values that exclude each other are refused: returns -1 with the line. */
int sim_nat_set(sim_nat *nat, const char *text, ns_error *error);

/* Room for what sim_nat_format writes. */
enum { SIM_NAT_STRLEN = 208 };
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

/* The axes of a carrier's NAT: those that RFC 6888 asks for (REQ-1: endpoint-independent mapping
 * and hairpinning, by RFC 4787; REQ-7: endpoint-independent filtering). */
#define SIM_CARRIER_AXES "map=ei,filter=ei,alloc=random,hairpin=on"

/* A carrier's NAT: SIM_CARRIER_AXES, or those of `axes` with the rest by default. -1 with the line.
 */
int sim_carrier_axes(sim_nat *nat, const char *axes, ns_error *error);

/* The i-th profile that `natsim profiles` lists, or NULL past the end: its name, and one line on
 * what it stands for. */
const char *sim_profile_name(size_t i, const char **summary);

/* Where a profile that models a device or a standard has its axes from; NULL for the others. */
const char *sim_profile_source(size_t i);

/* The words of the axes, as the text form writes them. */
const char *sim_dependence_name(enum sim_dependence value);
const char *sim_unsolicited_name(enum sim_unsolicited value);
const char *sim_strays_name(enum sim_strays value);
/* "preserving", "random", "sequential:1". Returns buf. */
const char *sim_alloc_format(const sim_nat *nat, char buf[32]);

#endif
