/* A NAT as a table of sessions, as Linux keeps it: an inside address, the external port it got, and
 * a remote address. Mappings and filters are read off the living sessions. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

enum { OPENINGS = 16, BUCKETS = 1024, PORT_MIN = 1024, PORT_COUNT = 65536 - PORT_MIN };

typedef struct session {
  wg_list by_port, by_inside;
  uint8_t proto;
  uint16_t port; /* external */
  warp_addr inside, remote;
  warp_addr shown; /* the remote address as the inside sees it */
  uint64_t expires_us;
  bool opened; /* the inside sent on it: only then is its mapping there for other remotes */
} session;

/* A port that the inside asked for: everybody may come in by it. */
typedef struct opening {
  uint8_t proto; /* 0: unused */
  uint16_t port;
  warp_addr inside;
} opening;

struct sim_nat_box {
  sim_nat nat;
  warp_addr external;
  opening openings[OPENINGS];
  wg_rng rng;
  uint16_t next_port;
  wg_list by_port[BUCKETS], by_inside[BUCKETS];
};

sim_nat_box *sim_nat_new(const sim_world *world, const char *name, const warp_addr *external,
                         const sim_nat *nat) {
  sim_nat_box *box = sim_alloc(sizeof *box);
  box->nat = *nat;
  box->external = *external;
  sim_rng(world, "nat", name, &box->rng);
  box->next_port = (uint16_t)(PORT_MIN + wg_rng_below(&box->rng, PORT_COUNT));
  for (size_t i = 0; i < BUCKETS; i++) {
    wg_list_init(&box->by_port[i]);
    wg_list_init(&box->by_inside[i]);
  }
  return box;
}

static void forget(session *entry) {
  wg_list_remove(&entry->by_port);
  wg_list_remove(&entry->by_inside);
  free(entry);
}

void sim_nat_flush(sim_nat_box *box) {
  for (size_t i = 0; i < BUCKETS; i++) {
    while (!wg_list_empty(&box->by_port[i])) {
      forget(WG_CONTAINER(box->by_port[i].next, session, by_port));
    }
  }
  memset(box->openings, 0, sizeof box->openings);
}

void sim_nat_free(sim_nat_box *box) {
  if (box != NULL) {
    sim_nat_flush(box);
    free(box);
  }
}

const warp_addr *sim_nat_external(const sim_nat_box *box) {
  return &box->external;
}

bool sim_nat_resets(const sim_nat_box *box) {
  return box->nat.resets;
}

size_t sim_nat_count(sim_nat_box *box, uint64_t now_us) {
  size_t count = 0;
  for (size_t i = 0; i < BUCKETS; i++) {
    for (wg_list *item = box->by_port[i].next; item != &box->by_port[i]; item = item->next) {
      count += WG_CONTAINER(item, session, by_port)->expires_us > now_us;
    }
  }
  return count;
}

/* ---- the table ------------------------------------------------------------------------------- */

static wg_list *port_bucket(sim_nat_box *box, uint16_t port) {
  return &box->by_port[port % BUCKETS];
}

static wg_list *inside_bucket(sim_nat_box *box, const warp_addr *inside) {
  return &box->by_inside[wg_addr_hash(inside, 0) % BUCKETS];
}

static void refresh(sim_nat_box *box, session *entry, uint64_t now_us) {
  uint32_t ms = entry->proto == WARP_UDP ? box->nat.udp_timeout_ms : box->nat.tcp_timeout_ms;
  entry->expires_us = now_us + (uint64_t)ms * 1000;
}

static session *add(sim_nat_box *box, uint8_t proto, const warp_addr *inside, uint16_t port,
                    const warp_addr *remote) {
  session *entry = sim_alloc(sizeof *entry);
  entry->proto = proto;
  entry->inside = *inside;
  entry->port = port;
  entry->remote = entry->shown = *remote;
  wg_list_push(port_bucket(box, port), &entry->by_port);
  wg_list_push(inside_bucket(box, inside), &entry->by_inside);
  return entry;
}

/* How far two remote addresses have in common what a behaviour of this dependence looks at. */
static bool same_remote(warp_nat_dependence dependence, const warp_addr *a, const warp_addr *b) {
  switch (dependence) {
  case WARP_NAT_ENDPOINT_INDEPENDENT:
    return true;
  case WARP_NAT_ADDRESS_DEPENDENT:
    return wg_addr_same_ip(a, b);
  default:
    return wg_addr_equal(a, b);
  }
}

/* May a packet of the inside leave by this session? */
static bool keeps_port(const sim_nat_box *box, const session *entry) {
  return entry->opened || !box->nat.strict || entry->proto != WARP_UDP;
}

/* A session of the inside address towards `remote`, or one that `remote` shares by the mapping's
 * dependence. */
static session *find_outgoing(sim_nat_box *box, uint64_t now_us, uint8_t proto,
                              const warp_addr *inside, const warp_addr *remote, bool exact) {
  wg_list *bucket = inside_bucket(box, inside);
  for (wg_list *item = bucket->next, *next; item != bucket; item = next) {
    session *entry = WG_CONTAINER(item, session, by_inside);
    next = item->next;
    if (entry->expires_us <= now_us) {
      forget(entry);
    } else if (entry->proto == proto && wg_addr_equal(&entry->inside, inside) &&
               (exact ? keeps_port(box, entry) && wg_addr_equal(&entry->shown, remote)
                      : entry->opened && same_remote(box->nat.mapping, &entry->remote, remote))) {
      return entry;
    }
  }
  return NULL;
}

/* A session of the external port that lets `remote` in, by the filter's dependence or exactly. */
static session *find_incoming(sim_nat_box *box, uint64_t now_us, uint8_t proto, uint16_t port,
                              const warp_addr *remote, bool exact) {
  wg_list *bucket = port_bucket(box, port);
  for (wg_list *item = bucket->next, *next; item != bucket; item = next) {
    session *entry = WG_CONTAINER(item, session, by_port);
    next = item->next;
    if (entry->expires_us <= now_us) {
      forget(entry);
    } else if (entry->proto == proto && entry->port == port &&
               (exact ? wg_addr_equal(&entry->remote, remote)
                      : same_remote(box->nat.filtering, &entry->remote, remote))) {
      return entry;
    }
  }
  return NULL;
}

static bool port_free(sim_nat_box *box, uint64_t now_us, uint8_t proto, uint16_t port) {
  wg_list *bucket = port_bucket(box, port);
  for (wg_list *item = bucket->next; item != bucket; item = item->next) {
    const session *entry = WG_CONTAINER(item, session, by_port);
    if (entry->expires_us > now_us && entry->proto == proto && entry->port == port) {
      return false;
    }
  }
  return true;
}

static uint16_t after(uint16_t port, uint16_t step) {
  return (uint16_t)(PORT_MIN + (port - PORT_MIN + step) % PORT_COUNT);
}

/* A free external port, or 0. */
static uint16_t allocate(sim_nat_box *box, uint64_t now_us, uint8_t proto, uint16_t inside_port) {
  uint16_t port = 0;
  uint16_t step = 1;
  if (box->nat.allocation == WARP_ALLOC_PRESERVING && inside_port >= PORT_MIN &&
      port_free(box, now_us, proto, inside_port)) {
    return inside_port;
  }
  if (box->nat.allocation == WARP_ALLOC_SEQUENTIAL) {
    port = box->next_port;
    step = box->nat.step;
  } else {
    port = (uint16_t)(PORT_MIN + wg_rng_below(&box->rng, PORT_COUNT));
  }
  for (unsigned tries = 0; tries < PORT_COUNT; tries++) {
    if (port_free(box, now_us, proto, port)) {
      box->next_port = after(port, step);
      return port;
    }
    port = after(port, step);
  }
  return 0;
}

/* ---- opened ports ---------------------------------------------------------------------------- */

static opening *find_opening(sim_nat_box *box, uint8_t proto, uint16_t port) {
  for (size_t i = 0; i < OPENINGS; i++) {
    if (box->openings[i].proto == proto && box->openings[i].port == port) {
      return &box->openings[i];
    }
  }
  return NULL;
}

bool sim_nat_open(sim_nat_box *box, uint8_t proto, uint16_t port, const warp_addr *inside) {
  opening *found = find_opening(box, proto, port);
  if (found != NULL) {
    return wg_addr_equal(&found->inside, inside);
  }
  found = find_opening(box, 0, 0);
  if (found == NULL || port < PORT_MIN) {
    return false;
  }
  *found = (opening){.proto = proto, .port = port, .inside = *inside};
  return true;
}

void sim_nat_close(sim_nat_box *box, uint8_t proto, uint16_t port) {
  opening *found = find_opening(box, proto, port);
  if (found != NULL) {
    *found = (opening){0};
  }
}

size_t sim_nat_openings(const sim_nat_box *box) {
  size_t count = 0;
  for (size_t i = 0; i < OPENINGS; i++) {
    count += box->openings[i].proto != 0;
  }
  return count;
}

/* ---- translating ----------------------------------------------------------------------------- */

bool sim_nat_out(sim_nat_box *box, uint64_t now_us, uint8_t proto, warp_addr *src, warp_addr *dst) {
  if (box->nat.no_udp && proto == WARP_UDP) {
    return false;
  }
  session *entry = find_outgoing(box, now_us, proto, src, dst, true);
  if (entry == NULL) {
    const session *mapped = find_outgoing(box, now_us, proto, src, dst, false);
    uint16_t port = mapped != NULL ? mapped->port : allocate(box, now_us, proto, src->port);
    if (port == 0) {
      return false;
    }
    entry = add(box, proto, src, port, dst);
  }
  entry->opened = true;
  refresh(box, entry, now_us);
  *src = wg_addr_with_port(&box->external, entry->port);
  *dst = entry->remote;
  return true;
}

/* Two sessions of an inside address with one remote address would make answers ambiguous. Linux
 * then shows the younger one from another port of the remote, and so do we. A strict NAT has no
 * answers that leave by a session from outside. */
static warp_addr show_apart(sim_nat_box *box, uint64_t now_us, uint8_t proto,
                            const warp_addr *inside, const warp_addr *remote) {
  warp_addr shown = *remote;
  if (box->nat.strict && proto == WARP_UDP) {
    return shown;
  }
  while (find_outgoing(box, now_us, proto, inside, &shown, true) != NULL) {
    shown.port = (uint16_t)(PORT_MIN + wg_rng_below(&box->rng, PORT_COUNT));
  }
  return shown;
}

bool sim_nat_in(sim_nat_box *box, uint64_t now_us, uint8_t proto, warp_addr *src, warp_addr *dst) {
  if (box->nat.no_udp && proto == WARP_UDP) {
    return false;
  }
  session *entry = find_incoming(box, now_us, proto, dst->port, src, true);
  if (entry == NULL) {
    const opening *asked_for = find_opening(box, proto, dst->port);
    const session *like = find_incoming(box, now_us, proto, dst->port, src, false);
    if (like == NULL && asked_for == NULL) {
      return false;
    }
    /* An answer to it will leave by the same session, so from the same port. */
    warp_addr inside = asked_for != NULL ? asked_for->inside : like->inside;
    warp_addr shown = show_apart(box, now_us, proto, &inside, src);
    entry = add(box, proto, &inside, dst->port, src);
    entry->shown = shown;
  }
  refresh(box, entry, now_us);
  *src = entry->shown;
  *dst = entry->inside;
  return true;
}

/* ---- profiles -------------------------------------------------------------------------------- */

static bool is_word(const char *word, const char *text, size_t len) {
  return len == strlen(word) && memcmp(text, word, len) == 0;
}

static bool parse_dependence(const char *text, size_t len, warp_nat_dependence *out) {
  static const char *const names[] = {"ei", "ad", "apd"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (is_word(names[i], text, len)) {
      *out = (warp_nat_dependence)(WARP_NAT_ENDPOINT_INDEPENDENT + i);
      return true;
    }
  }
  return false;
}

/* What a name says before the first "+". */
static int parse_name(const char *name, size_t len, sim_nat *out) {
  static const struct {
    const char *name;
    warp_nat_dependence mapping, filtering;
    warp_nat_allocation allocation;
  } profiles[] = {
      {"open", WARP_NAT_UNKNOWN, WARP_NAT_UNKNOWN, WARP_ALLOC_UNKNOWN},
      {"full-cone", WARP_NAT_ENDPOINT_INDEPENDENT, WARP_NAT_ENDPOINT_INDEPENDENT,
       WARP_ALLOC_PRESERVING},
      {"restricted", WARP_NAT_ENDPOINT_INDEPENDENT, WARP_NAT_ADDRESS_DEPENDENT,
       WARP_ALLOC_PRESERVING},
      {"port-restricted", WARP_NAT_ENDPOINT_INDEPENDENT, WARP_NAT_ADDRESS_AND_PORT_DEPENDENT,
       WARP_ALLOC_PRESERVING},
      {"symmetric", WARP_NAT_ADDRESS_AND_PORT_DEPENDENT, WARP_NAT_ADDRESS_AND_PORT_DEPENDENT,
       WARP_ALLOC_RANDOM},
  };
  for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++) {
    if (is_word(profiles[i].name, name, len)) {
      out->mapping = profiles[i].mapping;
      out->filtering = profiles[i].filtering;
      out->allocation = profiles[i].allocation;
      return WARP_OK;
    }
  }
  const char *dash = memchr(name, '-', len);
  out->allocation = WARP_ALLOC_RANDOM;
  if (dash != NULL && parse_dependence(name, (size_t)(dash - name), &out->mapping) &&
      parse_dependence(dash + 1, len - (size_t)(dash + 1 - name), &out->filtering)) {
    return WARP_OK;
  }
  return WARP_NOT_FOUND;
}

static int parse_change(const char *word, size_t len, sim_nat *out) {
  static const struct {
    const char *word;
    warp_nat_allocation allocation;
  } allocations[] = {{"preserving", WARP_ALLOC_PRESERVING},
                     {"sequential", WARP_ALLOC_SEQUENTIAL},
                     {"random", WARP_ALLOC_RANDOM}};
  for (size_t i = 0; i < sizeof allocations / sizeof allocations[0]; i++) {
    if (is_word(allocations[i].word, word, len)) {
      out->allocation = allocations[i].allocation;
      return WARP_OK;
    }
  }
  bool resets = is_word("reset", word, len), strict = is_word("strict", word, len);
  bool no_udp = is_word("no-udp", word, len);
  out->resets |= resets;
  out->strict |= strict;
  out->no_udp |= no_udp;
  return resets || strict || no_udp ? WARP_OK : WARP_NOT_FOUND;
}

int sim_nat_profile(const char *name, sim_nat *out) {
  size_t len = strcspn(name, "+");
  *out = (sim_nat){.step = 1, .udp_timeout_ms = 120000, .tcp_timeout_ms = 7200000};
  int status = parse_name(name, len, out);
  for (name += len; status == WARP_OK && *name == '+'; name += len) {
    len = strcspn(++name, "+");
    status = parse_change(name, len, out);
  }
  return status;
}
