#include "machine/nat_infer.h"

#include "base/addr.h"

#include <stdlib.h>

enum {
  FULL = 25, /* what an axis adds to the confidence */
  THIN = 15, /* ... when it rests on little */
  /* Two samples make one difference, which random ports give this small once in 2000 times. */
  STEP_OF_ONE_DIFFERENCE_MAX = 16,
  STEP_MAX = 1024, /* constant, but larger: rather a hash than a counter */
};

static void trust(warp_nat_axes *axes, bool thin) {
  axes->confidence = (uint8_t)(axes->confidence + (thin ? THIN : FULL));
}

static bool shows_mapping(const wg_probe_test *test, wg_probe_socket socket) {
  return test->kind == WG_PROBE_PLAIN && test->socket == socket &&
         test->outcome == WG_PROBE_ANSWERED;
}

/* ---- translation ----------------------------------------------------------------------------- */

static bool is_unspecified(const warp_addr *addr) {
  warp_addr any = wg_addr_any(addr->family, 0);
  return wg_addr_same_ip(addr, &any);
}

static void infer_translation(const wg_probe_test *tests, size_t count, const warp_addr *local,
                              warp_nat_axes *axes) {
  for (size_t i = 0; i < count; i++) {
    if (!shows_mapping(&tests[i], WG_PROBE_MAPPING)) {
      continue;
    }
    warp_addr mapped = tests[i].mapped;
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

static const wg_probe_test *find_kind(const wg_probe_test *tests, size_t count,
                                      wg_probe_kind kind) {
  for (size_t i = 0; i < count; i++) {
    if (tests[i].socket == WG_PROBE_FILTERING && tests[i].kind == kind) {
      return &tests[i];
    }
  }
  return NULL;
}

/* Does the server answer at its other IP, or other port, when it is asked there? Only then does a
 * silence of the same address prove a filter. */
static bool answers_at_other(const wg_probe_test *tests, size_t count, const warp_addr *server,
                             bool other_ip) {
  for (size_t i = 0; i < count; i++) {
    if (shows_mapping(&tests[i], WG_PROBE_MAPPING) &&
        wg_addr_same_ip(&tests[i].server, server) != other_ip &&
        (other_ip || tests[i].server.port != server->port)) {
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
      !answers_at_other(tests, count, &both->server, true)) {
    return; /* the server cannot, or nothing reaches socket 1 */
  }
  if (came_from_other(port, false)) {
    axes->filtering = WARP_NAT_ADDRESS_DEPENDENT;
  } else if (port->outcome == WG_PROBE_SILENT &&
             answers_at_other(tests, count, &port->server, false)) {
    axes->filtering = WARP_NAT_ADDRESS_AND_PORT_DEPENDENT;
  } else {
    return;
  }
  trust(axes, plain->sent > 1); /* silence says less where packets are lost on the way */
}

/* ---- allocation ------------------------------------------------------------------------------ */

/* The external ports of distinct mappings, in the order in which they were made. */
static size_t distinct_ports(const wg_probe_test *tests, size_t count,
                             uint16_t out[WG_PROBE_TESTS]) {
  size_t found = 0;
  for (size_t i = 0; i < count; i++) {
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
static int constant_step(const uint16_t *ports, size_t count) {
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

static void infer_allocation(const wg_probe_test *tests, size_t count, const warp_addr *local,
                             warp_nat_axes *axes) {
  uint16_t ports[WG_PROBE_TESTS];
  size_t distinct = distinct_ports(tests, count, ports);
  if (distinct == 0) {
    return;
  }
  for (size_t i = 0; i < count; i++) {
    /* With a mapping that depends on the destination only the first one keeps the port. One match
     * is enough: by chance it comes once in 64512 times. */
    if (tests[i].kind == WG_PROBE_PLAIN && tests[i].outcome == WG_PROBE_ANSWERED &&
        tests[i].mapped.port == local[tests[i].socket].port) {
      axes->allocation = WARP_ALLOC_PRESERVING;
      trust(axes, false);
      return;
    }
  }
  int step = constant_step(ports, distinct);
  axes->allocation = step != 0 ? WARP_ALLOC_SEQUENTIAL : WARP_ALLOC_RANDOM;
  axes->step = (int16_t)step;
  trust(axes, distinct <= 2);
}

warp_nat_axes wg_nat_infer(const wg_probe_test *tests, size_t count,
                           const warp_addr local[WG_PROBE_SOCKETS]) {
  warp_nat_axes axes = {0};
  infer_translation(tests, count, &local[WG_PROBE_MAPPING], &axes);
  infer_mapping(tests, count, &axes);
  infer_filtering(tests, count, &axes);
  infer_allocation(tests, count, local, &axes);
  return axes;
}
