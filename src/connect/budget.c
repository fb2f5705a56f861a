#include "connect/budget.h"

enum { TOKEN = 1000000 }; /* one probe: then a rate by the second counts microseconds */

static uint64_t burst(const wg_budget *budget) {
  uint64_t worth = (uint64_t)budget->limits.probes_per_s * WG_BUDGET_BURST_MS / 1000;
  return (worth > WG_BUDGET_BURST ? worth : WG_BUDGET_BURST) * TOKEN;
}

void wg_budget_start(wg_budget *budget, const wg_budget_limits *limits, uint64_t now_us) {
  *budget = (wg_budget){.limits = *limits, .filled_us = now_us};
  budget->tokens = burst(budget);
}

static void fill(wg_budget *budget, uint64_t now_us) {
  uint64_t most = burst(budget), rate = budget->limits.probes_per_s;
  uint64_t passed_us = now_us - budget->filled_us;
  budget->filled_us = now_us;
  if (passed_us >= most / rate) /* also keeps the product below from running over */
    budget->tokens = most;
  else
    budget->tokens += passed_us * rate;
  budget->tokens = budget->tokens < most ? budget->tokens : most;
}

static unsigned take_probes(wg_budget *budget, unsigned want, uint64_t now_us, uint32_t *retry_ms) {
  fill(budget, now_us);
  uint64_t there = budget->tokens / TOKEN;
  unsigned granted = want < there ? want : (unsigned)there;
  budget->tokens -= (uint64_t)granted * TOKEN;
  uint64_t lacking = budget->tokens < TOKEN ? TOKEN - budget->tokens : 0;
  uint64_t per_ms = (uint64_t)budget->limits.probes_per_s * 1000;
  if (granted < want)
    *retry_ms = (uint32_t)((lacking + per_ms - 1) / per_ms);
  return granted;
}

static unsigned take_count(wg_budget_count *alive, uint32_t limit, bool own, unsigned want,
                           uint32_t *retry_ms) {
  uint32_t all = alive->own + alive->peers;
  uint32_t there = limit > all ? limit - all : 0;
  if (!own && limit >= 2 * WG_BUDGET_OWN) {
    uint32_t of_peers = limit - WG_BUDGET_OWN;
    uint32_t left = of_peers > alive->peers ? of_peers - alive->peers : 0;
    there = there < left ? there : left;
  }
  unsigned granted = want < there ? want : there;
  *(own ? &alive->own : &alive->peers) += granted;
  if (granted < want)
    *retry_ms = WG_BUDGET_RETRY_MS;
  return granted;
}

unsigned wg_budget_take(wg_budget *budget, warp_budget which, bool own, unsigned want,
                        uint64_t now_us, uint32_t *retry_ms) {
  uint32_t unused;
  retry_ms = retry_ms != NULL ? retry_ms : &unused;
  *retry_ms = 0;
  switch (which) {
  case WARP_BUDGET_PROBES:
    return take_probes(budget, want, now_us, retry_ms);
  case WARP_BUDGET_FLOWS:
    return take_count(&budget->flows, budget->limits.flows, own, want, retry_ms);
  case WARP_BUDGET_SYNS:
    return take_count(&budget->syns, budget->limits.syns, own, want, retry_ms);
  }
  return 0;
}

static void give_count(wg_budget_count *alive, bool own, unsigned count) {
  uint32_t *of = own ? &alive->own : &alive->peers;
  *of -= count < *of ? count : *of;
}

void wg_budget_give(wg_budget *budget, warp_budget which, bool own, unsigned count) {
  switch (which) {
  case WARP_BUDGET_PROBES:
    budget->tokens += (uint64_t)count * TOKEN;
    if (budget->tokens > burst(budget))
      budget->tokens = burst(budget);
    break;
  case WARP_BUDGET_FLOWS:
    give_count(&budget->flows, own, count);
    break;
  case WARP_BUDGET_SYNS:
    give_count(&budget->syns, own, count);
    break;
  }
}
