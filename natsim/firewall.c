#include "natsim/firewall.h"

#include "natsim/rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define OUTWARD "    iifname \"" SIM_LANS "\" oifname \"" SIM_WAN "\" "
#define INWARD  "    iifname \"" SIM_WAN "\" "

/* Every rule only drops, so that their order says nothing. */
static void write_filters(FILE *out, unsigned filters) {
  fputs("table inet firewall {\n"
        "  chain forward { type filter hook forward priority filter - 5; policy accept;\n",
        out);
  if (filters & SIM_BLOCK_UDP)
    fputs("    meta l4proto udp drop\n", out);
  if (filters & SIM_WEB_ONLY)
    fputs(OUTWARD "meta l4proto != tcp drop\n" /* port unreachable would tell, too */
          OUTWARD "ct direction original tcp dport != { 80, 443 } drop\n" /* */
          INWARD "ct state new drop\n",
          out);
  if (filters & SIM_ISOLATED)
    fputs("    iifname \"" SIM_LANS "\" oifname \"" SIM_LANS "\" ct status & dnat != dnat drop\n",
          out);
  if (filters & SIM_FIREWALL6)
    fputs(INWARD "meta nfproto ipv6 ct state != { established, related } drop\n", out);
  fputs("  }\n", out);
  if (filters & SIM_FIREWALL6)
    fputs("  chain input { type filter hook input priority filter - 5; policy accept;\n" /* */
          INWARD "meta nfproto ipv6 meta l4proto { tcp, udp }"
          " ct state != { established, related } drop\n  }\n",
          out);
  fputs("}\n", out);
}

/* An accept of miniupnpd's ends the chain with the mark still on; the NAT's own filter lets marked
 * packets in. */
static void write_upnp(FILE *out) {
  fputs("table inet " SIM_UPNP_TABLE " {\n"
        "  chain miniupnpd { }\n"
        "  chain prerouting_miniupnpd { }\n"
        "  chain postrouting_miniupnpd { }\n"
        "  chain opened_in { type nat hook prerouting priority dstnat - 5; policy accept;\n" /* */
        INWARD "jump prerouting_miniupnpd\n  }\n"
        "  chain opened_out { type nat hook postrouting priority srcnat - 5; policy accept;\n"
        "    oifname \"" SIM_WAN "\" jump postrouting_miniupnpd\n  }\n"
        "  chain opened { type filter hook forward priority filter - 10; policy accept;\n" /* */
        INWARD "meta mark set " SIM_OPENED_MARK "\n" INWARD "jump miniupnpd\n" INWARD
        "meta mark set 0\n  }\n}\n",
        out);
}

/* The nftables text of these filters. Allocated; NULL when out of memory. */
static char *text_of(unsigned filters) {
  char *text = NULL;
  size_t len = 0;
  FILE *out = open_memstream(&text, &len);
  if (!out)
    return NULL;
  if (filters & ~(unsigned)SIM_UPNP)
    write_filters(out, filters);
  if (filters & SIM_UPNP)
    write_upnp(out);
  if (fclose(out)) {
    free(text);
    return NULL;
  }
  return text;
}

/* What miniupnpd has opened stays as long as it runs: its table is made once. */
int sim_firewall_load(const ns_host *router, unsigned filters, bool replace, ns_error *error) {
  if (replace) {
    int status = ns_nft(router, "table inet firewall\ndelete table inet firewall\n", error);
    if (status)
      return status;
    filters &= ~(unsigned)SIM_UPNP;
  }
  if (!filters)
    return 0;
  char *text = text_of(filters);
  int status = text ? ns_nft(router, text, error) : sim_fail(error, -ENOMEM, "out of memory");
  free(text);
  return status;
}
