#include "natsim/prober/verify.h"

#include "natsim/limits.h"
#include "natsim/prober/compare.h"
#include "natsim/prober/examine.h"
#include "natsim/seed.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_MAX = 64 };
/* Smaller ranges are used up by the mappings of the prober itself, or a sequence goes round. */
enum { PORTS_MIN = 128 };
/* Measuring is mostly waiting for packets. */
enum { JOBS_PER_CORE = 4 };

/* A NAT to examine. */
typedef struct item {
  sim_profile declared, built;
} item;

typedef struct run {
  const sim_verify_options *options;
  item *items;
  size_t count;
  atomic_size_t *next; /* shared by the jobs */
  json_t **results;    /* by item; NULL: not there yet */
  size_t told;         /* items already printed */
  size_t axes, differing;
  int status;
} run;

static int complain(int status, const char *text) {
  fprintf(stderr, "natsim verify: %s\n", text);
  return status;
}

/* ---- in a job -------------------------------------------------------------------------------- */

static json_t *row_json(const item *nat, const sim_finding *finding) {
  char buf[SIM_MEASURED_LEN];
  const char *declared = sim_declared(&nat->declared, finding, buf);
  return json_pack("{s:s, s:s, s:s, s:s?, s:s, s:b}", "profile", nat->declared.name, "transport",
                   finding->transport, "axis", finding->axis, "declared", declared, "measured",
                   finding->measured, "ok", sim_agrees(&nat->declared, finding, declared));
}

static bool say(FILE *out, json_t *message) {
  bool ok =
      message && !json_dumpf(message, out, JSON_COMPACT) && putc('\n', out) != EOF && !fflush(out);
  json_decref(message);
  return ok;
}

static int examine_one(const run *r, sim_world *world, size_t i, FILE *out, ns_error *error) {
  const item *nat = &r->items[i];
  static sim_findings findings;
  uint64_t seed = sim_derive(r->options->seed, nat->declared.name);
  int status = sim_examine(world, &nat->built, seed, r->options->sabotage, &findings, error);
  json_t *rows = status ? NULL : json_array();
  for (size_t f = 0; rows && f < findings.count; f++)
    json_array_append_new(rows, row_json(nat, &findings.all[f]));
  if (!status && !say(out, json_pack("{s:I, s:o}", "item", (json_int_t)i, "rows", rows)))
    status = sim_fail(error, -EPIPE, "a result could not be told");
  return status;
}

/* Takes one NAT after the other until none is left. */
static _Noreturn void work(const run *r, int fd) {
  ns_error error = {.text = ""};
  FILE *out = fdopen(fd, "w");
  sim_options options = {.seed = r->options->seed, .rtt_ms = r->options->rtt_ms};
  sim_world world;
  int status = out ? sim_world_open(&world, &options, &error) : -ENOMEM;
  for (size_t i; !status && (i = atomic_fetch_add(r->next, 1)) < r->count;)
    status = examine_one(r, &world, i, out, &error);
  if (status && out)
    say(out, json_pack("{s:s}", "lab", error.text));
  _exit(status ? SIM_EXIT_NO_LAB : 0);
}

/* ---- telling --------------------------------------------------------------------------------- */

static const char *word(const json_t *row, const char *key) {
  const char *text = json_string_value(json_object_get(row, key));
  return text ? text : "nothing";
}

static void tell_rows(run *r, const json_t *rows) {
  size_t i, differing = 0, hidden = 0;
  json_t *row;
  json_array_foreach(rows, i, row) {
    bool ok = json_is_true(json_object_get(row, "ok"));
    differing += !ok;
    hidden += !strcmp(word(row, "measured"), "hidden");
    if (r->options->json) {
      json_dumpf(row, stdout, JSON_COMPACT);
      putchar('\n');
    }
    if (!ok)
      fprintf(r->options->json ? stderr : stdout, "%s: %s %s: declared %s, measured %s\n",
              word(row, "profile"), word(row, "transport"), word(row, "axis"),
              word(row, "declared"), word(row, "measured"));
  }
  r->axes += json_array_size(rows) - hidden;
  r->differing += differing;
  const char *name = word(json_array_get(rows, 0), "profile");
  if (!r->options->json && !differing)
    printf("%-60s %2zu axes as declared, %zu hidden\n", name, json_array_size(rows) - hidden,
           hidden);
  fflush(stdout);
}

/* In the order of the list, whatever was ready first. */
static void tell_what_is_there(run *r) {
  while (r->told < r->count && r->results[r->told])
    tell_rows(r, r->results[r->told++]);
}

static void take_line(run *r, const char *line) {
  json_t *message = json_loads(line, 0, NULL);
  size_t i = (size_t)json_integer_value(json_object_get(message, "item"));
  json_t *rows = json_object_get(message, "rows");
  const char *lab = json_string_value(json_object_get(message, "lab"));
  if (rows && i < r->count && !r->results[i])
    r->results[i] = json_incref(rows);
  else if (!r->status)
    r->status = complain(SIM_EXIT_NO_LAB, lab ? lab : "a job said what makes no sense");
  if (r->status)
    atomic_store(r->next, r->count); /* the other jobs end with the NAT they are at */
  json_decref(message);
  tell_what_is_there(r);
}

/* ---- the jobs -------------------------------------------------------------------------------- */

static FILE *start_job(const run *r) {
  int ends[2];
  if (pipe(ends) < 0)
    return NULL;
  fflush(NULL); /* else what is buffered would be written twice */
  pid_t pid = fork();
  if (pid == 0) {
    close(ends[0]);
    work(r, ends[1]);
  }
  close(ends[1]);
  FILE *from = pid > 0 ? fdopen(ends[0], "r") : NULL;
  if (!from)
    close(ends[0]);
  return from;
}

/* A job says one line at a time, so none waits in a stream's buffer where poll does not see it. */
static void listen_to(run *r, FILE *jobs[], unsigned count) {
  char *line = NULL;
  size_t size = 0;
  for (unsigned open = count; open;) {
    struct pollfd waits[JOBS_MAX];
    for (unsigned i = 0; i < count; i++)
      waits[i] = (struct pollfd){.fd = jobs[i] ? fileno(jobs[i]) : -1, .events = POLLIN};
    if (poll(waits, count, -1) < 0)
      continue;
    for (unsigned i = 0; i < count; i++) {
      if (!waits[i].revents)
        continue;
      if (getline(&line, &size, jobs[i]) > 0) {
        take_line(r, line);
        continue;
      }
      fclose(jobs[i]);
      jobs[i] = NULL;
      open--;
    }
  }
  free(line);
}

static unsigned jobs_wanted(const run *r) {
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  unsigned jobs =
      r->options->jobs ? r->options->jobs : JOBS_PER_CORE * (cores > 0 ? (unsigned)cores : 1);
  jobs = jobs > JOBS_MAX ? JOBS_MAX : jobs;
  return jobs < r->count ? jobs : (unsigned)r->count;
}

/* The lab of ns_sandbox_run. */
static int lab(void *arg) {
  run *r = arg;
  FILE *jobs[JOBS_MAX];
  unsigned count = 0, wanted = jobs_wanted(r);
  r->next = mmap(NULL, sizeof *r->next, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  r->results = calloc(r->count, sizeof *r->results);
  if (r->next == MAP_FAILED || !r->results)
    return complain(SIM_EXIT_NO_LAB, "out of memory");
  while (count < wanted && (jobs[count] = start_job(r)))
    count++;
  if (!count)
    return complain(SIM_EXIT_NO_LAB, strerror(errno));
  listen_to(r, jobs, count);
  while (wait(NULL) > 0)
    continue;
  if (!r->status && r->told < r->count)
    r->status = complain(SIM_EXIT_NO_LAB, "a job ended unexpectedly");
  if (r->status)
    return r->status;
  if (!r->options->json)
    printf("%zu NATs, %zu axes: %zu differ\n", r->count, r->axes, r->differing);
  return r->differing ? SIM_EXIT_FAILED : SIM_EXIT_OK;
}

/* ---- the list -------------------------------------------------------------------------------- */

static int add(run *r, const char *text, ns_error *error) {
  item *grown = realloc(r->items, (r->count + 1) * sizeof *grown);
  if (!grown)
    return sim_fail(error, -1, "out of memory");
  r->items = grown;
  item *nat = &grown[r->count++];
  sim_profile_changes changes = {.nat = r->options->nat};
  if (sim_profile_parse(text, &changes, &nat->declared, error))
    return -1;
  unsigned ports = nat->declared.nat.port_high - nat->declared.nat.port_low + 1U;
  if (nat->declared.translated && ports < PORTS_MIN)
    return sim_fail(error, -1, "%s: measuring takes %d ports, and its range has %u", text,
                    PORTS_MIN, ports);
  nat->built = nat->declared;
  return r->options->sabotage ? sim_sabotage(&nat->built, r->options->sabotage, error) : 0;
}

static int make_list(run *r, ns_error *error) {
  const sim_verify_options *o = r->options;
  const char *text;
  int status = 0;
  for (size_t i = 0; !status && i < o->profile_count; i++)
    status = add(r, o->profiles[i], error);
  for (size_t i = 0; !status && !o->profile_count && (text = sim_verify_default(i)); i++)
    status = add(r, text, error);
  return status;
}

int sim_verify(const sim_verify_options *options) {
  run r = {.options = options};
  ns_error error = {.text = ""};
  sim_room room;
  sim_room_read(&room);
  int status = make_list(&r, &error);
  if (status) {
    status = complain(SIM_EXIT_USAGE, error.text);
  } else if (sim_room_check(&room, &sim_need_nat, jobs_wanted(&r), "--jobs", &error)) {
    status = complain(SIM_EXIT_NO_LAB, error.text);
  } else {
    status = ns_sandbox_run(lab, &r, &error);
    if (status < 0)
      status = complain(SIM_EXIT_NO_LAB, error.text);
  }
  free(r.items);
  return status;
}
