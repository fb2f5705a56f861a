#include "natsim/servers.h"

#include "natsim/await.h"
#include "natsim/conf_templates.h"
#include "natsim/files.h"
#include "natsim/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A server that has not answered by then will not: coturn takes 50 ms, a loaded machine seconds. */
enum { START_LIMIT_MS = 60000, TRY_MS = 200, PAUSE_MS = 5, STOP_GRACE_MS = 200 };
enum { WEB_STUN_PORT = 80, WEB_MQTT_PORT = 443 };
enum {
  STUN_PORT = 3478,
  STUN_OTHER_PORT = 3479,
  MQTT_PORT = 1883,
  NO_MQTT_PORT = 1884, /* where nobody listens */
  NAMES_PORT = 4370,
  NTP_PORT = 123,
  NTP_SERVERS = 3
};

#define TURN_USER     "natsim"
#define TURN_PASSWORD "laboratory"

/* Brokers have the same ports, each on its own of the server's addresses. */
typedef struct broker_place {
  const char *name, *address, *address6;
} broker_place;
static const broker_place first_broker = {"mosquitto", SIM_SERVER_1, SIM_SERVER6_1};
static const broker_place second_broker = {"mosquitto-2", SIM_SERVER_2, SIM_SERVER6_2};

/* Writes a template, with what stands in braces filled in; `broker` NULL: not for one. */
static int write_conf(const char *path, const char *text, const char *folder,
                      const broker_place *broker, ns_error *error) {
  const sim_fill fills[] = {{"{server_1}", SIM_SERVER_1},
                            {"{server_2}", SIM_SERVER_2},
                            {"{server6_1}", SIM_SERVER6_1},
                            {"{server6_2}", SIM_SERVER6_2},
                            {"{user}", TURN_USER},
                            {"{password}", TURN_PASSWORD},
                            {"{address}", broker ? broker->address : ""},
                            {"{address6}", broker ? broker->address6 : ""},
                            {"{folder}", folder}};
  return sim_write_template(path, text, fills, sizeof fills / sizeof *fills, error);
}

/* ---- starting -------------------------------------------------------------------------------- */

/* What start_one needs of everything. */
typedef struct starter {
  sim_servers *servers;
  const sim_programs *programs;
  const char *folder;
  ns_error *error;
} starter;

static int launch(const sim_servers *servers, sim_server *server, ns_error *error) {
  int log_fd = sim_open_log(server->log_path);
  if (log_fd < 0)
    return sim_fail(error, log_fd, "cannot write %s", server->log_path);
  const char *libraries = servers->programs->libraries;
  const char *envp[] = {*libraries ? libraries : NULL, NULL};
  ns_spawn_options options = {.host = servers->site,
                              .argv = (const char *const *)server->argv,
                              .envp = envp,
                              .pipe_stdout = server->pipe_stdout,
                              .log_fd = log_fd};
  int status = ns_spawn(&server->process, &options, error);
  close(log_fd);
  return status;
}

static int start_one(const starter *s, const char *name, unsigned serves, const char *const *argv,
                     bool pipe_stdout) {
  sim_server *server = &s->servers->all[s->servers->count++];
  *server = (sim_server){.name = name, .serves = serves, .pipe_stdout = pipe_stdout};
  snprintf(server->log_path, sizeof server->log_path, "%s/%s.log", s->folder, name);
  for (int i = 0; argv[i] && i < SIM_SERVER_ARGS; i++) {
    server->argv[i] = strdup(argv[i]);
    if (!server->argv[i])
      return sim_fail(s->error, -ENOMEM, "out of memory");
  }
  return launch(s->servers, server, s->error);
}

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The relay's certificate, for its addresses. */
static int certify(const starter *s) {
  static const char names[] = "IP:" SIM_SERVER_1 ",IP:" SIM_SERVER6_1;
  const char *argv[] = {s->programs->authority, s->folder, names, NULL};
  const char *envp[] = {NULL};
  ns_spawn_options options = {.host = s->servers->site, .argv = argv, .envp = envp, .log_fd = -1};
  ns_process process = {.pid = 0};
  int status = ns_spawn(&process, &options, s->error);
  if (status)
    return status;
  for (long limit = now_ms() + START_LIMIT_MS; !ns_ended(&process) && now_ms() < limit;)
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
  if (ns_stop(&process, STOP_GRACE_MS))
    return sim_fail(s->error, -EIO, "no certificate could be made for the relay");
  snprintf(s->servers->authority, sizeof s->servers->authority, "%s/authority.pem", s->folder);
  return 0;
}

static int start_coturn(const starter *s) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/turnserver.conf", s->folder);
  int status = certify(s);
  if (!status)
    status = write_conf(path, sim_turnserver_conf, s->folder, NULL, s->error);
  const char *argv[] = {s->programs->coturn, "-c", path, NULL};
  return status ? status : start_one(s, "turnserver", SIM_STUN | SIM_TURN, argv, false);
}

static int start_own_stun(const starter *s) {
  char port[8], other_port[8];
  snprintf(port, sizeof port, "%d", SIM_OWN_STUN_PORT);
  snprintf(other_port, sizeof other_port, "%d", SIM_OWN_STUN_OTHER_PORT);
  const char *argv[] = {s->programs->stun, "--listen",       SIM_SERVER_1,  "--other",
                        SIM_SERVER_2,      "--listen",       SIM_SERVER6_1, "--other",
                        SIM_SERVER6_2,     "--port",         port,          "--alt-port",
                        other_port,        "--connect-back", NULL};
  return start_one(s, "warpgate-stun", SIM_STUN, argv, true);
}

static int start_broker(const starter *s, const broker_place *place) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s.conf", s->folder, place->name);
  int status = write_conf(path, sim_mosquitto_conf, s->folder, place, s->error);
  const char *argv[] = {s->programs->broker, "-c", path, NULL};
  return status ? status : start_one(s, place->name, SIM_BROKER, argv, false);
}

static bool has_second_broker(const sim_options *options) {
  return strchr(options->brokers[SIM_A], SIM_BROKER_SECOND) ||
         strchr(options->brokers[SIM_B], SIM_BROKER_SECOND);
}

static int start_names(const starter *s) {
  /* All peers of a run come from two addresses, so the quota of one address must not bind. */
  char store[PATH_MAX], listen[64], listen6[64];
  snprintf(store, sizeof store, "%s/names.db", s->folder);
  snprintf(listen, sizeof listen, SIM_SERVER_1 ":%d", NAMES_PORT);
  snprintf(listen6, sizeof listen6, "[" SIM_SERVER6_1 "]:%d", NAMES_PORT);
  const char *argv[] = {
      s->programs->names, "--listen", listen,       "--listen", listen6,           "--store", store,
      "--quota-v4",       "1000000",  "--quota-v6", "1000000",  "--quota-v6-site", "1000000", NULL};
  return start_one(s, "warpgate-names", SIM_NAMES, argv, true);
}

static int start_chrony(const starter *s) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/chrony.conf", s->folder);
  int status = write_conf(path, sim_chrony_conf, s->folder, NULL, s->error);
  /* In the foreground, with errors on its standard error, as the one user that there is. */
  const char *argv[] = {s->programs->chrony, "-x", "-d", "-u", "root", "-f", path, NULL};
  return status ? status : start_one(s, "chronyd", SIM_NTP, argv, false);
}

/* Beside chrony, which cannot be made to tell a wrong time. */
static int start_own_ntp(const starter *s, int number, double wrong_ms) {
  static const char *const names[] = {"warpgate-ntp-1", "warpgate-ntp-2"};
  char port[8], wrong[32];
  snprintf(port, sizeof port, "%d", NTP_PORT + 1 + number);
  snprintf(wrong, sizeof wrong, "%.0f", wrong_ms);
  const char *argv[] = {s->programs->ntp, "--listen", SIM_SERVER_1, "--listen", SIM_SERVER6_1,
                        "--port",         port,       "--wrong",    wrong,      NULL};
  return start_one(s, names[number], SIM_NTP, argv, true);
}

/* ---- awaiting -------------------------------------------------------------------------------- */

static bool answers(const sim_server *server, const ns_host *site) {
  if (!strcmp(server->name, "turnserver"))
    return sim_answers_stun(site, SIM_SERVER_1, STUN_PORT, TRY_MS) &&
           sim_answers_stun(site, SIM_SERVER_2, STUN_OTHER_PORT, TRY_MS) &&
           sim_answers_stun(site, SIM_SERVER6_1, STUN_PORT, TRY_MS) &&
           sim_answers_stun(site, SIM_SERVER6_2, STUN_OTHER_PORT, TRY_MS);
  if (server->serves == SIM_BROKER) {
    const broker_place *broker =
        strcmp(server->name, first_broker.name) ? &second_broker : &first_broker;
    return sim_answers_mqtt(site, broker->address, MQTT_PORT, TRY_MS) &&
           sim_answers_mqtt(site, broker->address6, WEB_MQTT_PORT, TRY_MS);
  }
  if (!strcmp(server->name, "chronyd"))
    return sim_answers_ntp(site, SIM_SERVER_1, NTP_PORT, TRY_MS) &&
           sim_answers_ntp(site, SIM_SERVER6_1, NTP_PORT, TRY_MS);
  return sim_answers_ready(server->process.stdout_fd, TRY_MS);
}

static int await_one(const sim_server *server, const ns_host *site, ns_error *error) {
  long limit = now_ms() + START_LIMIT_MS;
  while (!answers(server, site)) {
    bool ended = ns_ended(&server->process);
    if (ended || now_ms() > limit) {
      char tail[512], line[256];
      sim_last_line(sim_file_tail(server->log_path, tail, sizeof tail), line, sizeof line);
      return sim_fail(error, -ETIMEDOUT, "%s %s: %s", server->name,
                      ended ? "ended before it answered" : "does not answer",
                      *line ? line : "it wrote nothing");
    }
    nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
  }
  return 0;
}

/* ---- telling --------------------------------------------------------------------------------- */

/* Adds `host:port`, with what comes before it, to a comma separated list. */
static void tell(char *list, size_t size, const char *before, bool six, int port) {
  size_t len = strlen(list);
  snprintf(list + len, size - len, "%s%s%s:%d", len ? "," : "", before,
           six ? "[" SIM_SERVER6_1 "]" : SIM_SERVER_1, port);
}

static void tell_brokers(sim_told *out, const char *which, bool six, bool web) {
  int port = web ? WEB_MQTT_PORT : MQTT_PORT;
  for (; *which; which++) {
    size_t len = strlen(out->brokers);
    const char *comma = len ? "," : "";
    if (*which == SIM_BROKER_SECOND)
      snprintf(out->brokers + len, sizeof out->brokers - len, "%s%s:%d", comma,
               six ? "[" SIM_SERVER6_2 "]" : SIM_SERVER_2, port);
    else
      tell(out->brokers, sizeof out->brokers, "", six,
           *which == SIM_BROKER_DEAD ? NO_MQTT_PORT : port);
  }
}

static void tell_family(sim_told *out, unsigned without, const char *brokers, bool six, bool web) {
  /* Our own first: it shows filters of TCP too. It has no port that passes web-only sites. */
  if (!(without & SIM_STUN) && !web)
    tell(out->stun, sizeof out->stun, "", six, SIM_OWN_STUN_PORT);
  if (!(without & SIM_STUN))
    tell(out->stun, sizeof out->stun, "", six, web ? WEB_STUN_PORT : STUN_PORT);
  if (!(without & SIM_TURN))
    tell(out->turn, sizeof out->turn, TURN_USER ":" TURN_PASSWORD "@", six,
         web ? WEB_STUN_PORT : STUN_PORT);
  if (!(without & SIM_BROKER))
    tell_brokers(out, brokers, six, web);
  if (!(without & SIM_NAMES))
    tell(out->names, sizeof out->names, "", six, NAMES_PORT);
  /* Of one family, because each address that is told has a vote; from behind a firewall that lets
   * only ports 80 and 443 out none can be asked. */
  bool told = *out->ntp != 0;
  for (int i = 0; !told && !web && !(without & SIM_NTP) && i < NTP_SERVERS; i++)
    tell(out->ntp, sizeof out->ntp, "", six, NTP_PORT + i);
}

void sim_servers_tell(const sim_servers *servers, const sim_topology *topology, int side,
                      sim_told *out) {
  bool web = false, four[SIM_SIDES], six[SIM_SIDES];
  for (int i = 0; i < SIM_SIDES; i++) {
    const sim_node *host = &topology->nodes[topology->host[i]];
    web |= (topology->nodes[topology->router[i]].gate.filters & SIM_WEB_ONLY) != 0;
    four[i] = *sim_node_ip(host, 4) != 0;
    six[i] = *sim_node_ip(host, 6) != 0;
  }
  const char *brokers = servers->options->brokers[side];
  *out = (sim_told){.stun = ""};
  bool six_first = !four[SIM_A] || !four[SIM_B];
  if (six[side] && six_first)
    tell_family(out, servers->without, brokers, true, web);
  if (four[side])
    tell_family(out, servers->without, brokers, false, web);
  if (six[side] && !six_first)
    tell_family(out, servers->without, brokers, true, web);
}

int sim_servers_start(sim_servers *servers, const ns_host *site, const sim_options *options,
                      const sim_programs *programs, const char *folder, ns_error *error) {
  *servers = (sim_servers){
      .without = options->without, .site = site, .options = options, .programs = programs};
  starter s = {servers, programs, folder, error};
  unsigned coturn = SIM_STUN | SIM_TURN;
  int status = 0;
  if ((options->without & coturn) != coturn)
    status = start_coturn(&s);
  if (!status && !(options->without & SIM_STUN))
    status = start_own_stun(&s);
  if (!status && !(options->without & SIM_BROKER))
    status = start_broker(&s, &first_broker);
  if (!status && !(options->without & SIM_BROKER) && has_second_broker(options))
    status = start_broker(&s, &second_broker);
  if (!status && !(options->without & SIM_NAMES))
    status = start_names(&s);
  if (!status && !(options->without & SIM_NTP))
    status = start_chrony(&s);
  for (int i = 0; !status && !(options->without & SIM_NTP) && i < NTP_SERVERS - 1; i++)
    status = start_own_ntp(&s, i, i == NTP_SERVERS - 2 ? options->wrong_ntp_ms : 0);
  for (size_t i = 0; !status && i < servers->count; i++)
    status = await_one(&servers->all[i], site, error);
  return status;
}

const sim_server *sim_servers_ended(const sim_servers *servers) {
  for (size_t i = 0; i < servers->count; i++)
    if (ns_ended(&servers->all[i].process))
      return &servers->all[i];
  return NULL;
}

void sim_servers_stop(sim_servers *servers) {
  for (size_t i = 0; i < servers->count; i++) {
    ns_stop(&servers->all[i].process, STOP_GRACE_MS);
    for (int arg = 0; arg < SIM_SERVER_ARGS; arg++)
      free(servers->all[i].argv[arg]);
  }
  servers->count = 0;
}

/* ---- in the middle of a trial ---------------------------------------------------------------- */

void sim_servers_kill(sim_servers *servers, unsigned bits) {
  for (size_t i = 0; i < servers->count; i++)
    if (servers->all[i].serves & bits) {
      ns_stop(&servers->all[i].process, 0);
      servers->all[i].unsettled = true;
    }
}

int sim_servers_revive(sim_servers *servers, unsigned bits, ns_error *error) {
  int status = 0;
  for (size_t i = 0; !status && i < servers->count; i++)
    if (servers->all[i].serves & bits && servers->all[i].process.pid <= 0)
      status = launch(servers, &servers->all[i], error);
  return status;
}

int sim_servers_settle(sim_servers *servers, ns_error *error) {
  int status = sim_servers_revive(servers, ~0U, error);
  for (size_t i = 0; !status && i < servers->count; i++)
    if (servers->all[i].unsettled) {
      status = await_one(&servers->all[i], servers->site, error);
      servers->all[i].unsettled = false;
    }
  return status;
}
