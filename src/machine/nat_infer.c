#include "machine/nat_infer.h"

#include "base/addr.h"

#include <stdlib.h>

enum {
  FULL = 25, /* what an axis adds to the confidence */
  THIN = 15, /* ... when it rests on little */
  /* Two samples make one difference, which random ports give this small once in 2000 times. */
  STEP_OF_ONE_DIFFERENCE_MAX = 16,
  STEP_MAX = 1024, /* constant, but larger: rather a hash than a counter */
  /* Others open flows between our samples: the differences vary then, but stay small. */
  COUNTER_SPREAD_PER_SAMPLE = 32,
  COUNTER_SAMPLES = 6, /* six ports of a small block are in order once in 360 times */
  KEPT_SOCKETS = 2,    /* that many keep their port where ports are preserved */
  PORT_MIN = 1024,
  PORT_MAX = 65535,
  BLOCK_SAMPLES = 8,                             /* that many within so few ports are no chance: */
  BLOCK_SPREAD = (PORT_MAX - PORT_MIN + 1) / 16, /* once in 10^8 */
};

static void trust(warp_nat_axes *axes, bool thin) {
  axes->confidence = (uint8_t)(axes->confidence + (thin ? THIN : FULL));
}

static bool shows_mapping(const wg_probe_test *test, wg_probe_socket socket) {
  return test->kind == WG_PROBE_PLAIN && test->socket == socket &&
         test->outcome == WG_PROBE_ANSWERED;
}

/* ---- servers that contradict each other ------------------------------------------------------ */

/* What a server says by the mapping tests that it answered. */
typedef struct voice {
  bool heard;
  bool constant;    /* both its IPs see the same address: endpoint-independent mapping, or a lie */
  warp_addr mapped; /* the first */
} voice;

static voice voice_of(const wg_probe_test *tests, size_t count, unsigned owner) {
  voice out = {0};
  const wg_probe_test *first = NULL;
  bool differs = false;
  for (size_t i = 0; i < count; i++) {
    const wg_probe_test *test = &tests[i];
    if (!shows_mapping(test, WG_PROBE_MAPPING) || test->owner != owner) {
      continue;
    }
    if (first == NULL) {
      first = test;
      out = (voice){.heard = true, .mapped = test->mapped};
    }
    differs |= !wg_addr_equal(&test->mapped, &first->mapped);
    out.constant |= !wg_addr_same_ip(&test->server, &first->server);
  }
  out.constant &= !differs;
  return out;
}

/* Can both be true of one NAT? It has one external IP, and where one destination is like another,
 * all are. */
static bool agree(const voice *a, const voice *b) {
  return wg_addr_same_ip(&a->mapped, &b->mapped) &&
         (!(a->constant || b->constant) || wg_addr_equal(&a->mapped, &b->mapped));
}

/* What another voice is worth to one: the same address is more than one that may be true too. */
static unsigned support(const voice *a, const voice *b) {
  return !a->heard || !b->heard || !agree(a, b) ? 0 : wg_addr_equal(&a->mapped, &b->mapped) ? 2 : 1;
}

/* Of two servers that contradict each other the one with less support is not heard. True when there
 * are such; `*open` when both have as much. */
static bool settle_contradictions(wg_probe_test *tests, size_t count, bool *open) {
  voice voices[WG_PROBE_SERVERS];
  unsigned votes[WG_PROBE_SERVERS] = {0};
  bool outvoted[WG_PROBE_SERVERS] = {false}, any = false;
  for (unsigned i = 0; i < WG_PROBE_SERVERS; i++) {
    voices[i] = voice_of(tests, count, i);
  }
  for (unsigned i = 0; i < WG_PROBE_SERVERS; i++) {
    for (unsigned j = 0; j < WG_PROBE_SERVERS; j++) {
      votes[i] += support(&voices[i], &voices[j]);
    }
  }
  for (unsigned i = 0; i < WG_PROBE_SERVERS; i++) {
    for (unsigned j = 0; j < WG_PROBE_SERVERS; j++) {
      if (voices[i].heard && voices[j].heard && !agree(&voices[i], &voices[j])) {
        any = true;
        *open |= votes[i] == votes[j];
        outvoted[i] |= votes[i] < votes[j];
      }
    }
  }
  for (size_t i = 0; i < count; i++) {
    if (outvoted[tests[i].owner]) {
      tests[i].outcome = WG_PROBE_RUNNING;
    }
  }
  return any;
}

/* ---- translation ----------------------------------------------------------------------------- */

static bool is_unspecified(const warp_addr *addr) {
  warp_addr any = wg_addr_any(addr->family, 0);
  return wg_addr_same_ip(addr, &any);
}

static void infer_translation(const wg_probe_test *tests, size_t count, warp_nat_axes *axes) {
  for (size_t i = 0; i < count; i++) {
    if (!shows_mapping(&tests[i], WG_PROBE_MAPPING)) {
      continue;
    }
    warp_addr mapped = tests[i].mapped;
    const warp_addr *local = &tests[i].local;
    bool same_port = mapped.port == local->port;
    if (same_port && is_unspecified(local)) {
      continue; /* the interface's address is not known: it may be the one that is seen */
    }
    if (!same_port || !wg_addr_same_ip(&mapped, local)) {
      axes->translation = WARP_TRANSLATION_NAT;
      break;
    }
    axes->translation = WARP_TRANSLATION_NONE;
  }
  if (axes->translation != WARP_TRANSLATION_UNKNOWN) {
    trust(axes, false);
  }
}

/* ---- mapping --------------------------------------------------------------------------------- */

/* What pairs of destinations have shown. */
typedef struct pairs {
  bool other_ip_same, other_ip_differs;     /* destinations of different IP */
  bool other_port_same, other_port_differs; /* of the same IP and different port */
} pairs;

static pairs compare_pairs(const wg_probe_test *tests, size_t count) {
  pairs seen = {0};
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < i && shows_mapping(&tests[i], WG_PROBE_MAPPING); j++) {
      if (!shows_mapping(&tests[j], WG_PROBE_MAPPING)) {
        continue;
      }
      bool same = wg_addr_equal(&tests[i].mapped, &tests[j].mapped);
      if (wg_addr_same_ip(&tests[i].server, &tests[j].server)) {
        seen.other_port_same |= same;
        seen.other_port_differs |= !same;
      } else {
        seen.other_ip_same |= same;
        seen.other_ip_differs |= !same;
      }
    }
  }
  return seen;
}

static void infer_mapping(const wg_probe_test *tests, size_t count, warp_nat_axes *axes) {
  pairs seen = compare_pairs(tests, count);
  if (seen.other_port_differs) {
    axes->mapping = WARP_NAT_ADDRESS_AND_PORT_DEPENDENT;
    trust(axes, false);
  } else if (seen.other_ip_differs) {
    /* Without a second port of one address the harder behaviour is taken for granted. */
    axes->mapping =
        seen.other_port_same ? WARP_NAT_ADDRESS_DEPENDENT : WARP_NAT_ADDRESS_AND_PORT_DEPENDENT;
    trust(axes, !seen.other_port_same);
  } else if (seen.other_ip_same) {
    axes->mapping = WARP_NAT_ENDPOINT_INDEPENDENT;
    trust(axes, false);
  } else if (axes->translation == WARP_TRANSLATION_NONE) {
    axes->mapping = WARP_NAT_ENDPOINT_INDEPENDENT; /* one destination saw no translation at all */
    trust(axes, true);
  }
}

/* ---- filtering ------------------------------------------------------------------------------- */

/* Of several tests of a kind the one that tells most: an answer, then a silence, then a refusal. */
static const wg_probe_test *find_kind(const wg_probe_test *tests, size_t count,
                                      wg_probe_kind kind) {
  static const unsigned worth[] = {[WG_PROBE_RUNNING] = 0,
                                   [WG_PROBE_REFUSED] = 1,
                                   [WG_PROBE_SILENT] = 2,
                                   [WG_PROBE_ANSWERED] = 3};
  const wg_probe_test *best = NULL;
  for (size_t i = 0; i < count; i++) {
    if (tests[i].socket == WG_PROBE_FILTERING && tests[i].kind == kind &&
        (best == NULL || worth[tests[i].outcome] > worth[best->outcome])) {
      best = &tests[i];
    }
  }
  return best;
}

/* Does the address answer that an answer to a change would come from? Only then does silence prove
 * a filter. */
static bool source_answers(const wg_probe_test *tests, size_t count, const wg_probe_test *change) {
  for (size_t i = 0; i < count; i++) {
    if (shows_mapping(&tests[i], WG_PROBE_MAPPING) &&
        wg_addr_equal(&tests[i].server, &change->from)) {
      return true;
    }
  }
  return false;
}

/* An answer that came, from another IP or only from another port. */
static bool came_from_other(const wg_probe_test *test, bool other_ip) {
  return test->outcome == WG_PROBE_ANSWERED &&
         wg_addr_same_ip(&test->from, &test->server) != other_ip;
}

static void infer_filtering(const wg_probe_test *tests, size_t count, warp_nat_axes *axes) {
  const wg_probe_test *both = find_kind(tests, count, WG_PROBE_CHANGE_BOTH);
  const wg_probe_test *port = find_kind(tests, count, WG_PROBE_CHANGE_PORT);
  const wg_probe_test *plain = find_kind(tests, count, WG_PROBE_PLAIN);
  if (both == NULL || port == NULL || plain == NULL) {
    return;
  }
  if (came_from_other(both, true) || came_from_other(port, true)) {
    axes->filtering = WARP_NAT_ENDPOINT_INDEPENDENT;
    trust(axes, false);
    return;
  }
  if (both->outcome != WG_PROBE_SILENT || plain->outcome != WG_PROBE_ANSWERED ||
      !source_answers(tests, count, both)) {
    return; /* the server cannot, or nothing reaches socket 1 */
  }
  if (came_from_other(port, false)) {
    axes->filtering = WARP_NAT_ADDRESS_DEPENDENT;
  } else if (port->outcome == WG_PROBE_SILENT && source_answers(tests, count, port)) {
    axes->filtering = WARP_NAT_ADDRESS_AND_PORT_DEPENDENT;
  } else {
    return;
  }
  trust(axes, plain->sent > 1); /* silence says less where packets are lost on the way */
}

/* ---- hairpin and reuse ----------------------------------------------------------------------- */

static void infer_hairpin(const wg_probe_test *tests, size_t count, warp_nat_axes *axes) {
  bool tried = false, shown = false;
  for (size_t i = 0; i < count; i++) {
    if (tests[i].kind == WG_PROBE_HAIRPIN && tests[i].outcome != WG_PROBE_RUNNING) {
      tried = true;
      shown |= tests[i].outcome == WG_PROBE_ANSWERED;
    }
  }
  if (shown) {
    axes->hairpin = WARP_ABILITY_YES;
  } else if (tried && (axes->mapping == WARP_NAT_ENDPOINT_INDEPENDENT ||
                       axes->filtering == WARP_NAT_ENDPOINT_INDEPENDENT)) {
    /* With other behaviour the packets do not fit to each other, and prove nothing. */
    axes->hairpin = WARP_ABILITY_NO;
  }
}

/* The answer to a packet that came in unasked is seen by the mapping it came in by, or by another
 * one. Only where the NAT would give each destination another mapping does that tell anything. */
static void infer_reuse(const wg_probe_test *tests, size_t count, warp_nat_axes *axes) {
  const wg_probe_test *plain = find_kind(tests, count, WG_PROBE_PLAIN);
  if (axes->mapping == WARP_NAT_ENDPOINT_INDEPENDENT) {
    axes->reuse =
        axes->translation == WARP_TRANSLATION_UNKNOWN ? WARP_ABILITY_UNKNOWN : WARP_ABILITY_YES;
    return;
  }
  for (size_t i = 0; i < count && plain != NULL && plain->outcome == WG_PROBE_ANSWERED; i++) {
    const wg_probe_test *test = &tests[i];
    bool same_ip = wg_addr_same_ip(&test->server, &plain->server);
    if (test->kind != WG_PROBE_REUSE || test->outcome != WG_PROBE_ANSWERED ||
        (same_ip && axes->mapping == WARP_NAT_ADDRESS_DEPENDENT)) {
      continue;
    }
    axes->reuse = wg_addr_equal(&test->mapped, &plain->mapped) ? WARP_ABILITY_YES : WARP_ABILITY_NO;
  }
}

/* ---- allocation ------------------------------------------------------------------------------ */

/* The external ports of distinct mappings, in the order in which they were made. */
static size_t distinct_ports(const wg_probe_test *tests, size_t count, int out[WG_PROBE_TESTS]) {
  size_t found = 0;
  for (size_t i = 0; i < count && found < WG_PROBE_TESTS; i++) {
    bool known = tests[i].kind != WG_PROBE_PLAIN || tests[i].outcome != WG_PROBE_ANSWERED;
    for (size_t j = 0; !known && j < found; j++) {
      known = out[j] == tests[i].mapped.port;
    }
    if (!known) {
      out[found++] = tests[i].mapped.port;
    }
  }
  return found;
}

/* The constant difference of consecutive ports, or 0. */
static int constant_step(const int *ports, size_t count) {
  if (count < 2) {
    return 0;
  }
  int step = ports[1] - ports[0];
  for (size_t i = 2; i < count; i++) {
    if (ports[i] - ports[i - 1] != step) {
      return 0;
    }
  }
  int limit = count == 2 ? STEP_OF_ONE_DIFFERENCE_MAX : STEP_MAX;
  return abs(step) <= limit ? step : 0;
}

static int common_divisor(int a, int b) {
  while (b != 0) {
    int rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

/* The step of a counter that other hosts, and our own tests over another transport, count on too:
 * the samples go one way, but for some that overtook each other, and stay close. 0: no counter.
 * Eight random ports of a block of 512 with one step back look like that once in 2000 times; but
 * that step is as small as those forward only once in 10^5. */
static int shared_counter_step(const int *ports, size_t count) {
  int low = ports[0], high = ports[0], divisor = 0, most_up = 0, most_down = 0;
  size_t up = 0, down = 0;
  for (size_t i = 1; i < count; i++) {
    low = ports[i] < low ? ports[i] : low;
    high = ports[i] > high ? ports[i] : high;
    int step = ports[i] - ports[i - 1];
    divisor = common_divisor(abs(step), divisor);
    up += step > 0;
    down += step < 0;
    most_up = step > most_up ? step : most_up;
    most_down = -step > most_down ? -step : most_down;
  }
  bool close = high - low <= COUNTER_SPREAD_PER_SAMPLE * (int)count;
  size_t against = up < down ? up : down;
  int back = up < down ? most_up : most_down;
  if (count < COUNTER_SAMPLES || !close || 8 * against > count ||
      back > COUNTER_SPREAD_PER_SAMPLE) {
    return 0;
  }
  return up > down ? divisor : -divisor;
}

/* A range is claimed only when ports are drawn from few. A share of what was seen is added at both
 * ends, because the outermost samples are not the outermost ports. */
static void infer_range(const int *ports, size_t count, warp_nat_axes *axes) {
  int low = PORT_MAX, high = 0;
  for (size_t i = 0; i < count; i++) {
    low = ports[i] < low ? ports[i] : low;
    high = ports[i] > high ? ports[i] : high;
  }
  if (count < BLOCK_SAMPLES || high - low >= BLOCK_SPREAD) {
    return;
  }
  int share = 2 * (high - low) / (int)count + 1;
  low = low - share < PORT_MIN ? PORT_MIN : low - share;
  high = high + share > PORT_MAX ? PORT_MAX : high + share;
  axes->port_low = (uint16_t)(low < high ? low : high);
  axes->port_high = (uint16_t)high;
}

void wg_nat_share_block(warp_nat_axes *tcp, const warp_nat_axes *udp, uint16_t low, uint16_t high) {
  if (tcp->allocation != WARP_ALLOC_RANDOM || tcp->port_high != 0 || udp->port_high == 0) {
    return;
  }
  /* Of a small block the outermost of a few more samples often lies outside of what the first have
   * shown: of eight and five, once in seven times. */
  bool inside = low >= udp->port_low && high <= udp->port_high;
  low = low < udp->port_low ? low : udp->port_low;
  high = high > udp->port_high ? high : udp->port_high;
  if (inside || high - low < BLOCK_SPREAD) {
    tcp->port_low = low;
    tcp->port_high = high;
  }
}

void wg_nat_share_counter(warp_nat_axes *tcp, const warp_nat_axes *udp, uint16_t low,
                          uint16_t high) {
  /* Of five connections two that overtake each other hide a counter, but not that they lie
   * together: random ports do that once in 10^5 times when they are three, of five once in 10^9. */
  if (tcp->allocation == WARP_ALLOC_RANDOM && udp->allocation == WARP_ALLOC_SEQUENTIAL &&
      high - low <= COUNTER_SPREAD_PER_SAMPLE * 4) {
    tcp->allocation = WARP_ALLOC_SEQUENTIAL;
    tcp->step = udp->step;
    tcp->port_low = tcp->port_high = 0;
  }
}

static void add_once(warp_addr list[WG_PROBE_TESTS], size_t *count, const warp_addr *addr) {
  for (size_t i = 0; i < *count; i++) {
    if (wg_addr_equal(&list[i], addr)) {
      return;
    }
  }
  if (*count < WG_PROBE_TESTS) {
    list[(*count)++] = *addr;
  }
}

/* With a mapping that depends on the destination only the first one keeps the port, so one match of
 * a socket counts for it. Among a dozen random ports, or those that a counter goes by, one match
 * comes by chance once in 5000 times, and a second one not in 10^7. */
static bool is_preserved(const wg_probe_test *tests, size_t count) {
  warp_addr sockets[WG_PROBE_TESTS], kept[WG_PROBE_TESTS];
  size_t socket_count = 0, kept_count = 0;
  for (size_t i = 0; i < count; i++) {
    const wg_probe_test *test = &tests[i];
    if (test->kind == WG_PROBE_PLAIN && test->outcome == WG_PROBE_ANSWERED) {
      add_once(sockets, &socket_count, &test->local);
      if (test->mapped.port == test->local.port) {
        add_once(kept, &kept_count, &test->local);
      }
    }
  }
  return kept_count >= KEPT_SOCKETS || (kept_count > 0 && socket_count <= KEPT_SOCKETS);
}

static void infer_allocation(const wg_probe_test *tests, size_t count, warp_nat_axes *axes) {
  int ports[WG_PROBE_TESTS];
  size_t distinct = distinct_ports(tests, count, ports);
  if (distinct == 0) {
    return;
  }
  if (is_preserved(tests, count)) {
    axes->allocation = WARP_ALLOC_PRESERVING;
    trust(axes, false);
    return;
  }
  int step = constant_step(ports, distinct);
  bool regular = step != 0;
  step = regular ? step : shared_counter_step(ports, distinct);
  axes->allocation = step != 0 ? WARP_ALLOC_SEQUENTIAL : WARP_ALLOC_RANDOM;
  axes->step = (int16_t)step;
  if (step == 0) {
    infer_range(ports, distinct, axes);
  }
  trust(axes, distinct <= 2 || (step != 0 && !regular));
}

warp_nat_axes wg_nat_infer(wg_probe_test *tests, size_t count) {
  warp_nat_axes axes = {0};
  bool open = false;
  bool contradicted = settle_contradictions(tests, count, &open);
  infer_translation(tests, count, &axes);
  infer_mapping(tests, count, &axes);
  if (open) { /* as many servers say one thing as another */
    axes = (warp_nat_axes){0};
  }
  infer_filtering(tests, count, &axes);
  if (!open) {
    infer_hairpin(tests, count, &axes);
    infer_reuse(tests, count, &axes);
    infer_allocation(tests, count, &axes);
  }
  axes.confidence = contradicted ? axes.confidence / 2 : axes.confidence;
  return axes;
}
