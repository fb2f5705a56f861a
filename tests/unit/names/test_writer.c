/*
 * The server with its thread, a file and real sockets, while the disk takes as long as a test
 * wants: SQLite synchronises through a gate here, so that "during a commit" is a state and not a
 * moment.
 */
#include "identity/identity.h"
#include "nickname/names.h"
#include "server.h"

#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "env/loop.h"

/* ---- the gate -------------------------------------------------------------------------------- */

static struct {
  pthread_mutex_t lock;
  pthread_cond_t opened;
  bool closed;
  int result; /* SQLITE_OK, or what each synchronisation comes to */
  warp_loop *loop;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER};

static sqlite3_vfs *real_vfs;
static const sqlite3_io_methods *real_methods;

static void on_blocked(void *arg);

static int sync_through_gate(sqlite3_file *file, int flags) {
  pthread_mutex_lock(&gate.lock);
  if (gate.closed) {
    warp_loop_post(gate.loop, on_blocked, NULL);
  }
  while (gate.closed) {
    pthread_cond_wait(&gate.opened, &gate.lock);
  }
  int result = gate.result;
  pthread_mutex_unlock(&gate.lock);
  return result != SQLITE_OK ? result : real_methods->xSync(file, flags);
}

/* Only the log of changes passes it: its synchronisations are those that an answer waits for. */
static int open_with_gate(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                          int *out_flags) {
  static sqlite3_io_methods methods;
  int rc = real_vfs->xOpen(vfs, name, file, flags, out_flags);
  if (rc == SQLITE_OK && (flags & SQLITE_OPEN_WAL) != 0) {
    real_methods = file->pMethods;
    methods = *real_methods;
    methods.xSync = sync_through_gate;
    file->pMethods = &methods;
  }
  return rc;
}

static void set_gate(bool closed, int result) {
  pthread_mutex_lock(&gate.lock);
  gate.closed = closed;
  gate.result = result;
  pthread_cond_signal(&gate.opened);
  pthread_mutex_unlock(&gate.lock);
}

static int set_up_gate(void **state) {
  static sqlite3_vfs vfs;
  (void)state;
  real_vfs = sqlite3_vfs_find("unix-excl"); /* which the store asks for by its name */
  if (real_vfs == NULL) {
    return -1;
  }
  vfs = *real_vfs;
  vfs.xOpen = open_with_gate;
  return sqlite3_vfs_register(&vfs, 0);
}

/* ---- the world ------------------------------------------------------------------------------- */

enum {
  ASKED_MAX = NAME_WAITING_MAX + 64,
  NO_REPLY = 255,
  TOGETHER = 16, /* packets that fit into the buffer of one socket before anybody reads it */
  CLIENTS = NAME_WAITING_MAX / TOGETHER + 1, /* sockets: all who waited are answered in one go */
};

static struct {
  char folder[64], path[96];
  warp_loop *loop;
  wg_env *env;
  name_store *store, *reader;
  name_service *service;
  name_server *server;
  warp_addr address;
  wg_identity *alice, *bob;
  wg_udp *clients[CLIENTS];
  bool blocked; /* the thread stands before the gate */
  bool open_when_busy;
  bool has_cookie;
  uint8_t cookie[WG_NAME_COOKIE_LEN];
  unsigned asked;
  uint8_t status[ASKED_MAX]; /* of the reply to each question */
  char said[256];            /* in the log, last */
} w;

static void on_blocked(void *arg) {
  (void)arg;
  w.blocked = true;
  warp_loop_stop(w.loop);
}

static void on_log(void *arg, warp_log_level level, const char *line) {
  (void)arg;
  (void)level;
  snprintf(w.said, sizeof w.said, "%s", line);
}

static void take_reply(const uint8_t *data, size_t len) {
  wg_name_reply reply;
  assert_int_equal(wg_name_reply_decode(data, len, &reply), WARP_OK);
  wg_reader nonce = wg_reader_init(reply.nonce, sizeof reply.nonce);
  uint64_t index = wg_read_u64(&nonce);
  assert_in_range(index, 0, w.asked - 1);
  assert_int_equal(w.status[index], NO_REPLY); /* one answer each */
  w.status[index] = reply.status;
  if (reply.status == WG_NAME_COOKIE) {
    w.has_cookie = true;
    memcpy(w.cookie, reply.cookie, sizeof w.cookie);
  }
  if (reply.status == WG_NAME_BUSY && w.open_when_busy) {
    set_gate(false, SQLITE_OK);
  }
  warp_loop_stop(w.loop);
}

static void on_udp(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  (void)arg;
  (void)from;
  take_reply(data, len);
}

static void open_server(void) {
  name_service_config config = {.quota_v4 = 2 * NAME_WAITING_MAX,
                                .rate_per_s = 100000,
                                .lifetime_max_s = 7200,
                                .secret = {7}};
  char why[NAME_STORE_WHY];
  warp_addr listen;
  size_t failed;
  assert_int_equal(warp_addr_parse("127.0.0.1:0", &listen), WARP_OK);
  assert_int_equal(name_store_open(w.path, &w.store, why), WARP_OK);
  assert_int_equal(name_store_open_reader(w.store, &w.reader, why), WARP_OK);
  assert_int_equal(name_service_new(&config, w.reader, &w.service), WARP_OK);
  name_server_options options = {.env = w.env,
                                 .service = w.service,
                                 .store = w.store,
                                 .loop = w.loop,
                                 .listen = &listen,
                                 .listen_count = 1};
  assert_int_equal(name_server_open(&options, &w.server, &failed), WARP_OK);
  w.address = name_server_local(w.server, 0);
}

static void close_server(void) {
  name_server_close(w.server);
  name_service_free(w.service);
  name_store_close(w.reader);
  name_store_close(w.store);
  w.server = NULL;
  w.service = NULL;
  w.reader = w.store = NULL;
}

static int set_up(void **state) {
  (void)state;
  warp_addr any;
  memset(&w, 0, sizeof w);
  memset(w.status, NO_REPLY, sizeof w.status);
  strcpy(w.folder, "/tmp/warpgate-writer-XXXXXX");
  assert_non_null(mkdtemp(w.folder));
  snprintf(w.path, sizeof w.path, "%s/names.db", w.folder);
  w.loop = gate.loop = warp_loop_new();
  assert_non_null(w.loop);
  w.env = warp_loop_env(w.loop);
  w.env->log.sink = on_log;
  assert_int_equal(wg_identity_generate(&w.alice), WARP_OK);
  assert_int_equal(wg_identity_generate(&w.bob), WARP_OK);
  assert_int_equal(warp_addr_parse("127.0.0.1:0", &any), WARP_OK);
  for (size_t i = 0; i < CLIENTS; i++) {
    assert_int_equal(w.env->ops->udp_open(w.env, &any, 0, on_udp, NULL, &w.clients[i]), WARP_OK);
  }
  set_gate(false, SQLITE_OK);
  open_server();
  return 0;
}

static int tear_down(void **state) {
  static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
  (void)state;
  set_gate(false, SQLITE_OK);
  close_server();
  for (size_t i = 0; i < CLIENTS; i++) {
    w.env->ops->udp_close(w.clients[i]);
  }
  assert_int_equal(warp_loop_close(w.loop), WARP_OK);
  wg_identity_free(w.alice);
  wg_identity_free(w.bob);
  for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
    char name[128];
    snprintf(name, sizeof name, "%s%s", w.path, suffixes[i]);
    unlink(name);
  }
  return rmdir(w.folder);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static size_t write_request(wg_name_op op, const char *name, const wg_identity *owner,
                            uint8_t out[WG_NAME_REQUEST_MAX]) {
  wg_name_request request = {
      .op = (uint8_t)op, .has_cookie = w.has_cookie && owner != NULL, .lifetime_s = 3600};
  uint8_t record_bytes[WARP_RECORD_MAX], signature[WG_SIGNATURE_LEN];
  wg_writer nonce = wg_writer_init(request.nonce, sizeof request.nonce);
  wg_write_u64(&nonce, w.asked++);
  assert_in_range(w.asked, 1, ASKED_MAX);
  snprintf(request.name, sizeof request.name, "%s", name);
  memcpy(request.cookie, w.cookie, sizeof request.cookie);
  if (op == WG_NAME_DELETE) {
    request.key = *wg_identity_key(owner);
    request.sequence = 1;
  }
  if (op == WG_NAME_REGISTER) {
    int64_t now_ms = w.env->ops->wall_ms(w.env);
    wg_record record = {.key = *wg_identity_key(owner),
                        .sequence = 1,
                        .issued_ms = now_ms,
                        .expires_ms = now_ms + 86400000};
    int record_len = wg_record_sign(owner, &record, record_bytes, sizeof record_bytes);
    assert_true(record_len > 0);
    request.record = record_bytes;
    request.record_len = (size_t)record_len;
  }
  int len = wg_name_request_encode(&request, out, WG_NAME_REQUEST_MAX);
  assert_true(len > 0);
  if (owner != NULL) {
    assert_int_equal(wg_identity_sign(owner, WG_NAME_CONTEXT, out, (size_t)len, signature),
                     WARP_OK);
    len = wg_name_request_attach(out, (size_t)len, WG_NAME_REQUEST_MAX, signature);
  }
  return (size_t)len;
}

/* Sends a request, each from the next client; returns its number. */
static unsigned ask(wg_name_op op, const char *name, const wg_identity *owner) {
  uint8_t bytes[WG_NAME_REQUEST_MAX];
  size_t len = write_request(op, name, owner, bytes);
  unsigned number = w.asked - 1;
  wg_udp *client = w.clients[number % CLIENTS];
  assert_int_equal(w.env->ops->udp_send(client, &w.address, bytes, len), WARP_OK);
  return number;
}

/* The wg_name_status that came, or comes. */
static int reply_to(unsigned number) {
  while (w.status[number] == NO_REPLY) {
    assert_int_equal(warp_loop_run(w.loop), WARP_OK);
  }
  return w.status[number];
}

/* The server reads packets in their order: with the answer, what was asked before is there too. */
static int look_up(const char *name) {
  return reply_to(ask(WG_NAME_LOOKUP, name, NULL));
}

static unsigned ask_register(const char *name) {
  return ask(WG_NAME_REGISTER, name, w.alice);
}

static int do_register(const char *name) {
  int status = reply_to(ask_register(name));
  return status == WG_NAME_COOKIE ? reply_to(ask_register(name)) : status;
}

/* A registration whose commit has begun, and does not end. */
static unsigned block_with(const char *name) {
  set_gate(true, SQLITE_OK);
  unsigned number = ask_register(name);
  while (!w.blocked) {
    assert_int_equal(warp_loop_run(w.loop), WARP_OK);
  }
  return number;
}

static name_writer_counters counters(void) {
  name_server_counters all;
  name_server_counters_get(w.server, &all);
  return all.writer;
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* During a commit look-ups are answered, from what was committed before it. */
static void test_lookups_do_not_wait(void **state) {
  (void)state;
  assert_int_equal(do_register("before"), WG_NAME_OK);
  uint64_t commits = counters().commits;
  unsigned first = block_with("first");
  unsigned second = ask_register("second");
  unsigned rival = ask(WG_NAME_REGISTER, "first", w.bob);
  unsigned gone = ask(WG_NAME_DELETE, "nobody", w.bob);
  assert_int_equal(look_up("before"), WG_NAME_OK);
  assert_int_equal(look_up("first"), WG_NAME_NOT_FOUND);
  assert_int_equal(look_up("second"), WG_NAME_NOT_FOUND);
  assert_int_equal(w.status[first], NO_REPLY);
  assert_int_equal(w.status[second], NO_REPLY);
  assert_int_equal(counters().commits, commits);
  assert_int_equal(counters().waiting, 3);
  set_gate(false, SQLITE_OK);
  assert_int_equal(reply_to(first), WG_NAME_OK);
  assert_int_equal(reply_to(second), WG_NAME_OK);
  assert_int_equal(reply_to(rival), WG_NAME_TAKEN); /* in the order in which they came */
  assert_int_equal(reply_to(gone), WG_NAME_NOT_FOUND);
  assert_int_equal(look_up("first"), WG_NAME_OK);
  assert_int_equal(look_up("second"), WG_NAME_OK);
  assert_int_equal(counters().commits, commits + 2); /* what had gathered shared one */
  assert_int_equal(counters().waiting, 0);
}

/* Only so many wait; the next one is told to come again, and can. */
static void test_too_many_wait(void **state) {
  (void)state;
  unsigned numbers[NAME_WAITING_MAX];
  char name[32];
  assert_int_equal(do_register("before"), WG_NAME_OK);
  unsigned first = block_with("first");
  for (unsigned i = 0; i < NAME_WAITING_MAX; i++) {
    snprintf(name, sizeof name, "name-%u", i);
    numbers[i] = ask_register(name);
    if (i % TOGETHER == TOGETHER - 1) {
      assert_int_equal(look_up("before"), WG_NAME_OK);
    }
  }
  assert_int_equal(counters().waiting, NAME_WAITING_MAX);
  assert_int_equal(counters().refused, 0);
  assert_int_equal(do_register("one-more"), WG_NAME_BUSY);
  assert_int_equal(counters().refused, 1);
  set_gate(false, SQLITE_OK);
  assert_int_equal(reply_to(first), WG_NAME_OK);
  for (unsigned i = 0; i < NAME_WAITING_MAX; i++) {
    assert_int_equal(reply_to(numbers[i]), WG_NAME_OK);
  }
  assert_int_equal(do_register("one-more"), WG_NAME_OK);
}

/* A disk that fails: all who waited for it are told, nothing of it was done, and it goes on. */
static void test_failing_disk(void **state) {
  (void)state;
  assert_int_equal(do_register("before"), WG_NAME_OK);
  unsigned first = block_with("first");
  unsigned second = ask_register("second");
  unsigned rival = ask(WG_NAME_REGISTER, "second", w.bob);
  assert_int_equal(look_up("before"), WG_NAME_OK);
  set_gate(false, SQLITE_IOERR_FSYNC);
  assert_int_equal(reply_to(first), WG_NAME_FAILED);
  assert_int_equal(reply_to(second), WG_NAME_FAILED);
  assert_int_equal(reply_to(rival), WG_NAME_FAILED);
  assert_int_equal(counters().commits_failed, 2);
  assert_non_null(strstr(w.said, "changes could not be stored"));
  assert_int_equal(look_up("second"), WG_NAME_NOT_FOUND);
  assert_int_equal(look_up("before"), WG_NAME_OK);
  set_gate(false, SQLITE_OK);
  assert_int_equal(reply_to(ask(WG_NAME_REGISTER, "second", w.bob)), WG_NAME_OK);
  assert_int_equal(look_up("second"), WG_NAME_OK);
}

/* Closing finishes what was taken, and takes no more. */
static void test_closing(void **state) {
  (void)state;
  assert_int_equal(do_register("before"), WG_NAME_OK);
  unsigned first = block_with("first");
  unsigned second = ask_register("second");
  assert_int_equal(look_up("before"), WG_NAME_OK);
  unsigned late = ask_register("late");
  w.open_when_busy = true;
  close_server();
  assert_int_equal(reply_to(first), WG_NAME_OK);
  assert_int_equal(reply_to(second), WG_NAME_OK);
  assert_int_equal(reply_to(late), WG_NAME_BUSY);
  open_server();
  assert_int_equal(look_up("first"), WG_NAME_OK);
  assert_int_equal(look_up("second"), WG_NAME_OK);
  assert_int_equal(look_up("late"), WG_NAME_NOT_FOUND);
}

/* ---- over TCP -------------------------------------------------------------------------------- */

typedef struct client {
  wg_tcp *tcp;
  bool open, ended;
} client;

static void on_open(void *arg, int status) {
  client *self = arg;
  assert_int_equal(status, WARP_OK);
  self->open = true;
  warp_loop_stop(w.loop);
}

static void on_data(void *arg, const uint8_t *data, size_t len) {
  (void)arg;
  assert_in_range(len, WG_NAME_FRAME_LEN + 1, WG_NAME_FRAME_LEN + WG_NAME_REPLY_MAX);
  take_reply(data + WG_NAME_FRAME_LEN, len - WG_NAME_FRAME_LEN);
}

static void on_end(void *arg, int status) {
  client *self = arg;
  (void)status;
  self->ended = true;
  warp_loop_stop(w.loop);
}

static void run_until(const bool *flag) {
  while (!*flag) {
    assert_int_equal(warp_loop_run(w.loop), WARP_OK);
  }
}

/* A client that has asked and ends its side gets its answer before the connection ends; the answer
 * for one that is gone goes nowhere. */
static void test_ends_while_waiting(void **state) {
  (void)state;
  static const wg_tcp_handlers handlers = {
      .on_open = on_open, .on_data = on_data, .on_end = on_end};
  client clients[2] = {{.tcp = NULL}};
  unsigned numbers[2];
  assert_int_equal(do_register("before"), WG_NAME_OK);
  unsigned first = block_with("first");
  for (size_t i = 0; i < 2; i++) {
    client *self = &clients[i];
    uint8_t frame[WG_NAME_FRAME_LEN + WG_NAME_REQUEST_MAX];
    size_t len = write_request(WG_NAME_REGISTER, i == 0 ? "polite" : "rude", w.alice,
                               frame + WG_NAME_FRAME_LEN);
    wg_writer writer = wg_writer_init(frame, WG_NAME_FRAME_LEN);
    wg_write_u16(&writer, (uint16_t)len);
    numbers[i] = w.asked - 1;
    assert_int_equal(
        w.env->ops->tcp_connect(w.env, NULL, &w.address, 0, &handlers, self, &self->tcp), WARP_OK);
    run_until(&self->open);
    assert_int_equal(w.env->ops->tcp_send(self->tcp, frame, WG_NAME_FRAME_LEN + len), WARP_OK);
    while (counters().waiting != i + 1) {
      assert_int_equal(look_up("before"), WG_NAME_OK); /* goes round until the server has it */
    }
  }
  assert_int_equal(w.env->ops->tcp_shutdown(clients[0].tcp), WARP_OK);
  w.env->ops->tcp_reset(clients[1].tcp);
  set_gate(false, SQLITE_OK);
  assert_int_equal(reply_to(first), WG_NAME_OK);
  assert_int_equal(reply_to(numbers[0]), WG_NAME_OK);
  run_until(&clients[0].ended);
  w.env->ops->tcp_close(clients[0].tcp);
  assert_int_equal(look_up("polite"), WG_NAME_OK);
  assert_int_equal(look_up("rude"), WG_NAME_OK);
  assert_int_equal(w.status[numbers[1]], NO_REPLY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_lookups_do_not_wait), TEST(test_too_many_wait),
      TEST(test_failing_disk),        TEST(test_closing),
      TEST(test_ends_while_waiting),
  };
  return cmocka_run_group_tests(tests, set_up_gate, NULL);
}
