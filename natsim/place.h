/*
 * Places: how two hosts lie to each other, as data. A place is a few lines of text:
 *
 *   carrier NAME [AXES]           a NAT on the internet, and the network of its customers
 *   site HOSTS on NET [WORD...]   a router on a network (internet, or a carrier's), with a LAN
 *
 * HOSTS is `a` or `b`; `a,b` for two hosts on one LAN; `a+b` for both peers on one host. What a
 * site's router does comes from the profile of its host (--a, --b) and these words:
 *
 *   dual-stack      IPv6 too, behind a stateful firewall (none where the profile is open)
 *   ipv6-only       no IPv4 at all
 *   isolated        a LAN of its own for each host, and no way between them but by the outside
 *   hairpin         the NAT has hairpin=on
 *   udp-blocked     no UDP passes
 *   web-only        only TCP to ports 80 and 443 gets out
 *   upnp            the router opens ports by UPnP and NAT-PMP
 *   second-uplink   the host has another interface, with a router of its own; with =AXES behind
 *                   it, as second-uplink=map=ei,filter=ei, that one has another NAT
 *
 * Lines are separated by newlines or semicolons; what follows a # is passed over.
 */
#ifndef NATSIM_PLACE_H
#define NATSIM_PLACE_H

#include "natsim/profile.h"

/* Room for two carriers, one for each site. */
enum { SIM_CARRIERS_MAX = 2, SIM_PLACE_SITES = 2, SIM_PLACE_NAME = 64 };

/* Who lives in a site. */
enum sim_hosts { SIM_ONLY_A, SIM_ONLY_B, SIM_ONE_LAN, SIM_ONE_HOST };

typedef struct sim_place_carrier {
  char name[24];
  sim_nat nat;
} sim_place_carrier;

typedef struct sim_place_site {
  enum sim_hosts hosts;
  int carrier; /* the network it is on: an index of carriers, or -1 for the internet */
  bool ip6, no_ip4, isolated, hairpin, second_uplink;
  bool own_second_nat; /* the second uplink's router has these axes, not the profile's: */
  sim_nat second_nat;
  unsigned filters; /* SIM_BLOCK_UDP, SIM_WEB_ONLY, SIM_UPNP */
} sim_place_site;

typedef struct sim_place {
  char name[SIM_PLACE_NAME];
  sim_place_carrier carriers[SIM_CARRIERS_MAX];
  int carrier_count;
  sim_place_site sites[SIM_PLACE_SITES];
  int site_count;
} sim_place;

/* Reads the name of a place, or a file of such lines when there is a slash in it (NULL: the
 * default, two-sites). -1 with a line when it is unknown or cannot be. */
int sim_place_load(const char *text, sim_place *out, ns_error *error);
/* Reads the lines of a place. -1 with the line. */
int sim_place_parse(const char *name, const char *lines, sim_place *out, ns_error *error);

/* True when both hosts are behind the same router, whose profile both must name. */
bool sim_place_shared(const sim_place *place);

/* The i-th place that `natsim places` lists, or NULL past the end: its name, its lines, and one
 * line on what it stands for. */
const char *sim_place_name(size_t i, const char **lines, const char **summary);

#endif
