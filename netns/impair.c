#include "netns/impair.h"

static const double NS_PER_MS = 1e6;
static const double LONGEST_MS = 3600e3;

/* splitmix64: one addition of state, so that any seed does. */
static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

static double draw(ns_direction *direction) {
  direction->random += 0x9e3779b97f4a7c15u;
  return (double)(mix(direction->random) >> 11) * 0x1p-53;
}

void ns_direction_seed(ns_direction *direction, uint64_t seed, int from, int to) {
  direction->random = mix(mix(seed) ^ ((uint64_t)(from + 1) << 32 | (uint64_t)(to + 1)));
}

static double within(double value, double highest) {
  if (!(value > 0)) /* also when it is not a number */
    return 0;
  return value < highest ? value : highest;
}

void ns_direction_set(ns_direction *direction, const ns_impairment *what) {
  direction->what = (ns_impairment){
      .delay_ms = within(what->delay_ms, LONGEST_MS),
      .jitter_ms = within(what->jitter_ms, LONGEST_MS),
      .loss = within(what->loss, 1),
      .duplicate = within(what->duplicate, 1),
      .reorder = within(what->reorder, 1),
      .rate_mbit = within(what->rate_mbit, 1e9),
  };
}

/* When the packet has left a wire of limited rate; false if too much waits for it already. */
static bool pass_wire(ns_direction *direction, uint64_t now_ns, size_t bytes, uint64_t *left_ns) {
  *left_ns = now_ns;
  if (direction->what.rate_mbit <= 0)
    return true;
  uint64_t start_ns = direction->wire_free_ns > now_ns ? direction->wire_free_ns : now_ns;
  if (start_ns - now_ns > (uint64_t)(NS_RATE_QUEUE_MS * NS_PER_MS))
    return false;
  double takes_ns = (double)bytes * 8 * 1000 / direction->what.rate_mbit;
  *left_ns = direction->wire_free_ns = start_ns + (uint64_t)takes_ns;
  return true;
}

ns_fate ns_direction_decide(ns_direction *direction, uint64_t now_ns, size_t bytes) {
  const ns_impairment *what = &direction->what;
  bool lost = draw(direction) < what->loss;
  bool twice = draw(direction) < what->duplicate;
  bool ahead = draw(direction) < what->reorder;
  double jitter[2] = {draw(direction), draw(direction)};
  uint64_t left_ns;
  if (lost)
    return (ns_fate){.verdict = NS_LOST};
  if (!pass_wire(direction, now_ns, bytes, &left_ns))
    return (ns_fate){.verdict = NS_QUEUE_FULL};
  ns_fate fate = {.verdict = NS_PASSES, .copies = twice ? 2 : 1};
  for (unsigned i = 0; i < fate.copies; i++) {
    double delay_ms = what->delay_ms + what->jitter_ms * (2 * jitter[i] - 1);
    fate.due_ns[i] = left_ns;
    if (!ahead && delay_ms > 0)
      fate.due_ns[i] += (uint64_t)(delay_ms * NS_PER_MS);
  }
  return fate;
}
