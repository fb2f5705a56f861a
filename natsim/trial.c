#include "natsim/trial.h"

#include "natsim/course.h"
#include "natsim/files.h"

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
enum { END_LIMIT_MS = 1500, STOP_GRACE_MS = 500 };
/* How much of a peer's stderr is kept of an error. */
enum { LOG_TAIL = 4096 };

typedef struct run {
  sim_site sites[SIM_SIDES];
  sim_peer peers[SIM_SIDES];
  sim_course course;
  uint64_t sent_before[SIM_SIDES];
  bool counting; /* sent_before is known */
  bool stopped;  /* by the supervisor */
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

/* ---- the word -------------------------------------------------------------------------------- */

static bool give_word(run *r, int side) {
  char *word = sim_course_word(&r->course, side);
  bool told = word && sim_peer_tell(&r->peers[side], word);
  free(word);
  return told;
}

/* b comes first, so that it listens when a begins; a's clock starts with a's word. */
static void give_words(run *r) {
  r->counting = count_sent(r, r->sent_before);
  bool told = give_word(r, SIM_B);
  r->course.go_ms = now_ms();
  told = told && give_word(r, SIM_A);
  if (!told)
    sim_course_broken(&r->course, "a peer does not read its standard input");
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

/* ---- the whole ------------------------------------------------------------------------------- */

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

static void follow_course(run *r, const sim_servers *servers, int stop_fd) {
  const sim_server *ended = sim_servers_ended(servers);
  if (ended) {
    char reason[128];
    snprintf(reason, sizeof reason, "the server %s has ended", ended->name);
    sim_course_broken(&r->course, reason);
  }
  while (r->course.state != SIM_ENDING && !r->stopped) {
    enum sim_state before = r->course.state;
    listen_once(r, stop_fd, r->course.deadline_ms);
    sim_course_time(&r->course, now_ms());
    if (before == SIM_STARTING && r->course.state == SIM_CONNECTING)
      give_words(r);
    if (before == SIM_CONNECTING && r->course.state != SIM_CONNECTING)
      count_packets(r);
  }
}

int sim_trial_run(sim_world *world, const sim_trial *trial, const sim_options *options,
                  const sim_programs *programs, const sim_servers *servers, const char *folder,
                  int stop_fd, json_t **record, ns_error *error) {
  run r = {.stopped = false};
  char session[40];
  make_session(session);
  sim_peer_setup setup = {options,  programs, servers, &world->built.topology,
                          session, folder};
  *record = NULL;
  int status = sim_sites_open(world, trial, r.sites, error);
  if (!status) {
    sim_course_init(&r.course, options->by_name, options->timeout_s, now_ms());
    status = start_peers(&r, trial, &setup, error);
    if (!status)
      follow_course(&r, servers, stop_fd);
    end_peers(&r, stop_fd);
    if (!status && !r.stopped)
      *record = sim_result_json(trial, options->plugin, &r.course.result);
    sim_result_free(&r.course.result);
    sim_course_free(&r.course);
  }
  sim_sites_close(r.sites);
  sim_remove_folder(folder);
  if (!status && r.stopped)
    return -ECANCELED;
  return !status && !*record ? sim_fail(error, -ENOMEM, "out of memory") : status;
}
