#include "natsim/picture.h"

#include "natsim/neighbours.h"

#include <stdio.h>
#include <string.h>

/* ---- the tree -------------------------------------------------------------------------------- */

enum { PREFIX = 64 };

/* Twigs of the tree: a branch, the last branch, what goes down beside, and nothing. */
static const char *const lines[] = {"├── ", "└── ", "│   ", "    "};
static const char *const ascii_lines[] = {"|-- ", "`-- ", "|   ", "    "};
enum { BRANCH, LAST, DOWN, NOTHING };

static const char *twig(const sim_picture *p, int which) {
  return (p->ascii ? ascii_lines : lines)[which];
}

static void write_addresses(FILE *out, const sim_link *link) {
  if (*link->ip4)
    fprintf(out, "  %s", link->ip4);
  if (*link->ip6)
    fprintf(out, "  %s", link->ip6);
}

/* The first three axes, and of the others what is not as usual. */
static void write_axes(FILE *out, const sim_nat *nat) {
  enum { ALWAYS = 3 };
  char axes[SIM_NAT_STRLEN], usual[SIM_NAT_STRLEN];
  const sim_nat plain = sim_nat_default();
  sim_nat_format(nat, axes);
  sim_nat_format(&plain, usual);
  char *rest = axes, *rest_usual = usual, *axis, *as_usual;
  for (int i = 0; (axis = strsep(&rest, ",")); i++) {
    as_usual = strsep(&rest_usual, ",");
    if (i < ALWAYS || !as_usual || strcmp(axis, as_usual) != 0)
      fprintf(out, " %s", axis);
  }
}

static void write_gate(FILE *out, const sim_gate *gate) {
  static const struct {
    unsigned bit;
    const char *text;
  } filters[] = {{SIM_FIREWALL6, "IPv6 comes in only as an answer"},
                 {SIM_BLOCK_UDP, "no UDP"},
                 {SIM_WEB_ONLY, "only TCP to ports 80 and 443 gets out"},
                 {SIM_UPNP, "opens ports by UPnP and NAT-PMP"},
                 {SIM_ISOLATED, "inside networks do not see each other"}};
  const char *between = "";
  if (gate->translated) {
    fputs("NAT", out);
    write_axes(out, &gate->nat);
    between = "; ";
  }
  for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
    if (gate->filters & filters[i].bit) {
      fprintf(out, "%s%s", between, filters[i].text);
      between = "; ";
    }
  if (!*between)
    fputs("no NAT", out);
}

static void draw_net(const sim_picture *p, FILE *out, int net, const char *prefix);

static void draw_node(const sim_picture *p, FILE *out, int n, int link, const char *prefix,
                      bool last) {
  const sim_node *node = &p->topology->nodes[n];
  char below[PREFIX];
  fprintf(out, "%s%s%s", prefix, twig(p, last ? LAST : BRANCH), node->name);
  write_addresses(out, &node->links[link]);
  if (link && !node->router)
    fprintf(out, "  (%s)", node->links[link].name);
  if (sim_is_neighbour(node)) {
    char ip[SIM_IP_STRLEN];
    sim_neighbour_ip(node, SIM_NEIGHBOURS - 1, ip);
    fprintf(out, " to %s", ip);
  }
  fputc('\n', out);
  if (!node->router)
    return;
  snprintf(below, sizeof below, "%s%s", prefix, twig(p, last ? NOTHING : DOWN));
  fprintf(out, "%s%s", below, twig(p, DOWN));
  write_gate(out, &node->gate);
  fputc('\n', out);
  for (int l = 1; l < node->link_count; l++) {
    fprintf(out, "%s%s%s", below, twig(p, DOWN), node->links[l].name);
    write_addresses(out, &node->links[l]);
    fputc('\n', out);
    draw_net(p, out, node->links[l].net, below);
  }
}

/* Whether the node is on the network by this link, and is drawn below it: a router is where its way
 * out is. */
static bool is_below(const sim_node *node, int link, int net) {
  return node->links[link].net == net && (!node->router || link == 0);
}

static void draw_net(const sim_picture *p, FILE *out, int net, const char *prefix) {
  const sim_topology *t = p->topology;
  int left = 0;
  for (int n = 0; n < t->node_count; n++)
    for (int l = 0; l < t->nodes[n].link_count; l++)
      left += is_below(&t->nodes[n], l, net);
  for (int n = 0; n < t->node_count; n++)
    for (int l = 0; l < t->nodes[n].link_count; l++)
      if (is_below(&t->nodes[n], l, net))
        draw_node(p, out, n, l, prefix, --left == 0);
}

static void write_server(FILE *out, const sim_picture *p, const char *name, const char *where) {
  if (*where)
    fprintf(out, "%s    %-6s %s\n", twig(p, DOWN), name, where);
}

void sim_picture_draw(const sim_picture *p, FILE *out) {
  const sim_options *o = p->options;
  const sim_told *told = *p->told[SIM_A].stun ? &p->told[SIM_A] : &p->told[SIM_B];
  fprintf(out, "laboratory %s: %s and %s, %g ms round trip, seed %llu\n\ninternet\n", p->name, o->a,
          o->b, o->rtt_ms, (unsigned long long)o->seed);
  fprintf(out, "%sserver  %s  %s  %s  %s\n", twig(p, BRANCH), SIM_SERVER_1, SIM_SERVER_2,
          SIM_SERVER6_1, SIM_SERVER6_2);
  write_server(out, p, "stun", told->stun);
  write_server(out, p, "turn", told->turn);
  write_server(out, p, "broker", told->brokers);
  write_server(out, p, "names", told->names);
  draw_net(p, out, SIM_INTERNET, "");
}

/* ---- commands -------------------------------------------------------------------------------- */

static void write_start(const sim_picture *p, FILE *out, const char *host) {
  fputs("  natsim lab exec ", out);
  if (strcmp(p->name, "default") != 0)
    fprintf(out, "--name %s ", p->name);
  fprintf(out, "%s -- ", host);
}

static void write_flags(const sim_told *told, FILE *out) {
  const struct {
    const char *flag, *value;
  } flags[] = {{"--broker", told->brokers},
               {"--stun", told->stun},
               {"--turn", told->turn},
               {"--names", told->names}};
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
    if (*flags[i].value) {
      const char *quote = strchr(flags[i].value, '[') ? "'" : ""; /* a pattern to some shells */
      fprintf(out, " %s %s%s%s", flags[i].flag, quote, flags[i].value, quote);
    }
  fputc('\n', out);
}

/* coturn's own tool, which lies beside it. */
static void write_discovery(const sim_picture *p, FILE *out) {
  const char *slash = strrchr(p->programs->coturn, '/');
  if (!slash)
    return;
  fputs("what a STUN server makes of a's NAT:\n", out);
  write_start(p, out, "a");
  if (*p->programs->libraries)
    fprintf(out, "env %s ", p->programs->libraries);
  fprintf(out, "%.*s/turnutils_natdiscovery -m -f %s\n", (int)(slash - p->programs->coturn),
          p->programs->coturn, SIM_SERVER_1);
}

void sim_picture_commands(const sim_picture *p, FILE *out) {
  bool names = *p->told[SIM_B].names;
  fputs("\nIn another terminal, on a, b, server, router-a or router-b:\n", out);
  write_start(p, out, "a");
  fputs("sh\nb listens:\n", out);
  write_start(p, out, "b");
  fprintf(out, "warpgate listen%s", names ? " bob" : "");
  write_flags(&p->told[SIM_B], out);
  fprintf(out, "a connects%s:\n", names ? "" : " to the address that b has printed");
  write_start(p, out, "a");
  fprintf(out, "warpgate connect %s", names ? "bob" : "ADDRESS");
  write_flags(&p->told[SIM_A], out);
  if (*p->told[SIM_A].stun)
    write_discovery(p, out);
  fputs("packets and rules of a's router:\n", out);
  write_start(p, out, "router-a");
  fputs("tcpdump -Z root -ni any\n", out); /* else it looks for a user of its own */
  write_start(p, out, "router-a");
  fputs("nft list ruleset\n", out);
  fputs(
      "On a and b warpgate finds the servers without the flags too, and NATSIM_STUN and so on say\n"
      "where they are. Ctrl-C here takes it all down.\n",
      out);
}
