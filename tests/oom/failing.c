#include "failing.h"

#include "blocks.h"
#include <malloc.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* The names that the library's calls are given by the linker's table, symbols.txt. */
void *oom_malloc(size_t len);
void *oom_calloc(size_t count, size_t len);
void *oom_realloc(void *old, size_t len);
char *oom_strdup(const char *text);
void oom_free(void *bytes);
pcre2_compile_context *oom_pcre2_compile_context_create(pcre2_general_context *context);
pcre2_match_context *oom_pcre2_match_context_create(pcre2_general_context *context);
pcre2_match_data *oom_pcre2_match_data_create(uint32_t pairs, pcre2_general_context *context);
pcre2_code *oom_pcre2_compile(PCRE2_SPTR pattern, PCRE2_SIZE len, uint32_t options, int *error,
                              PCRE2_SIZE *at, pcre2_compile_context *context);

/* ---- when it fails --------------------------------------------------------------------------- */

/* The driver's threads allocate too. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t freed = PTHREAD_COND_INITIALIZER;
static unsigned kinds;               /* counted; 0: nothing */
static bool held;                    /* nothing is counted */
static unsigned long counted, total; /* of this run, of the library ever */
static unsigned long first, last;    /* those that fail; 0: none */
static bool hit;
static oom_place hit_place;

static bool fails_now(unsigned kind) {
  if ((kinds & kind) == 0 || held)
    return false;
  counted++;
  if (first == 0 || counted < first || counted > last)
    return false;
  if (!hit)
    oom_place_here(&hit_place);
  hit = true;
  return true;
}

static bool fails(unsigned kind) {
  pthread_mutex_lock(&lock);
  bool failing = fails_now(kind);
  pthread_mutex_unlock(&lock);
  return failing;
}

bool oom_hit(void) {
  return hit;
}

void oom_hold(bool on) {
  held = on;
}

void oom_unless_hit(bool right) {
  if (!hit)
    assert_true(right);
}

bool oom_ok(int status) {
  if (status == WARP_OK)
    return true;
  assert_true(hit);
  if ((kinds & (OOM_OPENSSL | OOM_SQLITE)) == 0)
    assert_int_equal(status, WARP_NOMEM);
  return false;
}

/* ---- the library's own ----------------------------------------------------------------------- */

/* Neither what was never written nor what was freed may look like something. */
enum { FRESH = 0xa5, FREED = 0xdd };

static void *remember(void *bytes) {
  pthread_mutex_lock(&lock);
  if (bytes == NULL)
    abort();
  oom_blocks_add(bytes, ++total);
  pthread_mutex_unlock(&lock);
  return bytes;
}

void *oom_malloc(size_t len) {
  if (fails(OOM_OURS))
    return NULL;
  void *bytes = remember(malloc(len));
  memset(bytes, FRESH, len);
  return bytes;
}

void *oom_calloc(size_t count, size_t len) {
  return fails(OOM_OURS) ? NULL : remember(calloc(count, len));
}

void oom_free(void *bytes) {
  pthread_mutex_lock(&lock);
  bool ours = bytes != NULL && oom_blocks_remove(bytes);
  pthread_cond_broadcast(&freed);
  pthread_mutex_unlock(&lock);
  if (ours)
    memset(bytes, FREED, malloc_usable_size(bytes));
  free(bytes);
}

/* Always moves, so that whoever keeps the old pointer is found out. */
void *oom_realloc(void *old, size_t len) {
  void *bytes = oom_malloc(len);
  if (bytes != NULL && old != NULL) {
    size_t old_len = malloc_usable_size(old);
    memcpy(bytes, old, old_len < len ? old_len : len);
    oom_free(old);
  }
  return bytes;
}

char *oom_strdup(const char *text) {
  char *copy = oom_malloc(strlen(text) + 1);
  return copy != NULL ? strcpy(copy, text) : NULL;
}

pcre2_compile_context *oom_pcre2_compile_context_create(pcre2_general_context *context) {
  return fails(OOM_OURS) ? NULL : pcre2_compile_context_create(context);
}

pcre2_match_context *oom_pcre2_match_context_create(pcre2_general_context *context) {
  return fails(OOM_OURS) ? NULL : pcre2_match_context_create(context);
}

pcre2_match_data *oom_pcre2_match_data_create(uint32_t pairs, pcre2_general_context *context) {
  return fails(OOM_OURS) ? NULL : pcre2_match_data_create(pairs, context);
}

pcre2_code *oom_pcre2_compile(PCRE2_SPTR pattern, PCRE2_SIZE len, uint32_t options, int *error,
                              PCRE2_SIZE *at, pcre2_compile_context *context) {
  if (!fails(OOM_OURS))
    return pcre2_compile(pattern, len, options, error, at, context);
  *error = PCRE2_ERROR_NOMEMORY;
  return NULL;
}

/* ---- other libraries ------------------------------------------------------------------------- */

static void *openssl_malloc(size_t len, const char *file, int line) {
  (void)file;
  (void)line;
  return fails(OOM_OPENSSL) ? NULL : malloc(len);
}

static void *openssl_realloc(void *old, size_t len, const char *file, int line) {
  (void)file;
  (void)line;
  return fails(OOM_OPENSSL) ? NULL : realloc(old, len);
}

static void openssl_free(void *bytes, const char *file, int line) {
  (void)file;
  (void)line;
  free(bytes);
}

static sqlite3_mem_methods sqlite_own;

static void *sqlite_malloc(int len) {
  return fails(OOM_SQLITE) ? NULL : sqlite_own.xMalloc(len);
}

static void *sqlite_realloc(void *old, int len) {
  return fails(OOM_SQLITE) ? NULL : sqlite_own.xRealloc(old, len);
}

void oom_init(void) {
  if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1 ||
      sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_own) != SQLITE_OK)
    abort();
  sqlite3_mem_methods failing = sqlite_own;
  failing.xMalloc = sqlite_malloc;
  failing.xRealloc = sqlite_realloc;
  if (sqlite3_config(SQLITE_CONFIG_MALLOC, &failing) != SQLITE_OK)
    abort();
}

/* ---- environments ---------------------------------------------------------------------------- */

/* All hosts of the simulated internet have the same table. */
static const wg_env_ops *real;

static int udp_open(wg_env *env, const warp_addr *local, unsigned flags, wg_udp_recv_cb cb,
                    void *arg, wg_udp **out) {
  return fails(OOM_ENV) ? WARP_NOMEM : real->udp_open(env, local, flags, cb, arg, out);
}

static int tcp_connect(wg_env *env, const warp_addr *local, const warp_addr *to, unsigned flags,
                       const wg_tcp_handlers *handlers, void *arg, wg_tcp **out) {
  return fails(OOM_ENV) ? WARP_NOMEM : real->tcp_connect(env, local, to, flags, handlers, arg, out);
}

static int tcp_send(wg_tcp *tcp, const void *data, size_t len) {
  return fails(OOM_ENV) ? WARP_NOMEM : real->tcp_send(tcp, data, len);
}

static int tcp_listen(wg_env *env, const warp_addr *local, unsigned flags, wg_tcp_accept_cb cb,
                      void *arg, wg_tcp_listener **out) {
  return fails(OOM_ENV) ? WARP_NOMEM : real->tcp_listen(env, local, flags, cb, arg, out);
}

static int resolve(wg_env *env, const char *host, uint16_t port, int family, wg_resolve_cb cb,
                   void *arg, wg_resolve **out) {
  return fails(OOM_ENV) ? WARP_NOMEM : real->resolve(env, host, port, family, cb, arg, out);
}

static int broker_open(wg_env *env, const wg_broker_options *options,
                       const wg_broker_handlers *handlers, void *arg, wg_broker **out) {
  return fails(OOM_ENV) ? WARP_NOMEM : real->broker_open(env, options, handlers, arg, out);
}

static int broker_publish(wg_broker *broker, const char *topic, const void *data, size_t len) {
  return fails(OOM_ENV) ? WARP_NOMEM : real->broker_publish(broker, topic, data, len);
}

static int interfaces(wg_env *env, wg_interface *out, size_t max) {
  return fails(OOM_ENV) ? WARP_NOMEM : real->interfaces(env, out, max);
}

static int portmap_open(wg_env *env, const warp_addr *local, warp_transport transport,
                        wg_portmap_cb cb, void *arg, wg_portmap **out) {
  return fails(OOM_ENV) ? WARP_NOMEM : real->portmap_open(env, local, transport, cb, arg, out);
}

static int modules_load(wg_env *env, const char *dir, const char *symbol, wg_module_cb cb,
                        void *arg) {
  return fails(OOM_ENV) ? WARP_NOMEM : real->modules_load(env, dir, symbol, cb, arg);
}

wg_env *oom_env(wg_env *env) {
  static wg_env_ops failing;
  if (env->ops == &failing)
    return env;
  real = env->ops;
  failing = *real;
  failing.udp_open = udp_open;
  failing.tcp_connect = tcp_connect;
  failing.tcp_send = tcp_send;
  failing.tcp_listen = tcp_listen;
  failing.resolve = resolve;
  failing.broker_open = broker_open;
  failing.broker_publish = broker_publish;
  failing.interfaces = interfaces;
  failing.portmap_open = portmap_open;
  failing.modules_load = modules_load;
  env->ops = &failing;
  return env;
}

/* ---- the walk -------------------------------------------------------------------------------- */

void oom_begin(unsigned of_kinds, unsigned long from, unsigned long to) {
  kinds = of_kinds;
  first = from;
  last = to;
}

static unsigned long number_of(const char *variable) {
  const char *text = getenv(variable);
  return text != NULL ? strtoul(text, NULL, 10) : 0;
}

/* What is said when a run dies, whichever way. */
static char running[64];

static void tell_where(void) {
  if (running[0] == '\0' || first == 0)
    return;
  fprintf(stderr, "%s: it was with allocations %lu to %lu failing (of %lu counted so far)\n",
          running, first, last, counted);
  if (hit)
    oom_place_print(&hit_place);
}

/* A thread that the driver has let go may have some memory a moment longer. */
static bool is_all_freed(size_t before) {
  struct timespec limit;
  clock_gettime(CLOCK_REALTIME, &limit);
  limit.tv_sec += 60;
  pthread_mutex_lock(&lock);
  int error = 0;
  while (oom_blocks_count() > before && error == 0)
    error = pthread_cond_timedwait(&freed, &lock, &limit);
  bool all = oom_blocks_count() == before;
  pthread_mutex_unlock(&lock);
  return all;
}

void oom_end(FILE *out) {
  bool all = is_all_freed(0);
  pthread_mutex_lock(&lock);
  kinds = 0;
  fprintf(out, "%lu %d %zu\n", counted, hit, oom_blocks_count());
  pthread_mutex_unlock(&lock);
  if (!all)
    oom_blocks_print(1);
  if (hit && getenv("WARPGATE_OOM_WHERE") != NULL)
    oom_place_print(&hit_place);
}

/* One run: how many allocations it made. */
static unsigned long run(const oom_walk *walk, unsigned long from, unsigned long many) {
  size_t before = oom_blocks_count();
  unsigned long since = total + 1;
  counted = 0;
  hit = false;
  first = from;
  last = from + many - 1;
  snprintf(running, sizeof running, "%s", walk->name);
  kinds = walk->kinds != 0 ? walk->kinds : OOM_OURS | OOM_ENV;
  walk->scenario(walk->arg);
  kinds = 0;
  if (!is_all_freed(before)) {
    fprintf(stderr, "%s: memory is left\n", walk->name);
    oom_blocks_print(since);
    fail();
  }
  running[0] = '\0';
  return counted;
}

void oom_run(const oom_walk *walk) {
  static bool told;
  if (!told)
    atexit(tell_where);
  told = true;
  tell_where();
  running[0] = '\0';
  held = false;
  const char *wanted = getenv("WARPGATE_OOM_SCENARIO");
  if (wanted != NULL && strcmp(wanted, walk->name) != 0)
    return;
  /* What a process makes once and keeps is made in the first run. */
  kinds = OOM_OURS;
  first = 0;
  walk->scenario(walk->arg);
  unsigned long of = run(walk, 0, 1), only = number_of("WARPGATE_OOM_ONLY");
  assert_true(of > 0);
  unsigned long step = number_of("WARPGATE_OOM_STEP"), runs = 0;
  if (step == 0)
    step = walk->most != 0 && of > walk->most ? (of + walk->most - 1) / walk->most : 1;
  static const unsigned long bursts[] = {1, 10};
  for (size_t b = 0; b < sizeof bursts / sizeof bursts[0]; b++) {
    unsigned long at = only != 0 ? only : 1;
    do {
      run(walk, at, bursts[b]);
      if (only != 0 && hit)
        oom_place_print(&hit_place);
      runs++;
      at += step;
    } while (hit && only == 0);
  }
  print_message(
      "%s: %lu allocations, every %lu. of them failed, alone and with nine more: %lu runs\n",
      walk->name, of, step, runs);
}
