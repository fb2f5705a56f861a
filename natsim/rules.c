#include "natsim/rules.h"

#include "natsim/seed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* What all parts of the text are made from. */
typedef struct writer {
  FILE *out;
  const sim_nat *nat;
  const char *wan_ip;
  const sim_draw *draw;
} writer;

/* nft knows the type of `ct original proto-src` only where one protocol is matched in the same
 * rule, so such rules are written once for each. */
static const char *const protocols[] = {"udp", "tcp"};

/* reuse=off shows where an answer to an inbound session would map otherwise than that session did:
 * not with one mapping for all, and not where no session can begin outside. TCP has no choice: the
 * answer to a SYN comes from the port it went to. */
static bool is_strict(const sim_nat *nat) {
  return !nat->reuse && nat->map != SIM_EI && nat->filter != SIM_APD;
}

static unsigned lifetime(const sim_nat *nat, int protocol) {
  return protocol ? nat->tcp_lifetime_s : nat->udp_lifetime_s;
}

/* ---- how ports are drawn --------------------------------------------------------------------- */

/* Ranges below this start at their lowest port: a small block is used whole. */
enum { LARGE_RANGE = 8192 };

sim_draw sim_draw_of(const sim_nat *nat, uint64_t seed) {
  uint32_t ports = (uint32_t)(nat->port_high - nat->port_low) + 1;
  sim_draw draw = {.sequential = nat->alloc == SIM_SEQUENTIAL, .first = nat->port_low};
  draw.count = ports;
  if (draw.sequential) {
    uint32_t start = ports < LARGE_RANGE ? 0 : (uint32_t)(sim_derive(seed, "start") % (ports / 2));
    draw.first = (uint16_t)(nat->port_low + start);
    draw.count = (ports - start + nat->step - 1) / nat->step;
    draw.steps = nat->step > 1;
    if (draw.steps && draw.count > SIM_STEPS_MAX)
      draw.count = SIM_STEPS_MAX;
  }
  for (int i = 0; i < SIM_RANDOM_DRAWS; i++) {
    char purpose[] = "draw 0";
    purpose[5] = (char)('0' + i);
    draw.seeds[i] = (uint32_t)sim_derive(seed, purpose);
  }
  return draw;
}

/* ---- sets ------------------------------------------------------------------------------------ */

/* Without a size: the kernel then lets a set grow as it fills, up to 65535 entries. One that is
 * asked for is laid out at once, some 18 MB a NAT; a full set degrades silently. */
static void write_set(const writer *w, const char *kind, const char *name, const char *type) {
  fprintf(w->out, "  %s %s { type %s; flags dynamic,timeout; timeout %us; }\n", kind, name, type,
          w->nat->udp_lifetime_s);
}

static void write_sets(const writer *w) {
  if (w->nat->map == SIM_EI)
    write_set(w, "map", "mapping", "inet_proto . ipv4_addr . inet_service : inet_service");
  if (w->nat->map == SIM_AD)
    write_set(w, "map", "mapping",
              "inet_proto . ipv4_addr . inet_service . ipv4_addr : inet_service");
  write_set(w, "map", "inverse", "inet_proto . inet_service : ipv4_addr . inet_service");
  write_set(w, "set", SIM_NFT_USED, "inet_proto . inet_service");
  if (is_strict(w->nat))
    write_set(w, "set", "begun", "inet_proto . inet_service . ipv4_addr . inet_service");
  if (w->nat->filter == SIM_AD)
    write_set(w, "set", "permitted", "inet_proto . inet_service . ipv4_addr");
  if (w->nat->filter == SIM_APD)
    write_set(w, "set", "permitted", "inet_proto . inet_service . ipv4_addr . inet_service");
  if (w->draw->steps) {
    fputs("  map " SIM_NFT_STEPS " { type mark : inet_service; elements = {", w->out);
    for (uint32_t i = 0; i < w->draw->count; i++)
      fprintf(w->out, "%s %u : %u", i ? "," : "", i, w->draw->first + i * w->nat->step);
    fputs(" }; }\n", w->out);
  }
}

/* ---- translation ----------------------------------------------------------------------------- */

#define HAIRPIN "iifname \"" SIM_LANS "\" oifname \"" SIM_LANS "\" ct status dnat"

static void write_translation(const writer *w) {
  const sim_nat *nat = w->nat;
  fprintf(w->out,
          "  chain translate_in { type nat hook prerouting priority dstnat; policy accept;\n"
          "    %sip daddr %s meta l4proto { tcp, udp }"
          " dnat ip to meta l4proto . th dport map @inverse\n  }\n",
          nat->hairpin ? "" : "iifname \"" SIM_WAN "\" ", w->wan_ip);
  fputs("  chain translate_out { type nat hook postrouting priority srcnat; policy accept;\n"
        "    iifname \"" SIM_LANS "\" oifname \"" SIM_WAN "\" jump map_flow\n",
        w->out);
  if (nat->hairpin)
    fputs("    " HAIRPIN " jump map_flow\n", w->out);
  fprintf(w->out, "  }\n  chain map_flow {\n    meta l4proto icmp snat to %s\n", w->wan_ip);
  if (nat->map != SIM_APD)
    fprintf(w->out,
            "    meta l4proto { tcp, udp } snat to %s:meta l4proto . ip saddr . th sport%s"
            " map @mapping\n",
            w->wan_ip, nat->map == SIM_AD ? " . ip daddr" : "");
  if (nat->alloc == SIM_PRESERVING)
    fprintf(w->out,
            "    meta l4proto { tcp, udp } th sport %u-%u meta l4proto . th sport != @" SIM_NFT_USED
            " snat to %s\n",
            nat->port_low, nat->port_high, w->wan_ip);
  /* With no port left there is no new flow: none is given out twice. */
  fprintf(w->out,
          "    jump %s\n"
          "    jump " SIM_NFT_WALK "_64\n"
          "    meta l4proto { tcp, udp } drop\n  }\n",
          nat->alloc == SIM_SEQUENTIAL ? SIM_NFT_ALLOCATE "_64" : SIM_NFT_ALLOCATE);
}

/* The empty chain that a draw is loaded into; for a sequence also one that draws up to 64 times:
 * every jump counts on. */
static void write_draws(const writer *w, const char *chain, bool sequence) {
  fprintf(w->out, "  chain %s {\n  }\n", chain);
  if (!sequence)
    return;
  fprintf(w->out, "  chain %s_8 {\n", chain);
  for (int i = 0; i < 8; i++)
    fprintf(w->out, "    jump %s\n", chain);
  fprintf(w->out, "  }\n  chain %s_64 {\n", chain);
  for (int i = 0; i < 8; i++)
    fprintf(w->out, "    jump %s_8\n", chain);
  fputs("  }\n", w->out);
}

/* A strict NAT keeps what begins outside in a zone of its own of the connection tracker. The inside
 * host's answer belongs to no connection of the common zone, so it begins one there, with a mapping
 * of its own. `begun` knows the connections of the common zone, that their packets stay in it. */
static void write_zones(const writer *w) {
  fprintf(w->out,
          "  chain apart { type filter hook prerouting priority raw; policy accept;\n"
          "    iifname \"" SIM_WAN "\" ip daddr %s meta l4proto udp"
          " meta l4proto . th dport . ip saddr . th sport != @begun ct zone set 1\n  }\n",
          w->wan_ip);
}

/* ---- what is remembered of a flow ------------------------------------------------------------ */

/* Runs after the translation for every packet that leaves, so that only outbound traffic keeps a
 * mapping alive (RFC 4787 REQ-6). `side` is "original", or "reply" for flows begun outside. */
static void write_remember(const writer *w, const char *side, int protocol) {
  const sim_nat *nat = w->nat;
  char when[64], inside[96], remote[96] = "";
  unsigned timeout_s = lifetime(nat, protocol);
  snprintf(when, sizeof when, "    meta l4proto %s ct direction %s", protocols[protocol], side);
  snprintf(inside, sizeof inside, "ct %s ip saddr . ct %s proto-src", side, side);
  bool original = side[0] == 'o';
  if (nat->map == SIM_AD)
    snprintf(remote, sizeof remote, " . ct %s ip daddr", side);
  if (nat->map == SIM_EI || (nat->map == SIM_AD && original))
    fprintf(w->out, "%s update @mapping { meta l4proto . %s%s timeout %us : th sport }\n", when,
            inside, remote, timeout_s);
  fprintf(w->out, "%s update @inverse { meta l4proto . th sport timeout %us : %s }\n", when,
          timeout_s, inside);
  fprintf(w->out, "%s update @" SIM_NFT_USED " { meta l4proto . th sport timeout %us }\n", when,
          timeout_s);
  if (original && protocol == 0 && is_strict(nat))
    fprintf(w->out,
            "%s update @begun { meta l4proto . th sport . ct original ip daddr"
            " . ct original proto-dst timeout %us }\n",
            when, timeout_s);
  if (nat->filter != SIM_EI && original)
    fprintf(w->out,
            "%s update @permitted { meta l4proto . th sport . ct original ip daddr%s"
            " timeout %us }\n",
            when, nat->filter == SIM_APD ? " . ct original proto-dst" : "", timeout_s);
}

/* The filter's question: has the mapping behind `ct original proto-dst` written to this source? */
static void write_permitted(const writer *w, const char *before, int protocol,
                            const char *comparison, const char *verdict) {
  fprintf(w->out,
          "    meta l4proto %s %s meta l4proto . ct original proto-dst . ip saddr%s%s @permitted"
          " %s\n",
          protocols[protocol], before, w->nat->filter == SIM_APD ? " . th sport" : "", comparison,
          verdict);
}

static void write_memory(const writer *w) {
  fputs("  chain remember { type filter hook postrouting priority srcnat + 1; policy accept;\n"
        "    meta l4proto { tcp, udp } iifname \"" SIM_LANS "\" oifname \"" SIM_WAN
        "\" jump remember_flow\n",
        w->out);
  if (w->nat->hairpin) {
    fputs("    meta l4proto { tcp, udp } " HAIRPIN " ct direction original jump remember_flow\n",
          w->out);
    /* Between two inside hosts the filter sees the external source, so it stands after snat. */
    if (w->nat->filter != SIM_EI)
      for (int protocol = 0; protocol < 2; protocol++)
        write_permitted(w, HAIRPIN " ct direction original ct state new", protocol, " !=", "drop");
  }
  fputs("  }\n  chain remember_flow {\n", w->out);
  for (int protocol = 0; protocol < 2; protocol++) {
    write_remember(w, "original", protocol);
    write_remember(w, "reply", protocol);
  }
  fputs("  }\n", w->out);
}

/* ---- filters --------------------------------------------------------------------------------- */

static void write_forward(const writer *w) {
  const sim_nat *nat = w->nat;
  fputs("  chain filter_forward { type filter hook forward priority filter; policy accept;\n"
        "    ct state invalid drop\n"
        "    iifname \"" SIM_WAN "\" ct state established,related accept\n"
        "    iifname \"" SIM_WAN "\" meta mark " SIM_OPENED_MARK " accept\n",
        w->out);
  if (nat->filter == SIM_EI)
    fputs("    iifname \"" SIM_WAN "\" ct status dnat accept\n", w->out);
  else
    for (int protocol = 0; protocol < 2; protocol++)
      write_permitted(w, "iifname \"" SIM_WAN "\" ct status dnat", protocol, "", "accept");
  if (nat->unsolicited == SIM_UNSOLICITED_RESET)
    fputs("    iifname \"" SIM_WAN "\" meta l4proto tcp reject with tcp reset\n", w->out);
  if (nat->unsolicited == SIM_UNSOLICITED_ICMP)
    fputs("    iifname \"" SIM_WAN "\" reject with icmp port-unreachable\n", w->out);
  fputs("    iifname \"" SIM_WAN "\" drop\n  }\n", w->out);
}

/* The connection tracker keeps an entry of what the router itself took, and would drop a flow that
 * is translated to the same port later. So such a port counts as in use: the late flow gets
 * another. */
static void write_strays(const writer *w) {
  enum { TCP_CLOSED_S = 10 }; /* how long the tracker remembers what was answered with a reset */
  for (int protocol = 0; protocol < 2; protocol++)
    fprintf(w->out,
            "    iifname \"" SIM_WAN "\" meta l4proto %s update @" SIM_NFT_USED
            " { meta l4proto . th dport timeout %us }\n",
            protocols[protocol], protocol ? TCP_CLOSED_S : lifetime(w->nat, protocol));
}

static void write_input(const writer *w) {
  fputs("  chain filter_input { type filter hook input priority filter; policy accept;\n", w->out);
  if (w->nat->strays == SIM_STRAYS_ACCEPT)
    write_strays(w);
  fputs("    iifname \"" SIM_WAN "\" ct state established,related accept\n"
        "    iifname \"" SIM_WAN "\" icmp type echo-request accept\n",
        w->out);
  if (w->nat->strays == SIM_STRAYS_REJECT)
    fputs("    iifname \"" SIM_WAN "\" meta l4proto tcp reject with tcp reset\n"
          "    iifname \"" SIM_WAN "\" meta l4proto udp reject with icmp port-unreachable\n",
          w->out);
  if (w->nat->strays != SIM_STRAYS_ACCEPT)
    fputs("    iifname \"" SIM_WAN "\" drop\n", w->out);
  /* Else the router's own stack would answer an inside host that writes to the outside address. */
  fprintf(w->out, "    iifname \"" SIM_LANS "\" ip daddr %s meta l4proto { tcp, udp } drop\n  }\n",
          w->wan_ip);
}

/* ---- the whole ------------------------------------------------------------------------------- */

char *sim_rules_text(const sim_nat *nat, const char *wan_ip, uint64_t seed, bool replace) {
  char *text = NULL;
  size_t len = 0;
  FILE *out = open_memstream(&text, &len);
  if (!out)
    return NULL;
  sim_draw draw = sim_draw_of(nat, seed);
  writer w = {out, nat, wan_ip, &draw};
  /* Declared and deleted, so that it may be there or not; all in one transaction. A first load does
   * without: after a transaction that takes something away, closing its socket waits until the
   * kernel has let go of it, 10 ms and more. */
  if (replace)
    fputs("table ip " SIM_NFT_TABLE "\ndelete table ip " SIM_NFT_TABLE "\n", out);
  fputs("table ip " SIM_NFT_TABLE " {\n", out);
  write_sets(&w);
  write_draws(&w, SIM_NFT_ALLOCATE, draw.sequential);
  write_draws(&w, SIM_NFT_WALK, true);
  if (is_strict(nat))
    write_zones(&w);
  write_translation(&w);
  write_memory(&w);
  write_forward(&w);
  write_input(&w);
  fputs("}\n", out);
  if (fclose(out)) {
    free(text);
    return NULL;
  }
  return text;
}

static int set_lifetimes(const ns_host *router, const sim_nat *nat, ns_error *error) {
  static const struct {
    const char *path;
    bool tcp;
  } sysctls[] = {{"netfilter/nf_conntrack_udp_timeout", false},
                 {"netfilter/nf_conntrack_udp_timeout_stream", false},
                 {"netfilter/nf_conntrack_tcp_timeout_established", true}};
  for (size_t i = 0; i < sizeof sysctls / sizeof *sysctls; i++) {
    char value[16];
    snprintf(value, sizeof value, "%u", lifetime(nat, sysctls[i].tcp));
    int status = ns_sysctl(router, sysctls[i].path, value, error);
    if (status)
      return status;
  }
  return 0;
}

int sim_rules_load(const ns_host *router, const sim_nat *nat, const char *wan_ip, uint64_t seed,
                   bool replace, ns_error *error) {
  char *text = sim_rules_text(nat, wan_ip, seed, replace);
  if (!text)
    return sim_fail(error, -ENOMEM, "out of memory");
  int status = ns_nft(router, text, error);
  free(text);
  sim_draw draw = sim_draw_of(nat, seed);
  if (!status)
    status = sim_draw_load(router, nat, wan_ip, &draw, error);
  /* The conntrack sysctls exist once a rule has loaded the connection tracker. */
  return status ? status : set_lifetimes(router, nat, error);
}
