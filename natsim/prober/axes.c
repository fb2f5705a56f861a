#include "natsim/prober/axes.h"

#include "natsim/prober/flow.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Ports of the server site that nobody inside has ever written to. */
enum { STRANGER_PORT = 7000, OTHER_STRANGER_PORT = 7001 };
/* Inside ports begin here and are three apart, so that even and odd ones alternate while a
 * sequence of outside ports would not fit. */
enum { FIRST_LOCAL = 20000, LOCAL_STEP = 3 };
/* New mappings that show how ports are given out: chance makes 8 random ports equal the inside
 * ones, or evenly spaced, less than once in 10^30. */
enum { SAMPLES = 8 };
enum { MAX_PORT = 65535 };

/* One transport of one NAT. */
typedef struct prober {
  sim_bench *bench;
  int type;
  const char *transport;
  sim_findings *out;
  unsigned next_local;
  bool seen[MAX_PORT + 1];     /* outside ports */
  unsigned low, high;          /* of them */
  unsigned pairs, same_parity; /* first mappings of inside ports */
  char map[8];                 /* what was measured */
  sim_endpoint outside;        /* the address seen, with the last port */
  bool translated, preserving;
} prober;

void sim_find(sim_findings *findings, const char *transport, const char *axis, const char *format,
              ...) {
  if (findings->count == SIM_FINDINGS_MAX)
    return;
  sim_finding *f = &findings->all[findings->count++];
  *f = (sim_finding){.transport = transport, .axis = axis};
  va_list args;
  va_start(args, format);
  vsnprintf(f->measured, sizeof f->measured, format, args);
  va_end(args);
}

#define FIND(p, axis, ...) sim_find((p)->out, (p)->transport, axis, __VA_ARGS__)

/* ---- ports ----------------------------------------------------------------------------------- */

static bool open_local(prober *p, int which, unsigned port, sim_local *out) {
  return !sim_local_open(out, p->bench, p->type, which, port);
}

/* A port that was never used. */
static bool fresh_local(prober *p, int which, sim_local *out) {
  p->next_local += LOCAL_STEP;
  return open_local(p, which, p->next_local, out);
}

/* The outside port of a flow; 0: it did not get through. */
static unsigned reach(prober *p, sim_local *local, int which, unsigned port, sim_flow *flow) {
  sim_flow own;
  flow = flow ? flow : &own;
  if (!sim_reach(local, which, port, flow))
    return 0;
  unsigned seen = sim_port(&flow->seen);
  p->outside = flow->seen;
  p->seen[seen] = true;
  p->low = seen < p->low ? seen : p->low;
  p->high = seen > p->high ? seen : p->high;
  return seen;
}

/* The same for the first flow of an inside port. */
static unsigned reach_first(prober *p, sim_local *local, sim_flow *flow) {
  unsigned seen = reach(p, local, 0, SIM_PROBE_PORT_1, flow);
  p->pairs += seen != 0;
  p->same_parity += seen && seen % 2 == sim_port(&local->at) % 2;
  return seen;
}

/* ---- mapping --------------------------------------------------------------------------------- */

/* Four endpoints from one inside port (RFC 5780 4.3, with the fourth as a check). False when
 * nothing gets out. */
static bool measure_map(prober *p) {
  sim_local local;
  unsigned seen[2][2] = {{0}};
  sim_flow flow;
  memset(&flow, 0, sizeof flow);
  if (fresh_local(p, 0, &local))
    for (int i = 0; i < 4; i++)
      seen[i / 2][i % 2] =
          i ? reach(p, &local, i / 2, i % 2 ? SIM_PROBE_PORT_2 : SIM_PROBE_PORT_1, NULL)
            : reach_first(p, &local, &flow);
  bool passes = seen[0][0] && seen[0][1] && seen[1][0] && seen[1][1];
  FIND(p, "outbound", "%s", passes ? "passes" : seen[0][0] ? "in part" : "blocked");
  if (!passes)
    return false;
  p->translated = !sim_same_ip(&flow.seen, &local.at);
  bool by_port = seen[0][0] != seen[0][1] && seen[1][0] != seen[1][1];
  bool not_by_port = seen[0][0] == seen[0][1] && seen[1][0] == seen[1][1];
  bool by_ip = seen[0][0] != seen[1][0] && seen[0][1] != seen[1][1] && seen[0][0] != seen[1][1] &&
               seen[0][1] != seen[1][0];
  const char *map = "mixed";
  if (!p->translated)
    map = not_by_port && seen[0][0] == sim_port(&local.at) ? "none" : map;
  else if (not_by_port)
    map = by_ip ? "ad" : seen[0][0] == seen[1][0] ? "ei" : map;
  else if (by_port && by_ip)
    map = "apd";
  snprintf(p->map, sizeof p->map, "%s", map);
  FIND(p, "map", "%s", map);
  return true;
}

/* ---- filtering ------------------------------------------------------------------------------- */

static const char *refusal_name(enum sim_knock how) {
  static const char *const names[] = {
      [SIM_SILENCE] = "drop", [SIM_ARRIVED] = "passes", [SIM_RESET] = "reset", [SIM_ICMP] = "icmp"};
  return names[how];
}

static void find_refusals(prober *p, enum sim_knock port, enum sim_knock address) {
  if (address == SIM_ARRIVED)
    FIND(p, "unsolicited", "hidden"); /* nothing is refused */
  else if (port != SIM_ARRIVED && port != address)
    FIND(p, "unsolicited", "%s and %s", refusal_name(port), refusal_name(address));
  else
    FIND(p, "unsolicited", "%s", refusal_name(address));
}

/* Where the answer to what came in from `port` or `address` left from. A mapping that does not
 * depend on where it goes to shows nothing. */
static void find_reuse(prober *p, const sim_endpoint *mapped, enum sim_knock port,
                       const sim_endpoint *port_answer, enum sim_knock address,
                       const sim_endpoint *address_answer) {
  const sim_endpoint *answer = NULL;
  if (address == SIM_ARRIVED && strcmp(p->map, "ei") != 0)
    answer = address_answer;
  else if (port == SIM_ARRIVED && !strcmp(p->map, "apd"))
    answer = port_answer;
  if (!answer)
    FIND(p, "reuse", "hidden");
  else if (answer->any.sa_family == AF_UNSPEC)
    FIND(p, "reuse", "no answer");
  else
    FIND(p, "reuse", "%s", sim_same(answer, mapped) ? "on" : "off");
}

/* One inside port that wrote to one endpoint; then come the server, another port of its, and
 * another address (RFC 5780 4.4). */
static void measure_filter(prober *p) {
  sim_local local;
  sim_flow flow;
  sim_endpoint port_answer, address_answer;
  if (!fresh_local(p, 0, &local) || !reach_first(p, &local, &flow) ||
      !sim_flow_answered(&local, &flow)) {
    FIND(p, "filter", "no answer");
    return;
  }
  enum sim_knock port =
      sim_knock(p->bench, p->type, &local, 0, STRANGER_PORT, &flow.seen, &port_answer);
  enum sim_knock address =
      sim_knock(p->bench, p->type, &local, 1, OTHER_STRANGER_PORT, &flow.seen, &address_answer);
  const char *filter = "mixed";
  if (port == SIM_ARRIVED)
    filter = address != SIM_ARRIVED ? "ad" : p->translated ? "ei" : "none";
  else if (address != SIM_ARRIVED)
    filter = "apd";
  FIND(p, "filter", "%s", filter);
  find_refusals(p, port, address);
  if (p->translated)
    find_reuse(p, &flow.seen, port, &port_answer, address, &address_answer);
}

/* ---- allocation ------------------------------------------------------------------------------ */

/* The step of a sequence that may start again once; 0: it is none. */
static int step_of(const unsigned ports[SAMPLES]) {
  int step = 0, breaks = 0;
  for (int i = 1; i < SAMPLES; i++) {
    int difference = (int)ports[i] - (int)ports[i - 1];
    if (difference < 0)
      breaks++;
    else if (!step)
      step = difference;
    else if (difference != step)
      return 0;
  }
  return breaks <= 1 ? step : 0;
}

/* The next lower port that was not given out, as far as the lowest that was. */
static unsigned unseen_below(const prober *p, unsigned port) {
  while (port > p->low && p->seen[port])
    port--;
  return port;
}

/* A NAT that keeps ports, but gives out few: does it keep one that lies among those seen? */
static bool keeps_within(prober *p, const unsigned ports[SAMPLES]) {
  int kept = 0;
  for (int i = 0; i < 3; i++) {
    sim_local local;
    unsigned port = unseen_below(p, i ? ports[i] : p->high);
    kept += open_local(p, 0, port, &local) && reach(p, &local, 0, SIM_PROBE_PORT_1, NULL) == port;
  }
  return kept >= 2; /* one may have been taken by chance */
}

/* What is kept at the ends of all ports, for the range of a NAT that keeps them. */
static void try_ends(prober *p) {
  static const unsigned ends[] = {1023, 1024, MAX_PORT};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    sim_local local;
    if (open_local(p, 0, ends[i], &local))
      reach(p, &local, 0, SIM_PROBE_PORT_1, NULL);
  }
}

static void measure_alloc(prober *p) {
  unsigned ports[SAMPLES];
  bool kept = true;
  for (int i = 0; i < SAMPLES; i++) {
    sim_local local;
    ports[i] = fresh_local(p, 0, &local) ? reach_first(p, &local, NULL) : 0;
    kept &= ports[i] == sim_port(&local.at);
    if (!ports[i]) {
      FIND(p, "alloc", "no mapping for the %d. port", i + 1);
      return;
    }
  }
  int step = step_of(ports);
  p->preserving = kept || (step == 0 && keeps_within(p, ports));
  if (p->preserving)
    FIND(p, "alloc", "preserving");
  else if (step)
    FIND(p, "alloc", "sequential:%d", step);
  else
    FIND(p, "alloc", "random");
  if (p->preserving)
    try_ends(p);
}

/* Two inside hosts use one port: to two servers, where sharing the outside port would go unnoticed
 * (RFC 4787 REQ-3 forbids it), and to the same. */
static void measure_clash(prober *p) {
  sim_local one, other;
  sim_flow one_flow, other_flow, same_flow;
  if (!fresh_local(p, 0, &one) || !open_local(p, 1, sim_port(&one.at), &other))
    return;
  unsigned one_port = reach(p, &one, 0, SIM_PROBE_PORT_1, &one_flow);
  unsigned other_port = reach(p, &other, 1, SIM_PROBE_PORT_1, &other_flow);
  unsigned same_port = reach(p, &other, 0, SIM_PROBE_PORT_1, &same_flow);
  if (!one_port || !other_port || !same_port)
    FIND(p, "clash", "lost");
  else if (one_port == other_port || one_port == same_port)
    FIND(p, "clash", "shared");
  else if (!sim_flow_answered(&one, &one_flow) || !sim_flow_answered(&other, &same_flow) ||
           !sim_flow_answered(&other, &other_flow))
    FIND(p, "clash", "mixed up");
  else
    FIND(p, "clash", "separate");
}

/* ---- hairpin --------------------------------------------------------------------------------- */

/* A filter that depends on the remote endpoint lets an inside host in only by the mapping that it
 * was written to by; where a mapping depends on the remote too, nobody knows that one. */
static void measure_hairpin(prober *p, const char *filter) {
  sim_local one, other;
  sim_flow one_flow, other_flow;
  sim_endpoint source;
  if (!fresh_local(p, 0, &one) || !fresh_local(p, 1, &other) || !reach_first(p, &one, &one_flow) ||
      !reach_first(p, &other, &other_flow))
    return;
  if (sim_cross(&one, &one_flow.seen, &other, &other_flow.seen, &source))
    FIND(p, "hairpin", "%s", sim_same_ip(&source, &one_flow.seen) ? "on" : "internal");
  else if (strcmp(p->map, "ei") != 0 && strcmp(filter, "ei") != 0)
    FIND(p, "hairpin", "hidden");
  else
    FIND(p, "hairpin", "off");
}

/* ---- strays ---------------------------------------------------------------------------------- */

/* A stray that the router's own stack takes in stands in its table of connections: the port that
 * it came to is taken for a flow back to its source. */
static bool takes_port(prober *p, unsigned port) {
  sim_local local;
  return open_local(p, 0, port, &local) && reach(p, &local, 0, SIM_PROBE_PORT_1, NULL) != port;
}

static void measure_strays(prober *p) {
  unsigned port = unseen_below(p, p->high);
  if (p->seen[port]) /* they are all in a row */
    port = p->high < MAX_PORT ? p->high + 1 : p->low - 1;
  sim_endpoint target = sim_with_port(&p->outside, port), answer;
  enum sim_knock how = sim_knock(p->bench, p->type, NULL, 0, SIM_PROBE_PORT_1, &target, &answer);
  if (how == SIM_SILENCE)
    FIND(p, "strays", "drop");
  else if (!p->preserving)
    FIND(p, "strays", "answered");
  else
    FIND(p, "strays", "%s", takes_port(p, port) ? "accept" : "reject");
}

/* ---- the whole ------------------------------------------------------------------------------- */

void sim_measure(sim_bench *bench, int type, sim_findings *out) {
  static prober p; /* large */
  p = (prober){.bench = bench,
               .type = type,
               .transport = type == SOCK_DGRAM ? "udp" : "tcp",
               .out = out,
               .next_local = FIRST_LOCAL,
               .low = MAX_PORT};
  if (!measure_map(&p))
    return;
  size_t filter = out->count;
  measure_filter(&p);
  if (!p.translated)
    return;
  measure_alloc(&p);
  measure_clash(&p);
  measure_hairpin(&p, out->all[filter].measured);
  measure_strays(&p);
  FIND(&p, "range", "%u-%u", p.low, p.high);
  FIND(&p, "parity", "%s", p.same_parity == p.pairs ? "kept" : "free");
}
