#include "natsim/supervisor.h"

#include "natsim/table.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { JOBS_MAX = 64 };

typedef struct job {
  pid_t pid;
  FILE *from; /* its answers, line by line; also owns the descriptor to it. NULL: ended */
  int fd;
  size_t trial; /* what it works on */
} job;

typedef struct supervisor {
  const sim_supervision *setup;
  job jobs[JOBS_MAX];
  unsigned job_count, running;
  size_t next; /* trial to hand out */
  sim_summary *summaries;
  size_t done;
  int signal_fd;
  int status; /* of the command, so far */
  bool stop;
} supervisor;

static void complain(const char *text) {
  fprintf(stderr, "natsim: %s\n", text);
}

/* ---- progress -------------------------------------------------------------------------------- */

/* Columns of the terminal on stderr, 0 if it is none. */
static size_t terminal_width(void) {
  enum { USUAL = 80 };
  if (!isatty(STDERR_FILENO))
    return 0;
  struct winsize size;
  bool known = !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col;
  return known ? size.ws_col : USUAL;
}

/* On a terminal one line that changes, else a line for each trial. */
static void show_progress(const supervisor *s, const sim_summary *last) {
  const sim_plan *plan = s->setup->work.plan;
  char how[704], line[1200];
  if (last->outcome == SIM_CONNECTED)
    snprintf(how, sizeof how, "%s, %s, %.0f ms", last->winner, last->path, last->connect_ms);
  else
    snprintf(how, sizeof how, "%s: %s", sim_outcome_name(last->outcome), last->reason);
  snprintf(line, sizeof line, "%zu/%zu %s x %s: %s", s->done, plan->count,
           plan->a_profiles[last->a].name, plan->b_profiles[last->b].name, how);
  size_t width = terminal_width();
  /* What went wrong stays on the screen, in full; what is replaced must not wrap. */
  bool stays = !width || last->outcome == SIM_ERROR || s->done == plan->count;
  int most = stays ? (int)sizeof line : (int)width - 1;
  fprintf(stderr, "%s%.*s%s", width ? "\r\033[K" : "", most, line, stays ? "\n" : "");
}

/* ---- jobs ------------------------------------------------------------------------------------ */

/* In the child: the other jobs' descriptors must not keep them from seeing their end. */
static _Noreturn void become_job(supervisor *s, unsigned number, int fd) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (unsigned i = 0; i < number; i++)
    close(s->jobs[i].fd);
  close(s->signal_fd);
  _exit(sim_worker_run(&s->setup->work, number, fd));
}

static int start_job(supervisor *s) {
  unsigned number = s->job_count;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    return -errno;
  fflush(NULL); /* else what is buffered would be written twice */
  job *j = &s->jobs[number];
  *j = (job){.pid = fork(), .fd = ends[0]};
  if (j->pid == 0) {
    close(ends[0]);
    become_job(s, number, ends[1]);
  }
  int err = errno;
  close(ends[1]);
  j->from = j->pid > 0 ? fdopen(ends[0], "r") : NULL;
  if (!j->from) {
    close(ends[0]);
    return j->pid > 0 ? -ENOMEM : -err;
  }
  s->job_count++;
  s->running++;
  return 0;
}

/* Gives the job its next trial, or the sign to end. */
static void hand_out(supervisor *s, job *j) {
  if (s->stop || s->next == s->setup->work.plan->count) {
    shutdown(j->fd, SHUT_WR);
    return;
  }
  j->trial = s->next++;
  char line[24];
  int len = snprintf(line, sizeof line, "%zu\n", j->trial);
  if (send(j->fd, line, (size_t)len, MSG_NOSIGNAL) != len)
    s->next--; /* it is gone: its end is seen by reading */
}

static void end_all(supervisor *s) {
  s->stop = true;
  for (unsigned i = 0; i < s->job_count; i++)
    if (s->jobs[i].from)
      shutdown(s->jobs[i].fd, SHUT_WR);
}

/* ---- results --------------------------------------------------------------------------------- */

/* Writes the record where it was asked for. False when it cannot be written. */
static bool write_record(const supervisor *s, const json_t *record) {
  enum { FORMAT = JSON_COMPACT | JSON_REAL_PRECISION(15) };
  bool ok = true;
  if (s->setup->work.options->json)
    ok = !json_dumpf(record, stdout, FORMAT) && putchar('\n') != EOF && !fflush(stdout);
  FILE *out = s->setup->trials_out;
  if (out)
    ok &= !json_dumpf(record, out, FORMAT) && putc('\n', out) != EOF && !fflush(out);
  return ok;
}

static void take_record(supervisor *s, const job *j, const json_t *record) {
  const sim_plan *plan = s->setup->work.plan;
  const sim_trial *trial = &plan->trials[j->trial];
  sim_summary *summary = &s->summaries[s->done];
  *summary = (sim_summary){.a = (size_t)(trial->a - plan->a_profiles),
                           .b = (size_t)(trial->b - plan->b_profiles),
                           .trial = trial->trial};
  if (sim_summary_read(record, summary) || !write_record(s, record)) {
    complain("a result could not be written");
    s->status = SIM_EXIT_NO_LAB;
    end_all(s);
    return;
  }
  s->done++;
  if (summary->outcome == SIM_ERROR && !s->status)
    s->status = SIM_EXIT_FAILED;
  show_progress(s, summary);
}

static void lab_failed(supervisor *s, const char *why) {
  if (s->status != SIM_EXIT_NO_LAB && !s->stop)
    complain(why);
  s->status = SIM_EXIT_NO_LAB;
  end_all(s);
}

/* A line or the end of what a job says. */
static void listen_to(supervisor *s, job *j) {
  char *line = NULL;
  size_t size = 0;
  if (getline(&line, &size, j->from) < 0) {
    fclose(j->from);
    j->from = NULL;
    s->running--;
    int status = 0;
    waitpid(j->pid, &status, 0);
    if (status && s->status != SIM_EXIT_NO_LAB && !s->stop)
      lab_failed(s, "a job of the laboratory ended unexpectedly");
  } else {
    json_t *message = json_loads(line, 0, NULL);
    const json_t *record = json_object_get(message, "record");
    const char *lab = json_string_value(json_object_get(message, "lab"));
    if (record) {
      take_record(s, j, record);
      hand_out(s, j);
    } else {
      lab_failed(s, lab ? lab : "a job of the laboratory said what makes no sense");
    }
    json_decref(message);
  }
  free(line);
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* SIGINT and SIGTERM come as something to read. */
static int catch_signals(void) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  signal(SIGPIPE, SIG_IGN); /* a peer or a reader of ours that is gone shows as EPIPE */
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

static void on_signal(supervisor *s) {
  struct signalfd_siginfo info;
  if (read(s->signal_fd, &info, sizeof info) != sizeof info)
    return;
  s->status = 128 + (int)info.ssi_signo;
  fprintf(stderr, "%snatsim: interrupted: %zu of %zu trials are done%s\n",
          isatty(STDERR_FILENO) ? "\n" : "", s->done, s->setup->work.plan->count,
          s->setup->trials_out ? ", their results are written" : "");
  end_all(s);
}

/* Whole lines may wait in a stream's buffer where poll does not see them, but a job says one line
 * for each trial and waits: its buffer is empty whenever we wait. */
static void loop(supervisor *s) {
  while (s->running) {
    struct pollfd waits[JOBS_MAX + 1];
    for (unsigned i = 0; i < s->job_count; i++)
      waits[i] = (struct pollfd){.fd = s->jobs[i].from ? s->jobs[i].fd : -1, .events = POLLIN};
    waits[s->job_count] = (struct pollfd){.fd = s->stop ? -1 : s->signal_fd, .events = POLLIN};
    if (poll(waits, s->job_count + 1, -1) < 0)
      continue;
    for (unsigned i = 0; i < s->job_count; i++)
      if (waits[i].revents)
        listen_to(s, &s->jobs[i]);
    if (waits[s->job_count].revents)
      on_signal(s);
  }
}

unsigned sim_jobs(const sim_work *work) {
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  unsigned jobs = work->options->jobs ? work->options->jobs : cores > 0 ? (unsigned)cores : 1;
  if (jobs > JOBS_MAX)
    jobs = JOBS_MAX;
  return jobs < work->plan->count ? jobs : (unsigned)work->plan->count;
}

static void report(supervisor *s) {
  const sim_supervision *setup = s->setup;
  if (!setup->work.options->json)
    sim_table_print(stdout, setup->work.plan, s->summaries, s->done);
  if (!setup->expectations)
    return;
  size_t differing =
      sim_expect_check(setup->expectations, setup->work.plan, s->summaries, s->done, stderr);
  if (differing && !s->status)
    s->status = SIM_EXIT_FAILED;
  if (!differing && s->done == setup->work.plan->count)
    fputs("natsim: every cell is as expected\n", stderr);
}

int sim_supervise(void *arg) {
  supervisor s = {.setup = arg};
  s.summaries = calloc(s.setup->work.plan->count + 1, sizeof *s.summaries);
  s.signal_fd = catch_signals();
  if (!s.summaries || s.signal_fd < 0) {
    complain("out of memory");
    free(s.summaries);
    return SIM_EXIT_NO_LAB;
  }
  for (unsigned i = sim_jobs(&s.setup->work); i; i--) {
    int status = start_job(&s);
    if (status) {
      lab_failed(&s, strerror(-status));
      break;
    }
    hand_out(&s, &s.jobs[s.job_count - 1]);
  }
  loop(&s);
  if (s.status != SIM_EXIT_NO_LAB)
    report(&s);
  free(s.summaries);
  return s.status;
}
