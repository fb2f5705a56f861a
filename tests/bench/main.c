/* The table of subjects, the turns, and what is printed. */
#include "bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  TURNS_MAX = 100,
  SECONDS_MAX = BENCH_ROUND_S / 2,
  /* What one data channel of libdatachannel 0.24 with libjuice, SCTP over DTLS as well, moved from
   * one namespace to another without a link between them, on a machine like those of our tests. */
  DATA_CHANNEL_MB_S = 72,
};

static const bench_subject subjects[] = {
    {.name = "socket",
     .about = "plain TCP socket",
     .receive = bench_socket_receive,
     .send = bench_socket_send},
    {.name = "pipe",
     .about = "plain pipe over TCP",
     .receive = bench_pipe_receive,
     .send = bench_pipe_send,
     .baseline = "socket",
     .goal = 0.9},
    {.name = "tls",
     .about = "OpenSSL TLS 1.3 on a TCP socket",
     .receive = bench_tls_receive,
     .send = bench_tls_send},
    {.name = "secure-pipe",
     .about = "secure pipe over TCP, between two nodes",
     .receive = bench_secure_receive,
     .send = bench_secure_send,
     .baseline = "tls",
     .goal = 0.9},
    {.name = "datagrams",
     .about = "plain UDP socket",
     .receive = bench_datagram_receive,
     .send = bench_datagram_send,
     .messages = true},
    {.name = "udp-pipe",
     .about = "plain pipe over UDP",
     .receive = bench_udp_pipe_receive,
     .send = bench_udp_pipe_send,
     .baseline = "datagrams",
     .messages = true},
    {.name = "dtls",
     .about = "OpenSSL DTLS 1.2 on a UDP socket",
     .receive = bench_dtls_receive,
     .send = bench_dtls_send,
     .messages = true},
    {.name = "secure-messages",
     .about = "secure pipe over UDP, between two nodes",
     .receive = bench_secure_messages_receive,
     .send = bench_secure_messages_send,
     .baseline = "dtls",
     .messages = true,
     .needs_broker = true},
    {.name = "link",
     .about = "link over TCP, between two nodes",
     .receive = bench_link_receive,
     .send = bench_link_send,
     .baseline = "tls"},
    {.name = "udp-link",
     .about = "link over UDP, between two nodes",
     .receive = bench_udp_link_receive,
     .send = bench_udp_link_send,
     .goal_rate = DATA_CHANNEL_MB_S,
     .needs_broker = true},
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

#define LOOPBACK "loopback"

typedef struct options {
  bench_side side;
  unsigned turns;
  const char *only;           /* comma separated; NULL: all */
  const char *place;          /* NULL: all */
  const char *broker;         /* on loopback */
  const char *broker_program; /* of a link */
  bool json, judge;
} options;

typedef struct row {
  const bench_subject *subject;
  bool runs;
  double rate[TURNS_MAX];                              /* MB/s, or messages/s */
  double sender_us[TURNS_MAX], receiver_us[TURNS_MAX]; /* of a processor, per MB or message */
  double ratio[TURNS_MAX];
  const struct row *baseline;
} row;

/* ---- figures --------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

typedef struct figures {
  double least, median, most;
} figures;

static figures sum_up(const double *numbers, unsigned count) {
  double sorted[TURNS_MAX];
  memcpy(sorted, numbers, count * sizeof *sorted);
  qsort(sorted, count, sizeof *sorted, compare);
  return (figures){sorted[0], (sorted[(count - 1) / 2] + sorted[count / 2]) / 2, sorted[count - 1]};
}

static void keep(row *r, unsigned turn, const bench_result *result) {
  double units = r->subject->messages ? (double)result->messages : (double)result->bytes / 1e6;
  r->rate[turn] = units / result->seconds;
  r->sender_us[turn] = result->sender_cpu_s * 1e6 / units;
  r->receiver_us[turn] = result->receiver_cpu_s * 1e6 / units;
  if (r->baseline != NULL) {
    r->ratio[turn] = r->rate[turn] / r->baseline->rate[turn];
  }
}

/* ---- what is printed ------------------------------------------------------------------------- */

static void print_row(const row *r, unsigned turns) {
  figures rate = sum_up(r->rate, turns);
  const char *unit = r->subject->messages ? "msg/s" : "MB/s";
  printf("| %-39s | %8.0f %-5s | %8.0f .. %8.0f | %8.1f | %8.1f | ", r->subject->about, rate.median,
         unit, rate.least, rate.most, sum_up(r->sender_us, turns).median,
         sum_up(r->receiver_us, turns).median);
  if (r->baseline == NULL) {
    printf("%-26s |\n", "");
    return;
  }
  figures ratio = sum_up(r->ratio, turns);
  printf("%.2f (%.2f .. %.2f) of %-9s |\n", ratio.median, ratio.least, ratio.most,
         r->baseline->subject->name);
}

static void print_table(const row *rows, const options *o) {
  printf("%s: %u turns of %.1f s each, chunks of %d bytes, messages of %d bytes\n\n",
         o->side.place->about, o->turns, o->side.seconds, BENCH_CHUNK, BENCH_MESSAGE);
  printf("| %-39s | %-14s | %-20s | %-8s | %-8s | %-26s |\n", "", "median", "least .. most",
         "us send", "us recv", "ratio, median of turns");
  printf("|---|---|---|---|---|---|\n");
  for (int i = 0; i < SUBJECTS; i++) {
    if (rows[i].runs) {
      print_row(&rows[i], o->turns);
    }
  }
  printf("\nus: microseconds of a processor per MB or message, of the sending and the receiving "
         "process.\n");
}

static void print_json(const row *rows, const options *o) {
  const char *between = "";
  printf("{\"place\":\"%s\",\"turns\":%u,\"seconds\":%.2f,\"subjects\":[", o->side.place->name,
         o->turns, o->side.seconds);
  for (int i = 0; i < SUBJECTS; i++) {
    const row *r = &rows[i];
    if (!r->runs) {
      continue;
    }
    figures rate = sum_up(r->rate, o->turns);
    printf("%s\n{\"name\":\"%s\",\"unit\":\"%s\",\"median\":%.1f,\"least\":%.1f,\"most\":%.1f,"
           "\"sender_us\":%.2f,\"receiver_us\":%.2f",
           between, r->subject->name, r->subject->messages ? "messages/s" : "MB/s", rate.median,
           rate.least, rate.most, sum_up(r->sender_us, o->turns).median,
           sum_up(r->receiver_us, o->turns).median);
    if (r->baseline != NULL) {
      figures ratio = sum_up(r->ratio, o->turns);
      printf(",\"baseline\":\"%s\",\"ratio\":%.3f,\"ratio_least\":%.3f,\"ratio_most\":%.3f",
             r->baseline->subject->name, ratio.median, ratio.least, ratio.most);
    }
    putchar('}');
    between = ",";
  }
  puts("\n]}");
}

/* The line of each goal; false when one is missed. */
static bool judge(const row *rows, const options *o) {
  bool met = true;
  FILE *out = o->json ? stderr : stdout;
  for (int i = 0; i < SUBJECTS; i++) {
    const row *r = &rows[i];
    if (r->runs && r->subject->goal_rate > 0) {
      bool good = sum_up(r->rate, o->turns).median >= r->subject->goal_rate;
      fprintf(out, "%s: %s at least %.0f MB/s, %s\n", good ? "yes" : "NO", r->subject->name,
              r->subject->goal_rate, o->side.place->name);
      met = met && good;
    }
    if (r->runs && r->baseline != NULL && r->subject->goal > 0) {
      bool good = sum_up(r->ratio, o->turns).median >= r->subject->goal;
      fprintf(out, "%s: %s at least %.1f of %s, %s\n", good ? "yes" : "NO", r->subject->name,
              r->subject->goal, r->baseline->subject->name, o->side.place->name);
      met = met && good;
    }
  }
  return met;
}

/* ---- the command ----------------------------------------------------------------------------- */

static void help(void) {
  puts("pipe_bench [--place loopback|link] [--seconds S] [--turns N] [--only NAME,...]\n"
       "           [--broker HOST:PORT] [--broker-program PROGRAM] [--json] [--no-judge]\n"
       "Measures pipes beside what they are made of, over loopback and over a link between two\n"
       "network namespaces. The broker is one on loopback, its program (mosquitto) is started at\n"
       "the link. --json prints an object for each place. Exit status 1: a ratio or a rate is\n"
       "below its goal (not with --no-judge); 3: a round failed, or there is no link. Subjects:");
  for (int i = 0; i < SUBJECTS; i++) {
    printf("  %-16s %s%s\n", subjects[i].name, subjects[i].about,
           subjects[i].needs_broker ? " (needs a broker)" : "");
  }
}

/* Does the first name of a list equal this one? */
static bool begins_with(const char *list, const char *name) {
  size_t len = strlen(name);
  return strncmp(list, name, len) == 0 && (list[len] == ',' || list[len] == '\0');
}

static bool is_named(const char *list, const char *name) {
  for (const char *at = list; at != NULL; at = strchr(at, ',')) {
    at += *at == ',';
    if (begins_with(at, name)) {
      return true;
    }
  }
  return false;
}

/* All of the names are of subjects: with another one nothing would be measured, and no goal missed.
 */
static bool are_subjects(const char *list) {
  for (const char *at = list; at != NULL; at = strchr(at, ',')) {
    at += *at == ',';
    bool found = false;
    for (int i = 0; i < SUBJECTS && !found; i++) {
      found = begins_with(at, subjects[i].name);
    }
    if (!found) {
      return false;
    }
  }
  return true;
}

static bool goes_to(const options *o, const char *place) {
  return o->place == NULL || strcmp(o->place, place) == 0;
}

/* False on what it does not understand. */
static bool read_options(int argc, char **argv, options *o) {
  static const struct option names[] = {
      {"seconds", required_argument, NULL, 's'}, {"turns", required_argument, NULL, 't'},
      {"only", required_argument, NULL, 'o'},    {"broker", required_argument, NULL, 'b'},
      {"place", required_argument, NULL, 'p'},   {"broker-program", required_argument, NULL, 'B'},
      {"json", no_argument, NULL, 'j'},          {"no-judge", no_argument, NULL, 'n'},
      {"help", no_argument, NULL, 'h'},          {0}};
  int c;
  while ((c = getopt_long(argc, argv, "h", names, NULL)) != -1) {
    switch (c) {
    case 's':
      o->side.seconds = strtod(optarg, NULL);
      break;
    case 't':
      o->turns = (unsigned)strtoul(optarg, NULL, 10);
      break;
    case 'o':
      o->only = optarg;
      break;
    case 'b':
      o->broker = optarg;
      break;
    case 'B':
      o->broker_program = optarg;
      break;
    case 'p':
      o->place = optarg;
      break;
    case 'j':
      o->json = true;
      break;
    case 'n':
      o->judge = false;
      break;
    case 'h':
      help();
      exit(EXIT_SUCCESS);
    default:
      return false;
    }
  }
  return optind == argc && are_subjects(o->only) &&
         (goes_to(o, LOOPBACK) || goes_to(o, BENCH_LINK)) && o->turns > 0 &&
         o->turns <= TURNS_MAX && o->side.seconds > 0 && o->side.seconds <= SECONDS_MAX;
}

static void choose(row *rows, const options *o) {
  for (int i = 0; i < SUBJECTS; i++) {
    const bench_subject *subject = &subjects[i];
    rows[i] = (row){.subject = subject};
    rows[i].runs = (o->only == NULL || is_named(o->only, subject->name)) &&
                   (!subject->needs_broker || o->side.place->broker != NULL);
    for (int k = 0; k < i && subject->baseline != NULL; k++) {
      if (rows[k].runs && strcmp(rows[k].subject->name, subject->baseline) == 0) {
        rows[i].baseline = &rows[k];
      }
    }
  }
}

/* All turns of all subjects in one place: a bench_visit. */
static int measure(void *arg, const bench_place *place) {
  static row rows[SUBJECTS];
  options *o = arg;
  o->side.place = place;
  choose(rows, o);
  for (unsigned turn = 0; turn < o->turns; turn++) {
    for (int i = 0; i < SUBJECTS; i++) {
      bench_result result;
      if (!rows[i].runs) {
        continue;
      }
      if (!bench_round(rows[i].subject, &o->side, &result)) {
        return BENCH_BROKEN;
      }
      keep(&rows[i], turn, &result);
    }
  }
  (o->json ? print_json : print_table)(rows, o);
  return judge(rows, o) || !o->judge ? EXIT_SUCCESS : BENCH_SLOW;
}

int main(int argc, char **argv) {
  options o = {.side = {.seconds = 1, .warm_s = 0.1}, .turns = 7, .judge = true};
  if (!read_options(argc, argv, &o)) {
    fputs("pipe_bench: see pipe_bench --help\n", stderr);
    return BENCH_USAGE;
  }
  int at_home = EXIT_SUCCESS, at_link = EXIT_SUCCESS;
  if (goes_to(&o, LOOPBACK)) {
    const bench_place place = {
        .name = LOOPBACK, .about = "Over loopback", .receiver = "127.0.0.1", .broker = o.broker};
    at_home = measure(&o, &place);
  }
  if (goes_to(&o, BENCH_LINK)) {
    fputs(goes_to(&o, LOOPBACK) && !o.json ? "\n" : "", stdout);
    fflush(stdout);
    at_link = bench_in_link(o.broker_program, measure, &o);
  }
  return at_home > at_link ? at_home : at_link;
}
