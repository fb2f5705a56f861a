/*
 * Loads a name server. "bench" measures rates; "hammer" registers, renews and deletes until the
 * server is gone and prints what was acknowledged; "verify" reads that and looks whether it is
 * there.
 */
#include "load.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  EXIT_LOST = 1, /* something that was acknowledged is not there */
  EXIT_USAGE = 2,
};

/* ---- bench: each name registered once, then looked up, then both at once --------------------- */

typedef struct bench {
  load load;
  const char *prefix; /* of the names */
  wg_name_op op;
  size_t total, begun, done, wrong;
  size_t names;
  double *ms;
  atomic_bool over; /* from another thread: no more than one is begun */
} bench;

static bool bench_next(void *arg, size_t lane, load_job *out) {
  bench *self = arg;
  (void)lane;
  if (self->begun == self->total || (self->begun > 0 && atomic_load(&self->over))) {
    return false;
  }
  size_t index = self->begun++;
  *out = (load_job){.op = self->op, .sequence = 1, .index = index};
  snprintf(out->name, sizeof out->name, "%s-%zu", self->prefix, index % self->names);
  return true;
}

static void bench_done(void *arg, size_t lane, const load_job *job, const wg_name_reply *reply,
                       double ms) {
  bench *self = arg;
  const load_record *record = &self->load.records[1];
  (void)lane;
  bool good = reply->status == WG_NAME_OK;
  if (good && job->op == WG_NAME_LOOKUP) {
    good =
        reply->record_len == record->len && memcmp(reply->record, record->bytes, record->len) == 0;
  }
  self->wrong += !good;
  self->ms[self->done++] = ms;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* At most `total`; fewer when it is over before. */
static bool bench_round(bench *self, wg_name_op op, size_t total, const char *what) {
  self->op = op;
  self->total = total;
  self->begun = self->done = 0;
  self->ms = calloc(total, sizeof *self->ms);
  double begun_ms = load_now_ms();
  bool good = self->ms != NULL && load_run(&self->load) && self->done == self->begun;
  double took_ms = load_now_ms() - begun_ms;
  if (good) {
    size_t count = self->done;
    qsort(self->ms, count, sizeof *self->ms, compare);
    printf("{\"what\":\"%s\",\"count\":%zu,\"wrong\":%zu,\"seconds\":%.3f,\"per_s\":%.0f,"
           "\"median_ms\":%.3f,\"p99_ms\":%.3f}\n",
           what, count, self->wrong, took_ms / 1e3, (double)count / took_ms * 1e3,
           count > 0 ? self->ms[count / 2] : 0, count > 0 ? self->ms[count * 99 / 100] : 0);
  }
  free(self->ms);
  return good && self->wrong == 0;
}

enum { ASKED_MAX = 10000000 }; /* look-ups in one round: a minute of more than a server answers */

static void *look_up(void *arg) {
  bench *self = arg;
  return bench_round(self, WG_NAME_LOOKUP, ASKED_MAX, "lookups meanwhile") ? self : NULL;
}

/* One client that looks up what is there while others register. */
static bool bench_both(bench *self, size_t registrations) {
  pthread_t thread;
  void *good_lookups;
  bench other = {.load = self->load, .prefix = self->prefix, .names = self->names};
  other.load.arg = &other;
  other.load.lanes = 1;
  if (pthread_create(&thread, NULL, look_up, &other) != 0) {
    return false;
  }
  self->prefix = "later";
  bool good = bench_round(self, WG_NAME_REGISTER, registrations, "registrations");
  atomic_store(&other.over, true);
  pthread_join(thread, &good_lookups);
  return good && good_lookups != NULL;
}

static int run_bench(const struct sockaddr_in *server, size_t registrations, size_t lookups) {
  bench self = {.load = {.server = *server, .next = bench_next, .done = bench_done},
                .prefix = "bench",
                .names = registrations};
  self.load.arg = &self;
  self.load.lanes = LOAD_LANES_MAX;
  load_open(&self.load);
  bool good = bench_round(&self, WG_NAME_REGISTER, registrations, "registrations") &&
              bench_round(&self, WG_NAME_LOOKUP, lookups, "lookups") &&
              bench_both(&self, registrations);
  load_close(&self.load);
  return good ? EXIT_SUCCESS : EXIT_LOST;
}

/* ---- hammer: changes, each after the one before it was acknowledged -------------------------- */

/* What is done with a name: registered, renewed with a newer record, deleted; with every third name
 * only the first, with every third the first two. */
static size_t steps_of(size_t index) {
  return index % 3 + 1;
}

typedef struct hammer {
  load load;
  const char *prefix;
  size_t begun;
  size_t acknowledged[LOAD_LANES_MAX]; /* steps of the lane's name */
  load_job now[LOAD_LANES_MAX];
} hammer;

static bool hammer_next(void *arg, size_t lane, load_job *out) {
  static const wg_name_op ops[] = {WG_NAME_REGISTER, WG_NAME_REGISTER, WG_NAME_DELETE};
  hammer *self = arg;
  load_job *job = &self->now[lane];
  size_t *step = &self->acknowledged[lane];
  if (job->name[0] == '\0' || *step == steps_of(job->index)) {
    *step = 0;
    job->index = self->begun++;
    snprintf(job->name, sizeof job->name, "%s-%zu", self->prefix, job->index);
  }
  job->op = ops[*step];
  job->sequence = *step == 0 ? 1 : 2;
  *out = *job;
  return true;
}

static void hammer_done(void *arg, size_t lane, const load_job *job, const wg_name_reply *reply,
                        double ms) {
  hammer *self = arg;
  (void)ms;
  if (reply->status != WG_NAME_OK) {
    fprintf(stderr, "load: %s: %s\n", job->name, wg_name_status_text(reply->status));
    exit(EXIT_LOST);
  }
  self->acknowledged[lane]++;
  printf("%zu %zu\n", job->index, self->acknowledged[lane]);
  fflush(stdout);
}

static int run_hammer(const struct sockaddr_in *server, const char *prefix) {
  hammer self = {.load = {.server = *server, .next = hammer_next, .done = hammer_done},
                 .prefix = prefix};
  self.load.arg = &self;
  self.load.lanes = LOAD_LANES_MAX;
  load_open(&self.load);
  (void)load_run(&self.load); /* it ends when the server does */
  load_close(&self.load);
  return EXIT_SUCCESS;
}

/* ---- verify ---------------------------------------------------------------------------------- */

enum { NAMES_MAX = 1000000 };

typedef struct verify {
  load load;
  const char *prefix;
  uint8_t *steps; /* by the name's number: acknowledged; 0: nothing is known of it */
  size_t next, checked, lost;
} verify;

static bool verify_next(void *arg, size_t lane, load_job *out) {
  verify *self = arg;
  (void)lane;
  while (self->next < NAMES_MAX && self->steps[self->next] == 0) {
    self->next++;
  }
  if (self->next == NAMES_MAX) {
    return false;
  }
  *out = (load_job){.op = WG_NAME_LOOKUP, .index = self->next++};
  snprintf(out->name, sizeof out->name, "%s-%zu", self->prefix, out->index);
  return true;
}

/* The sequence of the record in a reply; 0 when there is none. */
static uint64_t sequence_of(const wg_name_reply *reply) {
  wg_record record;
  bool good = reply->status == WG_NAME_OK &&
              wg_record_verify(reply->record, reply->record_len, 0, &record) == WARP_OK;
  return good ? record.sequence : 0;
}

/* What was acknowledged, or the step after it: that may have been done without our hearing. */
static bool is_there(size_t index, size_t step, const wg_name_reply *reply) {
  bool deleted = reply->status == WG_NAME_NOT_FOUND;
  uint64_t sequence = sequence_of(reply);
  bool may_be_deleted = steps_of(index) == 3 && step >= 2;
  return step == 3 ? deleted : sequence >= step || (may_be_deleted && deleted);
}

static void verify_done(void *arg, size_t lane, const load_job *job, const wg_name_reply *reply,
                        double ms) {
  verify *self = arg;
  (void)lane;
  (void)ms;
  self->checked++;
  if (!is_there(job->index, self->steps[job->index], reply)) {
    self->lost++;
    printf("lost: %s, acknowledged step %d, now: %s\n", job->name, self->steps[job->index],
           wg_name_status_text(reply->status));
  }
}

static int run_verify(const struct sockaddr_in *server, const char *prefix) {
  verify self = {.load = {.server = *server, .next = verify_next, .done = verify_done},
                 .prefix = prefix,
                 .steps = calloc(NAMES_MAX, 1)};
  size_t index;
  unsigned step;
  if (self.steps == NULL) {
    return EXIT_USAGE;
  }
  while (scanf("%zu %u", &index, &step) == 2 && index < NAMES_MAX && step <= 3) {
    self.steps[index] = (uint8_t)step;
  }
  self.load.arg = &self;
  self.load.lanes = LOAD_LANES_MAX;
  load_open(&self.load);
  bool good = load_run(&self.load);
  load_close(&self.load);
  free(self.steps);
  printf("%zu names verified, %zu lost\n", self.checked, self.lost);
  return good && self.lost == 0 ? EXIT_SUCCESS : EXIT_LOST;
}

int main(int argc, char **argv) {
  struct sockaddr_in server = {.sin_family = AF_INET};
  if (argc < 5 || inet_pton(AF_INET, argv[2], &server.sin_addr) != 1) {
    fprintf(stderr, "usage: names_load bench IP PORT REGISTRATIONS LOOKUPS\n"
                    "       names_load hammer|verify IP PORT PREFIX\n");
    return EXIT_USAGE;
  }
  server.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
  if (strcmp(argv[1], "bench") == 0 && argc == 6) {
    return run_bench(&server, strtoul(argv[4], NULL, 10), strtoul(argv[5], NULL, 10));
  }
  return strcmp(argv[1], "hammer") == 0 ? run_hammer(&server, argv[4])
                                        : run_verify(&server, argv[4]);
}
