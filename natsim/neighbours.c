#include "natsim/neighbours.h"

#include "natsim/seed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The neighbours' addresses begin this far after their router's. */
enum { FIRST_NEIGHBOUR = 8 };
/* TCP flows that stay open at a time; a UDP flow is one packet, which its NAT remembers anyway. */
enum { OPEN_FLOWS = 512 };
/* Ports that Linux gives to a program that does not ask for one (ip_local_port_range). */
enum { FIRST_PORT = 32768, PORTS = 28232 };

static const char name_begins[] = "neighbours-";

/* ---- what is drawn --------------------------------------------------------------------------- */

/* Milliseconds from one flow of a side to the next, on average. */
static double interval_ms(const sim_options *o) {
  return o->neighbour_rate > 0 ? 1000 / o->neighbour_rate
                               : (double)SIM_NEIGHBOURS_MS / o->neighbour_flows;
}

sim_flow sim_flow_draw(const sim_options *options, uint64_t seed, int side, unsigned index) {
  char purpose[40];
  snprintf(purpose, sizeof purpose, "neighbours %d %u", side, index);
  uint64_t bits = sim_derive(seed, purpose);
  double within = (double)(bits & 0xffff) / 0x10000;
  bits >>= 16;
  sim_flow flow = {.at_ms = (index + within) * interval_ms(options),
                   .port = (uint16_t)(FIRST_PORT + bits % PORTS)};
  bits /= PORTS;
  flow.neighbour = (int)(bits % SIM_NEIGHBOURS);
  bits /= SIM_NEIGHBOURS;
  flow.server_port = (int)(bits % SIM_SINKS);
  bits /= SIM_SINKS;
  flow.server = (int)(bits & 1);
  flow.tcp = bits & 2;
  return flow;
}

/* ---- the topology ---------------------------------------------------------------------------- */

bool sim_is_neighbour(const sim_node *node) {
  return !strncmp(node->name, name_begins, sizeof name_begins - 1);
}

/* The address `offset` numbers after `ip`. */
static void later_ip(const char *ip, int offset, char out[SIM_IP_STRLEN]) {
  size_t len = (size_t)(strrchr(ip, '.') - ip) + 1;
  memcpy(out, ip, len);
  snprintf(out + len, SIM_IP_STRLEN - len, "%d", atoi(ip + len) + offset);
}

void sim_neighbour_ip(const sim_node *node, int i, char out[SIM_IP_STRLEN]) {
  later_ip(node->links[0].ip4, i, out);
}

static void add_behind(sim_topology *t, int side) {
  const sim_node *router = &t->nodes[t->router[side]];
  const sim_link *lan = &router->links[1];
  if (!*lan->ip4 || t->node_count == SIM_NODES_MAX)
    return;
  sim_node *node = &t->nodes[t->node_count++];
  *node = (sim_node){.link_count = 1};
  snprintf(node->name, sizeof node->name, "%s%c", name_begins, "ab"[side]);
  sim_link *link = &node->links[0];
  *link = (sim_link){.net = lan->net, .name = "eth0", .len4 = lan->len4};
  later_ip(lan->ip4, FIRST_NEIGHBOUR, link->ip4);
  memcpy(link->gateway4, lan->ip4, sizeof link->gateway4);
}

void sim_neighbours_add(sim_topology *t) {
  add_behind(t, SIM_A);
  if (t->router[SIM_B] != t->router[SIM_A])
    add_behind(t, SIM_B);
}

/* ---- flows ----------------------------------------------------------------------------------- */

typedef struct side_flows {
  const ns_host *host; /* NULL: nobody lives there */
  struct in_addr from[SIM_NEIGHBOURS];
  unsigned opened;
  sim_flow next;
} side_flows;

struct sim_neighbours {
  const sim_options *options;
  uint64_t seed;
  side_flows sides[SIM_SIDES];
  struct in_addr servers[2];
  int sinks[2 * SIM_SINKS];
  int open[OPEN_FLOWS]; /* TCP sockets, 0: none */
  unsigned opened;      /* of TCP */
  pthread_t thread;
  bool running;
  int stop_fd;
};

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* A socket of the neighbour, on the flow's port or, where that is taken, the next. */
static int inside_socket(const side_flows *side, const sim_flow *flow) {
  enum { TRIES = 8 };
  if (ns_enter(side->host))
    return -1;
  int type = (flow->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
  int fd = socket(AF_INET, type, 0);
  ns_leave();
  for (int i = 0; fd >= 0 && i < TRIES; i++) {
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)(flow->port + i)),
                               .sin_addr = side->from[flow->neighbour]};
    if (!bind(fd, (struct sockaddr *)&from, sizeof from))
      return fd;
  }
  if (fd >= 0)
    close(fd);
  return -1;
}

static void open_flow(sim_neighbours *n, side_flows *side) {
  const sim_flow *flow = &side->next;
  struct sockaddr_in to = {.sin_family = AF_INET,
                           .sin_port = htons((uint16_t)(SIM_SINK_PORT + flow->server_port)),
                           .sin_addr = n->servers[flow->server]};
  int fd = inside_socket(side, flow);
  if (fd < 0)
    return;
  int failed = connect(fd, (struct sockaddr *)&to, sizeof to);
  if (!flow->tcp)
    failed = send(fd, "neighbour", 9, MSG_NOSIGNAL) < 0;
  else if (failed && errno == EINPROGRESS)
    failed = 0;
  side->opened += !failed;
  if (failed || !flow->tcp) {
    close(fd);
    return;
  }
  int *slot = &n->open[n->opened++ % OPEN_FLOWS];
  if (*slot)
    close(*slot);
  *slot = fd;
}

/* Draws the side's next flow: never, when it has had all. */
static void draw_next(sim_neighbours *n, int side, unsigned index) {
  side_flows *flows = &n->sides[side];
  if (!flows->host || (n->options->neighbour_flows && index >= n->options->neighbour_flows))
    flows->next.at_ms = INFINITY;
  else
    flows->next = sim_flow_draw(n->options, n->seed, side, index);
}

/* Waits that long, or until the end; false then. */
static bool wait_ms(const sim_neighbours *n, double ms) {
  struct pollfd stop = {.fd = n->stop_fd, .events = POLLIN};
  long ns = ms > 0 ? (long)(ms * 1e6) : 0;
  struct timespec left = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  return ppoll(&stop, 1, isfinite(ms) ? &left : NULL, NULL) <= 0;
}

static void *run(void *arg) {
  sim_neighbours *n = arg;
  double begin_ms = now_ms();
  unsigned indexes[SIM_SIDES] = {0, 0};
  for (int side = 0; side < SIM_SIDES; side++)
    draw_next(n, side, 0);
  for (;;) {
    int first = n->sides[SIM_B].next.at_ms < n->sides[SIM_A].next.at_ms ? SIM_B : SIM_A;
    if (!wait_ms(n, begin_ms + n->sides[first].next.at_ms - now_ms()))
      return NULL;
    open_flow(n, &n->sides[first]);
    draw_next(n, first, ++indexes[first]);
  }
}

/* ---- setting up ------------------------------------------------------------------------------ */

/* A socket of the server site that takes what comes and answers with nothing of its own. */
static int open_sink(const ns_host *server, int type, int port) {
  enum { WAITING = 4096 };
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (ns_enter(server))
    return -1;
  int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  ns_leave();
  int on = 1;
  if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
                  bind(fd, (struct sockaddr *)&at, sizeof at) < 0 ||
                  (type == SOCK_STREAM && listen(fd, WAITING) < 0))) {
    close(fd);
    return -1;
  }
  return fd;
}

static int open_sinks(sim_neighbours *n, const ns_host *server, ns_error *error) {
  for (int i = 0; i < 2 * SIM_SINKS; i++) {
    int port = SIM_SINK_PORT + i / 2;
    n->sinks[i] = open_sink(server, i % 2 ? SOCK_STREAM : SOCK_DGRAM, port);
    if (n->sinks[i] < 0)
      return sim_fail(error, -errno, "the server site cannot take the neighbours' flows on %d: %s",
                      port, strerror(errno));
  }
  return 0;
}

/* Gives the host all of its addresses. */
static int move_in(side_flows *side, const ns_host *host, const sim_node *node, ns_error *error) {
  ns_batch batch;
  ns_begin(&batch, host);
  for (int i = 0; i < SIM_NEIGHBOURS; i++) {
    char ip[SIM_IP_STRLEN], text[SIM_IP_STRLEN + 4];
    sim_neighbour_ip(node, i, ip);
    inet_pton(AF_INET, ip, &side->from[i]);
    snprintf(text, sizeof text, "%s/%d", ip, node->links[0].len4);
    if (i)
      ns_add_address(&batch, SIM_FIRST_INDEX, text);
  }
  side->host = host;
  return ns_commit(&batch, error);
}

static int set_up(sim_neighbours *n, const sim_world *world, ns_error *error) {
  const sim_topology *t = &world->built.topology;
  inet_pton(AF_INET, SIM_SERVER_1, &n->servers[0]);
  inet_pton(AF_INET, SIM_SERVER_2, &n->servers[1]);
  int status = 0;
  for (int node = 0; !status && node < t->node_count; node++)
    if (sim_is_neighbour(&t->nodes[node])) {
      int side = t->nodes[node].name[sizeof name_begins - 1] == 'a' ? SIM_A : SIM_B;
      status = move_in(&n->sides[side], &world->built.hosts[node], &t->nodes[node], error);
    }
  if (!status)
    status = open_sinks(n, &world->server, error);
  n->stop_fd = status ? -1 : eventfd(0, EFD_CLOEXEC);
  return status || n->stop_fd >= 0 ? status : sim_fail(error, -errno, "%s", strerror(errno));
}

int sim_neighbours_open(sim_neighbours **out, const sim_world *world, const sim_options *options,
                        uint64_t seed, ns_error *error) {
  sim_neighbours *n = *out = calloc(1, sizeof *n);
  if (!n)
    return sim_fail(error, -ENOMEM, "out of memory");
  n->options = options;
  n->seed = seed;
  n->stop_fd = -1;
  int status = set_up(n, world, error);
  if (status) {
    sim_neighbours_close(n, NULL);
    *out = NULL;
  }
  return status;
}

int sim_neighbours_start(sim_neighbours *n, ns_error *error) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int err = pthread_create(&n->thread, NULL, run, n);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  n->running = !err;
  return err ? sim_fail(error, -err, "cannot start the neighbours: %s", strerror(err)) : 0;
}

void sim_neighbours_close(sim_neighbours *n, unsigned opened[SIM_SIDES]) {
  if (!n)
    return;
  if (n->running) {
    eventfd_write(n->stop_fd, 1);
    pthread_join(n->thread, NULL);
  }
  for (int side = 0; opened && side < SIM_SIDES; side++)
    opened[side] = n->sides[side].opened;
  for (int i = 0; i < OPEN_FLOWS; i++)
    if (n->open[i])
      close(n->open[i]);
  for (int i = 0; i < 2 * SIM_SINKS; i++)
    if (n->sinks[i] > 0)
      close(n->sinks[i]);
  if (n->stop_fd >= 0)
    close(n->stop_fd);
  free(n);
}
