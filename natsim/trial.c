#include "natsim/trial.h"

#include "natsim/course.h"
#include "natsim/deed.h"
#include "natsim/evidence.h"
#include "natsim/files.h"
#include "natsim/neighbours.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>

/* How long peers may take to report and end after they were told to, and then after SIGTERM. */
enum { END_LIMIT_MS = 5000, STOP_GRACE_MS = 500 };
/* How much of a peer's stderr is kept of an error. */
enum { LOG_TAIL = 4096 };

typedef struct run {
  const sim_stage *stage;
  sim_site sites[SIM_SIDES];
  sim_peer peers[SIM_SIDES];
  sim_course course;
  uint64_t sent_before[SIM_SIDES];
  bool counting; /* sent_before is known */
  bool stopped;  /* by the supervisor */
  sim_schedule schedule;
  sim_doing doing;
  sim_neighbours *neighbours;
  unsigned flows[SIM_SIDES]; /* that the neighbours had */
  sim_evidence evidence;
} run;

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static bool count_sent(const run *r, uint64_t out[SIM_SIDES]) {
  return !sim_site_sent(&r->sites[SIM_A], &out[SIM_A]) &&
         !sim_site_sent(&r->sites[SIM_B], &out[SIM_B]);
}

/* ---- what happens meanwhile ------------------------------------------------------------------ */

static void let_happen(run *r) {
  const sim_event *event;
  ns_error error;
  while ((event = sim_schedule_due(&r->schedule, now_ms())))
    if (sim_deed_begin(&r->doing, event, r->stage->world, r->stage->servers, &error))
      sim_course_broken(&r->course, error.text);
}

static void see_it_happened(run *r) {
  ns_error error;
  if (sim_deed_finish(&r->doing, &error))
    sim_course_broken(&r->course, error.text);
}

static void reach(run *r, enum sim_moment moment) {
  sim_schedule_reach(&r->schedule, moment, now_ms());
  let_happen(r);
}

/* ---- the word -------------------------------------------------------------------------------- */

static bool give_word(run *r, int side) {
  char *word = sim_course_word(&r->course, side);
  bool told = word && sim_peer_tell(&r->peers[side], word);
  free(word);
  return told;
}

/* b comes first, so that it listens when a begins; a's clock starts with a's word. */
static void give_words(run *r) {
  ns_error error;
  reach(r, SIM_AT_READY);
  see_it_happened(r);
  if (r->neighbours && sim_neighbours_start(r->neighbours, &error))
    sim_course_broken(&r->course, error.text);
  r->counting = count_sent(r, r->sent_before);
  bool told = give_word(r, SIM_B);
  r->course.go_ms = now_ms();
  told = told && give_word(r, SIM_A);
  if (!told)
    sim_course_broken(&r->course, "a peer does not read its standard input");
  /* By the clock of connect_ms, however long writing the word took. */
  sim_schedule_reach(&r->schedule, SIM_AT_GO, r->course.go_ms);
  let_happen(r);
}

static void count_packets(run *r) {
  sim_result *result = &r->course.result;
  uint64_t now[SIM_SIDES];
  result->counted = r->counting && count_sent(r, now);
  for (int side = 0; result->counted && side < SIM_SIDES; side++)
    result->packets[side] = now[side] - r->sent_before[side];
}

/* ---- what the peers say ---------------------------------------------------------------------- */

static void on_line(void *arg, int side, const char *line) {
  run *r = arg;
  sim_course_line(&r->course, side, line, now_ms());
}

/* How a peer that closed its output ended; it may need a moment more to be gone. */
static const char *how_it_ended(const sim_peer *peer, char *buf, size_t size) {
  enum { TRIES = 50 };
  siginfo_t info = {.si_pid = 0};
  for (int i = 0; i < TRIES && !info.si_pid; i++) {
    if (waitid(P_PID, (id_t)peer->process.pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
      break;
    if (!info.si_pid)
      nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  }
  if (!info.si_pid)
    snprintf(buf, size, "it closed its output");
  else if (info.si_code == CLD_EXITED)
    snprintf(buf, size, "exit status %d", info.si_status);
  else
    snprintf(buf, size, "signal %d, %s", info.si_status, strsignal(info.si_status));
  return buf;
}

static void on_end(run *r, int side) {
  char how[80], tail[512], line[256];
  how_it_ended(&r->peers[side], how, sizeof how);
  sim_file_tail(r->peers[side].log_path, tail, sizeof tail);
  sim_course_ended(&r->course, side, how, sim_last_line(tail, line, sizeof line));
}

/* Waits until something comes from a peer or the time is up, and takes it in. a is read first:
 * the time of its event is what is measured. */
static void listen_once(run *r, int stop_fd, double until_ms) {
  struct pollfd waits[] = {
      {.fd = r->peers[SIM_A].at_end ? -1 : r->peers[SIM_A].process.stdout_fd, .events = POLLIN},
      {.fd = r->peers[SIM_B].at_end ? -1 : r->peers[SIM_B].process.stdout_fd, .events = POLLIN},
      {.fd = stop_fd, .events = POLLIN}};
  double left = ceil(until_ms - now_ms());
  if (poll(waits, 3, left > 0 ? (int)left : 0) < 0)
    return;
  r->stopped = waits[2].revents != 0;
  for (int side = 0; side < SIM_SIDES; side++) {
    if (!waits[side].revents)
      continue;
    sim_peer_read(&r->peers[side], on_line, r);
    if (r->peers[side].at_end)
      on_end(r, side);
  }
}

/* ---- the end --------------------------------------------------------------------------------- */

static void keep_log(run *r, int side) {
  char *tail = malloc(LOG_TAIL);
  if (tail)
    r->course.result.logs[side] =
        sim_safe_text(sim_file_tail(r->peers[side].log_path, tail, LOG_TAIL));
  free(tail);
}

/* Tells both to end, collects what they still report, and sees them gone. A peer that crashes on
 * its way out spoils the trial. */
static void end_peers(run *r, int stop_fd) {
  double limit = now_ms() + END_LIMIT_MS;
  for (int side = 0; side < SIM_SIDES; side++)
    sim_peer_hang_up(&r->peers[side]);
  while (!r->stopped && now_ms() < limit && !(r->peers[SIM_A].at_end && r->peers[SIM_B].at_end))
    listen_once(r, stop_fd, limit);
  for (int side = 0; side < SIM_SIDES; side++) {
    char how[80] = "";
    if (r->peers[side].at_end)
      how_it_ended(&r->peers[side], how, sizeof how);
    sim_peer_stop(&r->peers[side], r->stopped ? 0 : STOP_GRACE_MS);
    if (!strncmp(how, "signal", 6) && r->course.result.outcome != SIM_ERROR) {
      char reason[128];
      snprintf(reason, sizeof reason, "%s crashed at the end (%s)", side == SIM_A ? "a" : "b", how);
      sim_course_broken(&r->course, reason);
    }
  }
  for (int side = 0; r->course.result.outcome == SIM_ERROR && side < SIM_SIDES; side++)
    keep_log(r, side);
}

/* ---- its course ------------------------------------------------------------------------------ */

static int start_peers(run *r, const sim_trial *trial, const sim_peer_setup *setup,
                       ns_error *error) {
  int status = 0;
  for (int side = 0; !status && side < SIM_SIDES; side++)
    status = sim_peer_start(&r->peers[side], side, &r->sites[side].host, trial, setup, error);
  return status;
}

static void make_session(char out[40]) {
  uint64_t bits = 0;
  if (getrandom(&bits, sizeof bits, 0) < 0)
    bits = (uint64_t)time(NULL);
  snprintf(out, 40, "natsim-%016llx", (unsigned long long)bits);
}

static void follow_course(run *r) {
  const sim_server *ended = sim_servers_ended(r->stage->servers);
  if (ended) {
    char reason[128];
    snprintf(reason, sizeof reason, "the server %s has ended", ended->name);
    sim_course_broken(&r->course, reason);
  }
  while (r->course.state != SIM_ENDING && !r->stopped) {
    enum sim_state before = r->course.state;
    listen_once(r, r->stage->stop_fd,
                fmin(r->course.deadline_ms, sim_schedule_next_ms(&r->schedule)));
    sim_course_time(&r->course, now_ms());
    if (before == SIM_STARTING && r->course.state == SIM_CONNECTING)
      give_words(r);
    if (before == SIM_CONNECTING && r->course.state != SIM_CONNECTING)
      count_packets(r);
    if (r->course.result.connect_ms >= 0)
      reach(r, SIM_AT_CONNECTED);
    let_happen(r);
  }
}

/* What stands beside the peers: who watches, and who else is there. */
static int set_the_stage(run *r, const sim_trial *trial, ns_error *error) {
  const sim_stage *stage = r->stage;
  int status = 0;
  if (stage->out_fd >= 0)
    status = sim_evidence_begin(&r->evidence, stage->world, stage->servers, error);
  if (!status && stage->world->neighbours)
    status = sim_neighbours_open(&r->neighbours, stage->world, stage->options, trial->seed, error);
  return status;
}

/* ---- the record ------------------------------------------------------------------------------ */

/* The result, and what else was to be told. */
static json_t *make_record(const run *r, const sim_trial *trial, const char *evidence) {
  const sim_options *options = r->stage->options;
  json_t *record = sim_result_json(trial, options->plugin, &r->course.result);
  if (record && options->event_count)
    json_object_set_new(record, "events", sim_schedule_json(&r->schedule));
  if (record && r->stage->world->neighbours)
    json_object_set_new(
        record, "neighbours",
        json_pack("{s:i, s:i}", "a", (int)r->flows[SIM_A], "b", (int)r->flows[SIM_B]));
  if (record && *evidence)
    json_object_set_new(record, "evidence", json_string(evidence));
  return record;
}

/* Packets and logs of what failed, and the record that says where they are. */
static int conclude(run *r, const sim_trial *trial, json_t **record, ns_error *error) {
  const sim_stage *stage = r->stage;
  char evidence[SIM_FOLDER_STRLEN] = "";
  int status = 0;
  if (stage->out_fd >= 0 && (stage->options->pcap || r->course.result.outcome != SIM_CONNECTED)) {
    sim_evidence_folder(trial, evidence);
    status =
        sim_evidence_keep(&r->evidence, stage->out_fd, evidence, r->peers, stage->servers, error);
  }
  if (!status)
    *record = make_record(r, trial, evidence);
  return !status && !*record ? sim_fail(error, -ENOMEM, "out of memory") : status;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* The sites are built. */
static int play(run *r, const sim_trial *trial, json_t **record, ns_error *error) {
  const sim_stage *stage = r->stage;
  char session[40];
  make_session(session);
  sim_peer_setup setup = {stage->options, stage->programs,
                          stage->servers, &stage->world->built.topology,
                          session,        stage->folder};
  sim_course_options how = {.by_name = stage->options->by_name, .cross = stage->options->cross};
  sim_course_init(&r->course, how, stage->options->timeout_s, now_ms());
  int status = set_the_stage(r, trial, error);
  if (!status)
    status = start_peers(r, trial, &setup, error);
  if (!status)
    follow_course(r);
  see_it_happened(r);
  sim_neighbours_close(r->neighbours, r->flows);
  end_peers(r, stage->stop_fd);
  if (!status && !r->stopped)
    status = conclude(r, trial, record, error);
  sim_evidence_end(&r->evidence);
  sim_result_free(&r->course.result);
  sim_course_free(&r->course);
  return status;
}

int sim_trial_run(const sim_stage *stage, const sim_trial *trial, json_t **record,
                  ns_error *error) {
  run r = {.stage = stage,
           .schedule = sim_schedule_new(stage->options->events, stage->options->event_count)};
  *record = NULL;
  int status = sim_sites_open(stage->world, trial, r.sites, error);
  if (!status)
    status = play(&r, trial, record, error);
  sim_sites_close(r.sites);
  sim_remove_folder(stage->folder);
  if (!status && !r.stopped)
    status = sim_servers_settle(stage->servers, error);
  if (status && *record) {
    json_decref(*record);
    *record = NULL;
  }
  return !status && r.stopped ? -ECANCELED : status;
}
