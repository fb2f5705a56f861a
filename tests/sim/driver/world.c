#include "internal.h"
#include "process_clock.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- mistakes in a test ---------------------------------------------------------------------- */

void sim_fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("sim: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  abort();
}

void *sim_alloc(size_t size) {
  void *memory = calloc(1, size);
  if (memory == NULL) {
    sim_fail("out of memory");
  }
  return memory;
}

char *sim_copy_string(const char *text) {
  size_t size = strlen(text) + 1;
  return memcpy(sim_alloc(size), text, size);
}

warp_addr sim_parse_address(const char *text, unsigned *bits) {
  char host[WARP_ADDR_STRLEN];
  const char *slash = strchr(text, '/');
  size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
  warp_addr addr = {0};
  if ((slash != NULL) != (bits != NULL) || len >= sizeof host) {
    sim_fail("malformed address %s", text);
  }
  memcpy(host, text, len);
  host[len] = 0;
  if (warp_addr_parse(host, &addr) != WARP_OK || addr.port != 0) {
    sim_fail("malformed address %s", text);
  }
  if (bits != NULL) {
    char *end = NULL;
    unsigned long value = strtoul(slash + 1, &end, 10);
    if (end == slash + 1 || *end != 0 || value > 8 * wg_addr_ip_len(&addr)) {
      sim_fail("malformed prefix in %s", text);
    }
    *bits = (unsigned)value;
  }
  return addr;
}

/* ---- buffers --------------------------------------------------------------------------------- */

size_t sim_buffer_len(const sim_buffer *buffer) {
  return buffer->end - buffer->begin;
}

const uint8_t *sim_buffer_bytes(const sim_buffer *buffer) {
  return buffer->data + buffer->begin;
}

void sim_buffer_append(sim_buffer *buffer, const void *data, size_t len) {
  if (len == 0) {
    return;
  }
  if (buffer->end + len > buffer->cap) {
    size_t used = sim_buffer_len(buffer);
    size_t cap = 2 * (used + len);
    uint8_t *bytes = sim_alloc(cap);
    if (used > 0) {
      memcpy(bytes, sim_buffer_bytes(buffer), used);
    }
    free(buffer->data);
    *buffer = (sim_buffer){.data = bytes, .begin = 0, .end = used, .cap = cap};
  }
  memcpy(buffer->data + buffer->end, data, len);
  buffer->end += len;
}

void sim_buffer_take(sim_buffer *buffer, size_t len) {
  buffer->begin += len;
  if (buffer->begin == buffer->end) {
    buffer->begin = buffer->end = 0;
  }
}

void sim_buffer_free(sim_buffer *buffer) {
  free(buffer->data);
  *buffer = (sim_buffer){0};
}

/* ---- the world ------------------------------------------------------------------------------- */

sim_world *sim_world_new(uint64_t seed) {
  sim_world *world = sim_alloc(sizeof *world);
  world->seed = seed;
  world->event_limit = SIM_EVENTS_MAX;
  sim_process_clock(&world->now_us);
  wg_list_init(&world->networks);
  wg_list_init(&world->hosts);
  wg_list_init(&world->names);
  wg_list_init(&world->services);
  wg_list_init(&world->packets);
  if (getenv("SIM_TRACE") != NULL) {
    world->stream = stderr;
  }
  return world;
}

void sim_service_add(sim_world *world, sim_service *service,
                     void (*destroy)(sim_service *service)) {
  service->destroy = destroy;
  wg_list_push(&world->services, &service->item);
}

void sim_bury(sim_world *world, void *memory) {
  if (world->buried_count == world->buried_cap) {
    size_t cap = world->buried_cap * 2 + 64;
    void **buried = sim_alloc(cap * sizeof *buried);
    if (world->buried_count > 0) {
      memcpy(buried, world->buried, world->buried_count * sizeof *buried);
    }
    free(world->buried);
    world->buried = buried;
    world->buried_cap = cap;
  }
  world->buried[world->buried_count++] = memory;
}

static void free_buried(sim_world *world) {
  for (size_t i = 0; i < world->buried_count; i++) {
    free(world->buried[i]);
  }
  world->buried_count = 0;
}

size_t sim_world_free(sim_world *world) {
  if (world->running) {
    sim_fail("sim_world_free inside a callback");
  }
  while (!wg_list_empty(&world->services)) {
    sim_service *service = WG_CONTAINER(world->services.next, sim_service, item);
    wg_list_remove(&service->item);
    service->destroy(service);
  }
  size_t handles = 0;
  for (wg_list *item = world->hosts.next; item != &world->hosts; item = item->next) {
    handles += sim_host_handles(WG_CONTAINER(item, sim_host, item));
  }
  sim_hosts_free(world);
  sim_packets_free(world);
  sim_networks_free(world);
  while (!wg_list_empty(&world->names)) {
    sim_name *name = WG_CONTAINER(world->names.next, sim_name, item);
    wg_list_remove(&name->item);
    free(name->name);
    free(name);
  }
  free_buried(world);
  free(world->buried);
  sim_process_clock_forget(&world->now_us);
  free(world);
  return handles;
}

uint64_t sim_now_us(const sim_world *world) {
  return world->now_us;
}

void sim_set_event_limit(sim_world *world, uint64_t events) {
  world->event_limit = events;
}

void sim_set_trace(sim_world *world, FILE *stream) {
  world->stream = stream;
}

sim_trace sim_world_trace(const sim_world *world) {
  return world->trace;
}

void sim_event_start(sim_world *world, wg_timer *event, uint64_t delay_us, wg_timer_cb cb,
                     void *arg) {
  wg_timers_start(&world->events, event, world->now_us + delay_us, cb, arg);
}

void sim_rng(const sim_world *world, const char *kind, const char *name, wg_rng *out) {
  char stream[128];
  snprintf(stream, sizeof stream, "%s/%s", kind, name);
  wg_rng_seed(out, world->seed, stream);
}

void sim_print(const sim_world *world, const char *format, ...) {
  if (world->stream == NULL) {
    return;
  }
  va_list args;
  va_start(args, format);
  fprintf(world->stream, "%12.3f  ", (double)world->now_us / 1000);
  vfprintf(world->stream, format, args);
  fputc('\n', world->stream);
  va_end(args);
}

void sim_add_name(sim_world *world, const char *name, const char *address) {
  sim_name *entry = sim_alloc(sizeof *entry);
  entry->name = sim_copy_string(name);
  if (address != NULL) {
    entry->addr = sim_parse_address(address, NULL);
  }
  wg_list_push(&world->names, &entry->item);
}

/* ---- running --------------------------------------------------------------------------------- */

/* Runs the events of the next moment, unless it lies after `until_us`. False when there is none. */
static bool step(sim_world *world, uint64_t until_us) {
  uint64_t next_us = wg_timers_next(&world->events);
  if (next_us == UINT64_MAX || next_us > until_us) {
    return false;
  }
  world->now_us = next_us;
  world->running = true;
  world->trace.events += wg_timers_run(&world->events, next_us);
  world->running = false;
  free_buried(world);
  return true;
}

static bool is_set(void *arg) {
  return *(const bool *)arg;
}

static bool is_idle(void *arg) {
  const sim_world *world = arg;
  return wg_timers_next(&world->events) == UINT64_MAX;
}

int sim_run_until(sim_world *world, sim_predicate done, void *arg, uint64_t limit_us) {
  uint64_t until_us = world->now_us + limit_us;
  uint64_t last_event = world->trace.events + world->event_limit;
  if (world->running) {
    sim_fail("a run inside a callback");
  }
  if (until_us < world->now_us) {
    sim_fail("a run without an end");
  }
  while (done == NULL || !done(arg)) {
    if (world->trace.events >= last_event) {
      return WARP_LIMIT;
    }
    if (!step(world, until_us)) {
      world->now_us = until_us;
      return WARP_TIMEOUT;
    }
  }
  return WARP_OK;
}

int sim_run_for(sim_world *world, uint64_t duration_us) {
  int status = sim_run_until(world, NULL, NULL, duration_us);
  return status == WARP_TIMEOUT ? WARP_OK : status;
}

int sim_run_until_set(sim_world *world, bool *flag, uint64_t limit_us) {
  return sim_run_until(world, is_set, flag, limit_us);
}

int sim_run_until_idle(sim_world *world, uint64_t limit_us) {
  return sim_run_until(world, is_idle, world, limit_us);
}
