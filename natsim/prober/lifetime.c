#include "natsim/prober/lifetime.h"

#include "natsim/prober/flow.h"
#include "natsim/prober/kernel.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* Each lifetime is looked at twice, by flows of their own, because to look is to refresh: this long
 * before and after its end. What is in between is the coarseness of timers, and of a busy
 * machine. */
enum { BEFORE_MS = 500, AFTER_MS = 500 };
/* The fence must not fall asleep where TCP is forgotten so soon. */
enum { FENCE_EVERY_MS = 200 };

enum { FIRST_PORT = 30000, LOOKS = 2, TRANSPORTS = 2 };
/* The tables tell what is left of a lifetime, so on a machine so busy that they are read a second
 * late they tell too little. The clock shows it, or a flow that outlives what they told, and all is
 * done again. */
enum { TRIES = 5, LATE_MS = 500 };

static const int types[TRANSPORTS] = {SOCK_DGRAM, SOCK_STREAM};
static const int protocols[TRANSPORTS] = {IPPROTO_UDP, IPPROTO_TCP};
static const char *const names[TRANSPORTS] = {"udp", "tcp"};
static const char *const axes[TRANSPORTS] = {"udp-lifetime", "tcp-lifetime"};

/* One transport's flows: [0] is looked at before the end, [1] after it. */
typedef struct watch {
  sim_local locals[LOOKS];
  sim_flow flows[LOOKS];
  bool open;
  double begun_ms[LOOKS]; /* the last packet of the flow went not earlier ([0]), not later ([1]) */
  sim_lifetimes kernel;
  bool late; /* the tables were read late */
  bool alive[LOOKS];
} watch;

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* A mapping ends with whatever of it ends first. */
static unsigned shortest_s(const watch *w) {
  unsigned set_s = w->kernel.shortest_set_s, flow_s = w->kernel.flow_s;
  return set_s && set_s <= flow_s + 1 ? set_s : flow_s;
}

static bool watched(const watch *w) {
  return w->open && w->kernel.flow_s && shortest_s(w) <= SIM_WATCHED_S;
}

/* Packets have gone by in both directions, so that nothing counts as half open; the last one goes
 * out. */
static void open_flows(sim_bench *bench, int t, int attempt, watch *w) {
  unsigned first_port = FIRST_PORT + (unsigned)(attempt * LOOKS);
  w->open = true;
  for (int look = 0; look < LOOKS; look++) {
    sim_local *local = &w->locals[look];
    w->open = w->open && !sim_local_open(local, bench, types[t], 0, first_port + (unsigned)look) &&
              sim_reach(local, 0, SIM_PROBE_PORT_1, &w->flows[look]) &&
              sim_flow_answered(local, &w->flows[look]);
  }
  for (int look = 0; w->open && look < LOOKS; look++) {
    w->begun_ms[look] = now_ms();
    w->open = sim_flow_asked(&w->locals[look], &w->flows[look]);
    if (look)
      w->begun_ms[look] = now_ms();
  }
}

static void await_time(sim_bench *bench, double due_ms) {
  for (double left = due_ms - now_ms(); left > 0; left = due_ms - now_ms()) {
    poll(NULL, 0, left < FENCE_EVERY_MS ? (int)left + 1 : FENCE_EVERY_MS);
    sim_bench_round(bench);
  }
}

static double due(const watch *w, int look) {
  return w->begun_ms[look] + shortest_s(w) * 1000.0 + (look ? AFTER_MS : -BEFORE_MS);
}

/* A look that comes late, on a machine that is busy, proves nothing: it counts as a good one. */
static void look_at(sim_bench *bench, watch *w, int look) {
  await_time(bench, due(w, look));
  bool late = !look && now_ms() > due(w, look) + BEFORE_MS / 2;
  w->alive[look] = late || sim_flow_answered(&w->locals[look], &w->flows[look]);
}

/* Looks at all flows, the earliest first. */
static void look_at_all(sim_bench *bench, watch watches[TRANSPORTS]) {
  bool done[TRANSPORTS][LOOKS] = {{false}};
  for (int n = 0; n < TRANSPORTS * LOOKS; n++) {
    int best_t = -1, best_look = 0;
    for (int t = 0; t < TRANSPORTS; t++)
      for (int look = 0; watched(&watches[t]) && look < LOOKS; look++)
        if (!done[t][look] &&
            (best_t < 0 || due(&watches[t], look) < due(&watches[best_t], best_look))) {
          best_t = t;
          best_look = look;
        }
    if (best_t < 0)
      return;
    done[best_t][best_look] = true;
    look_at(bench, &watches[best_t], best_look);
  }
}

/* Tables that disagree are all named. */
static void tell(const watch *w, int t, sim_findings *out) {
  unsigned set_s = w->kernel.longest_set_s, flow_s = w->kernel.flow_s;
  unsigned longest_s = set_s > flow_s ? set_s : flow_s;
  if (!w->open)
    sim_find(out, names[t], axes[t], "no mapping");
  else if (shortest_s(w) + 1 < longest_s)
    sim_find(out, names[t], axes[t], "%u to %u", shortest_s(w), longest_s);
  else if (watched(w) && !w->alive[0])
    sim_find(out, names[t], axes[t], "under %u", longest_s);
  else if (watched(w) && w->alive[1])
    sim_find(out, names[t], axes[t], "over %u", longest_s);
  else
    sim_find(out, names[t], axes[t], "%u", longest_s);
}

static bool passes(const sim_findings *found, const char *transport) {
  for (size_t i = 0; i < found->count; i++)
    if (!strcmp(found->all[i].transport, transport) && !strcmp(found->all[i].axis, "outbound"))
      return !strcmp(found->all[i].measured, "passes");
  return false;
}

static bool read_too_late(const watch watches[TRANSPORTS]) {
  for (int t = 0; t < TRANSPORTS; t++)
    if (watches[t].late || (watched(&watches[t]) && watches[t].alive[0] && watches[t].alive[1]))
      return true;
  return false;
}

/* One try: 0 or a negative errno with the line. */
static int try_lifetimes(sim_bench *bench, const ns_host *const routers[], size_t router_count,
                         int attempt, const sim_findings *found, watch watches[TRANSPORTS],
                         ns_error *error) {
  int status = 0;
  memset(watches, 0, TRANSPORTS * sizeof watches[0]);
  for (int t = 0; !status && t < TRANSPORTS; t++) {
    if (!passes(found, names[t]))
      continue;
    open_flows(bench, t, attempt, &watches[t]);
    for (size_t r = 0; !status && watches[t].open && r < router_count; r++)
      status =
          sim_kernel_lifetimes(routers[r], bench->family, protocols[t], &watches[t].kernel, error);
    watches[t].late = watches[t].open && now_ms() > watches[t].begun_ms[0] + LATE_MS;
  }
  if (!status)
    look_at_all(bench, watches);
  return status;
}

int sim_measure_lifetimes(sim_bench *bench, const ns_host *const routers[], size_t router_count,
                          sim_findings *out, ns_error *error) {
  static watch watches[TRANSPORTS];
  int status = 0;
  for (int attempt = 0; !status && attempt < TRIES; attempt++) {
    status = try_lifetimes(bench, routers, router_count, attempt, out, watches, error);
    if (!status && !read_too_late(watches))
      break;
  }
  if (status)
    return status;
  for (int t = 0; t < TRANSPORTS; t++)
    if (passes(out, names[t]))
      tell(&watches[t], t, out);
  return 0;
}
