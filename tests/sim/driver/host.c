#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Wall clocks begin at a fixed day, so that runs are repeatable. */
static const int64_t epoch_ms = INT64_C(1750000000000);
/* Monotonic clocks begin apart from each other, so that a time which leaks from one host to another
 * is noticed. */
enum { CLOCK_OFFSET_MIN_US = 1000000, CLOCK_OFFSET_RANGE_US = 3600000000U - 1000000U };
/* The system's range of ephemeral ports on Linux. */
enum { EPHEMERAL_MIN = 32768, EPHEMERAL_COUNT = 60999 - EPHEMERAL_MIN + 1 };

/* ---- clock and timers ------------------------------------------------------------------------ */

static uint64_t host_now_us(wg_env *env) {
  const sim_host *host = SIM_HOST(env);
  return host->world->now_us + host->clock_offset_us;
}

static int64_t host_wall_ms(wg_env *env) {
  const sim_host *host = SIM_HOST(env);
  return epoch_ms + (int64_t)(host->world->now_us / 1000) + host->skew_ms;
}

static void wake_up(void *arg) {
  sim_host *host = arg;
  wg_timers_run(&host->env.timers, host_now_us(&host->env));
  host->env.timers_changed(&host->env);
}

/* Keeps the host's event in the world at the earliest of its timers. */
static void timers_changed(wg_env *env) {
  sim_host *host = SIM_HOST(env);
  uint64_t next_us = wg_timers_next(&env->timers);
  if (next_us == UINT64_MAX) {
    wg_timers_stop(&host->world->events, &host->wake);
    return;
  }
  uint64_t now_us = host_now_us(env);
  uint64_t delay_us = next_us > now_us ? next_us - now_us : 0;
  bool armed = host->wake.running && host->wake.deadline_us == host->world->now_us + delay_us;
  if (!armed) {
    sim_event_start(host->world, &host->wake, delay_us, wake_up, host);
  }
}

static int host_random(wg_env *env, void *out, size_t len) {
  sim_host *host = SIM_HOST(env);
  uint8_t *bytes = out;
  for (size_t i = 0; i < len; i++) {
    bytes[i] = (uint8_t)wg_rng_below(&host->entropy, 256);
  }
  return WARP_OK;
}

static void log_line(void *arg, warp_log_level level, const char *line) {
  static const char *const names[] = {"error", "warn", "info", "debug"};
  const sim_host *host = arg;
  sim_print(host->world, "%s: %s: %s", host->name, names[level], line);
}

/* ---- making hosts ---------------------------------------------------------------------------- */

sim_host *sim_host_new(sim_network *network, const char *name, const char *address) {
  sim_world *world = network->world;
  for (wg_list *item = world->hosts.next; item != &world->hosts; item = item->next) {
    if (strcmp(WG_CONTAINER(item, sim_host, item)->name, name) == 0) {
      sim_fail("two hosts of the name %s", name);
    }
  }
  sim_host *host = sim_alloc(sizeof *host);
  host->world = world;
  host->network = network;
  host->name = sim_copy_string(name);
  host->env = (wg_env){.ops = &sim_env_ops,
                       .log = {.sink = log_line, .arg = host},
                       .timers_changed = timers_changed};
  sim_rng(world, "entropy", name, &host->entropy);
  sim_rng(world, "ports", name, &host->ports);
  wg_rng hardware;
  sim_rng(world, "hardware", name, &hardware);
  host->clock_offset_us = CLOCK_OFFSET_MIN_US + wg_rng_below(&hardware, CLOCK_OFFSET_RANGE_US);
  for (size_t i = 0; i < WG_MAC_LEN; i++) {
    host->macs[0].bytes[i] = (uint8_t)wg_rng_below(&hardware, 256);
  }
  host->macs[0].bytes[0] = 0x02; /* locally administered, unicast */
  host->mac_count = 1;
  host->machine_id_len = 16;
  for (size_t i = 0; i < host->machine_id_len; i++) {
    host->machine_id[i] = (uint8_t)wg_rng_below(&hardware, 256);
  }
  wg_list *lists[] = {&host->files,    &host->udp,     &host->tcp,      &host->listeners,
                      &host->resolves, &host->brokers, &host->portmaps, &host->netwatches};
  for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
    wg_list_init(lists[i]);
  }
  wg_list_push(&world->hosts, &host->item);
  sim_host_add_address(host, address);
  return host;
}

/* The number of the interface in a network, which it keeps when it has no address for a while. */
static unsigned interface_to(sim_host *host, const sim_network *network) {
  unsigned number = 0;
  while (number < host->interface_count && host->interfaces[number] != network) {
    number++;
  }
  if (number == SIM_INTERFACES_MAX) {
    sim_fail("%s was in too many networks", host->name);
  }
  if (number == host->interface_count) {
    host->interfaces[host->interface_count++] = network;
  }
  return number;
}

void sim_host_join(sim_host *host, sim_network *network, const char *address) {
  if (host->address_count == SIM_ADDRESSES_MAX) {
    sim_fail("too many addresses of %s", host->name);
  }
  sim_address *entry = &host->addresses[host->address_count];
  entry->addr = sim_parse_address(address, &entry->bits);
  if (sim_host_has(host, &entry->addr)) {
    sim_fail("%s twice on %s", address, host->name);
  }
  entry->network = network;
  entry->interface = interface_to(host, network);
  host->address_count++;
  sim_netwatches_tell(host);
}

void sim_host_add_address(sim_host *host, const char *address) {
  sim_host_join(host, host->network, address);
}

void sim_host_remove_address(sim_host *host, const char *address) {
  warp_addr addr = sim_parse_address(address, NULL);
  for (size_t i = 0; i < host->address_count; i++) {
    if (wg_addr_same_ip(&host->addresses[i].addr, &addr)) {
      host->address_count--;
      memmove(&host->addresses[i], &host->addresses[i + 1],
              (host->address_count - i) * sizeof host->addresses[0]);
      sim_netwatches_tell(host);
      return;
    }
  }
  sim_fail("%s has no address %s", host->name, address);
}

sim_network *sim_host_network(const sim_host *host, const warp_addr *addr) {
  for (size_t i = 0; i < host->address_count; i++) {
    if (wg_addr_same_ip(&host->addresses[i].addr, addr)) {
      return host->addresses[i].network;
    }
  }
  return host->network;
}

wg_env *sim_host_env(sim_host *host) {
  return &host->env;
}

sim_world *sim_host_world(sim_host *host) {
  return host->world;
}

void sim_host_set_clock_skew_ms(sim_host *host, int64_t skew_ms) {
  host->skew_ms = skew_ms;
}

void sim_host_set_file_status(sim_host *host, int status) {
  host->file_status = status;
}

void sim_host_set_machine_id(sim_host *host, const void *id, size_t len) {
  if (len > sizeof host->machine_id) {
    sim_fail("machine id of %s too long", host->name);
  }
  if (len > 0) {
    memcpy(host->machine_id, id, len);
  }
  host->machine_id_len = len;
}

void sim_host_set_macs(sim_host *host, const wg_mac *macs, size_t count) {
  if (count > SIM_MACS_MAX) {
    sim_fail("too many hardware addresses of %s", host->name);
  }
  memset(host->macs, 0, sizeof host->macs);
  if (count > 0) {
    memcpy(host->macs, macs, count * sizeof *macs);
  }
  host->mac_count = count;
}

/* ---- freeing --------------------------------------------------------------------------------- */

static size_t list_length(const wg_list *list) {
  size_t count = 0;
  for (const wg_list *item = list->next; item != list; item = item->next) {
    count++;
  }
  return count;
}

size_t sim_host_handles(sim_host *host) {
  size_t count = list_length(&host->udp) + list_length(&host->listeners) +
                 list_length(&host->resolves) + list_length(&host->brokers) +
                 list_length(&host->portmaps) + list_length(&host->netwatches);
  for (wg_list *item = host->tcp.next; item != &host->tcp; item = item->next) {
    count += WG_CONTAINER(item, wg_tcp, item)->owned;
  }
  return count + (wg_timers_next(&host->env.timers) != UINT64_MAX);
}

static void host_free(sim_host *host) {
  sim_brokers_free(host);
  sim_resolves_free(host);
  sim_portmaps_free(host);
  sim_netwatches_free(host);
  while (!wg_list_empty(&host->udp)) {
    sim_udp_close(WG_CONTAINER(host->udp.next, wg_udp, item));
  }
  while (!wg_list_empty(&host->listeners)) {
    sim_tcp_listener_close(WG_CONTAINER(host->listeners.next, wg_tcp_listener, item));
  }
  while (!wg_list_empty(&host->tcp)) {
    sim_tcp_free(WG_CONTAINER(host->tcp.next, wg_tcp, item));
  }
  sim_files_free(host);
  wg_timers_stop(&host->world->events, &host->wake);
  wg_list_remove(&host->item);
  free(host->name);
  sim_bury(host->world, host);
}

void sim_hosts_free(sim_world *world) {
  while (!wg_list_empty(&world->hosts)) {
    host_free(WG_CONTAINER(world->hosts.next, sim_host, item));
  }
}

/* ---- addresses ------------------------------------------------------------------------------- */

bool sim_host_has(const sim_host *host, const warp_addr *addr) {
  for (size_t i = 0; i < host->address_count; i++) {
    if (wg_addr_same_ip(&host->addresses[i].addr, addr)) {
      return true;
    }
  }
  return false;
}

static bool is_loopback(const warp_addr *addr) {
  return wg_addr_get_scope(addr) == WG_SCOPE_LOOPBACK;
}

static bool is_any(const warp_addr *addr) {
  warp_addr any = wg_addr_any(addr->family, 0);
  return wg_addr_same_ip(addr, &any);
}

bool sim_host_owns(const sim_host *host, const warp_addr *addr) {
  return is_loopback(addr) || sim_host_has(host, addr);
}

/* The first address of a family, which a default route would pick. */
static const sim_address *default_address(const sim_host *host, int family) {
  for (size_t i = 0; i < host->address_count; i++) {
    if (host->addresses[i].addr.family == family) {
      return &host->addresses[i];
    }
  }
  return NULL;
}

int sim_host_source(const sim_host *host, const warp_addr *local, const warp_addr *to,
                    warp_addr *out) {
  if (wg_addr_get_scope(to) == WG_SCOPE_INVALID) {
    return WARP_UNREACHABLE;
  }
  if (!is_any(local)) {
    *out = *local;
    return is_loopback(local) && !sim_host_owns(host, to) ? WARP_UNREACHABLE : WARP_OK;
  }
  if (sim_host_owns(host, to)) {
    *out = wg_addr_with_port(to, local->port);
    return WARP_OK;
  }
  const sim_address *source = default_address(host, to->family);
  if (source == NULL) {
    return WARP_UNREACHABLE;
  }
  *out = wg_addr_with_port(&source->addr, local->port);
  return WARP_OK;
}

bool sim_bound_matches(const warp_addr *local, const warp_addr *dst) {
  return local->port == dst->port && local->family == dst->family &&
         (is_any(local) || wg_addr_same_ip(local, dst));
}

/* ---- binding --------------------------------------------------------------------------------- */

/* Whether two sockets may not be bound so at the same time. */
static bool conflict(const warp_addr *a, unsigned flags_a, const warp_addr *b, unsigned flags_b) {
  if (a->family != b->family || a->port != b->port || (flags_a & flags_b & WG_SOCK_REUSE) != 0) {
    return false;
  }
  return is_any(a) || is_any(b) || wg_addr_same_ip(a, b);
}

static bool udp_taken(const sim_host *host, const warp_addr *local, unsigned flags) {
  for (const wg_list *item = host->udp.next; item != &host->udp; item = item->next) {
    const wg_udp *udp = WG_CONTAINER(item, wg_udp, item);
    if (conflict(local, flags, &udp->local, udp->flags)) {
      return true;
    }
  }
  return false;
}

static bool tcp_taken(const sim_host *host, const warp_addr *local, unsigned flags) {
  for (const wg_list *item = host->listeners.next; item != &host->listeners; item = item->next) {
    const wg_tcp_listener *listener = WG_CONTAINER(item, wg_tcp_listener, item);
    if (conflict(local, flags, &listener->local, listener->flags)) {
      return true;
    }
  }
  for (const wg_list *item = host->tcp.next; item != &host->tcp; item = item->next) {
    const wg_tcp *tcp = WG_CONTAINER(item, wg_tcp, item);
    if (tcp->dialled && tcp->owned && conflict(local, flags, &tcp->local, tcp->flags)) {
      return true;
    }
  }
  return false;
}

static bool port_taken(const sim_host *host, uint8_t proto, const warp_addr *local,
                       unsigned flags) {
  return proto == WARP_UDP ? udp_taken(host, local, flags) : tcp_taken(host, local, flags);
}

int sim_host_bind(sim_host *host, uint8_t proto, const warp_addr *local, unsigned flags,
                  warp_addr *out) {
  if (local->family != WARP_IP4 && local->family != WARP_IP6) {
    return WARP_INVALID;
  }
  if (!is_any(local) && !sim_host_owns(host, local)) {
    return WARP_ADDR_NOT_AVAILABLE;
  }
  *out = *local;
  if (local->port != 0) {
    return port_taken(host, proto, out, flags) ? WARP_ADDR_IN_USE : WARP_OK;
  }
  uint32_t start = wg_rng_below(&host->ports, EPHEMERAL_COUNT);
  for (uint32_t i = 0; i < EPHEMERAL_COUNT; i++) {
    out->port = (uint16_t)(EPHEMERAL_MIN + (start + i) % EPHEMERAL_COUNT);
    if (!port_taken(host, proto, out, 0)) {
      return WARP_OK;
    }
  }
  return WARP_ADDR_IN_USE;
}

/* ---- interfaces and machine ------------------------------------------------------------------ */

static void fill_interface(const sim_host *host, const sim_address *address, wg_interface *out) {
  *out = (wg_interface){.addr = address->addr, .prefix_bits = address->bits};
  out->loopback = is_loopback(&address->addr);
  if (out->loopback) {
    memcpy(out->name, "lo", 3);
    return;
  }
  out->routed = true;
  for (const sim_address *other = host->addresses; other < address; other++) {
    out->routed = out->routed && (other->network != address->network ||
                                  other->addr.family != address->addr.family);
  }
  snprintf(out->name, sizeof out->name, "eth%u", address->interface);
  memcpy(out->mac, host->macs[0].bytes, sizeof out->mac);
  out->is_default = default_address(host, address->addr.family) == address;
}

static int host_interfaces(wg_env *env, wg_interface *out, size_t max) {
  const sim_host *host = SIM_HOST(env);
  sim_address loopback4 = {.addr = wg_addr_loopback(WARP_IP4, 0), .bits = 8};
  sim_address loopback6 = {.addr = wg_addr_loopback(WARP_IP6, 0), .bits = 128};
  size_t count = 0;
  if (count < max) {
    fill_interface(host, &loopback4, &out[count++]);
  }
  if (count < max && default_address(host, WARP_IP6) != NULL) {
    fill_interface(host, &loopback6, &out[count++]);
  }
  for (size_t i = 0; i < host->address_count && count < max; i++) {
    fill_interface(host, &host->addresses[i], &out[count++]);
  }
  return (int)count;
}

static int host_macs(wg_env *env, wg_mac *out, size_t max) {
  const sim_host *host = SIM_HOST(env);
  size_t count = host->mac_count < max ? host->mac_count : max;
  memcpy(out, host->macs, count * sizeof *out);
  return (int)count;
}

static int host_machine_id(wg_env *env, void *out, size_t cap, size_t *len) {
  const sim_host *host = SIM_HOST(env);
  if (host->machine_id_len == 0) {
    return WARP_NOT_FOUND;
  }
  if (host->machine_id_len > cap) {
    return WARP_TOO_BIG;
  }
  memcpy(out, host->machine_id, host->machine_id_len);
  *len = host->machine_id_len;
  return WARP_OK;
}

/* There are no descriptors here. */
static int no_udp(wg_env *env, int fd, unsigned flags, wg_udp_recv_cb cb, void *arg, wg_udp **out) {
  (void)env, (void)fd, (void)flags, (void)cb, (void)arg, (void)out;
  return WARP_UNSUPPORTED;
}

static int no_tcp(wg_env *env, int fd, const wg_tcp_handlers *handlers, void *arg, wg_tcp **out) {
  (void)env, (void)fd, (void)handlers, (void)arg, (void)out;
  return WARP_UNSUPPORTED;
}

static int no_listener(wg_env *env, int fd, wg_tcp_accept_cb cb, void *arg, wg_tcp_listener **out) {
  (void)env, (void)fd, (void)cb, (void)arg, (void)out;
  return WARP_UNSUPPORTED;
}

static int keep_udp(wg_udp *udp, int *fd) {
  (void)udp, (void)fd;
  return WARP_UNSUPPORTED;
}

static int keep_tcp(wg_tcp *tcp, int *fd) {
  (void)tcp, (void)fd;
  return WARP_UNSUPPORTED;
}

static int keep_listener(wg_tcp_listener *listener, int *fd) {
  (void)listener, (void)fd;
  return WARP_UNSUPPORTED;
}

const wg_env_ops sim_env_ops = {
    .now_us = host_now_us,
    .wall_ms = host_wall_ms,
    .random = host_random,
    .udp_open = sim_udp_open,
    .udp_send = sim_udp_send,
    .udp_local = sim_udp_local,
    .udp_close = sim_udp_close,
    .tcp_connect = sim_tcp_connect,
    .tcp_set_handlers = sim_tcp_set_handlers,
    .tcp_send = sim_tcp_send,
    .tcp_queued = sim_tcp_queued,
    .tcp_shutdown = sim_tcp_shutdown,
    .tcp_pause = sim_tcp_pause,
    .tcp_addrs = sim_tcp_addrs,
    .tcp_close = sim_tcp_close,
    .tcp_reset = sim_tcp_reset,
    .tcp_listen = sim_tcp_listen,
    .tcp_listener_local = sim_tcp_listener_local,
    .tcp_listener_close = sim_tcp_listener_close,
    .udp_adopt = no_udp,
    .tcp_adopt = no_tcp,
    .tcp_listener_adopt = no_listener,
    .udp_release = keep_udp,
    .tcp_release = keep_tcp,
    .tcp_listener_release = keep_listener,
    .interfaces = host_interfaces,
    .macs = host_macs,
    .netwatch_open = sim_netwatch_open,
    .netwatch_close = sim_netwatch_close,
    .resolve = sim_resolve,
    .resolve_cancel = sim_resolve_cancel,
    .broker_open = sim_broker_open,
    .broker_publish = sim_broker_publish,
    .broker_renew = sim_broker_renew,
    .broker_close = sim_broker_close,
    .file_read = sim_file_read,
    .file_load = sim_file_load,
    .file_write = sim_file_write,
    .file_create = sim_file_create,
    .modules_load = sim_modules_load,
    .portmap_open = sim_portmap_open,
    .portmap_close = sim_portmap_close,
    .machine_id = host_machine_id,
};
