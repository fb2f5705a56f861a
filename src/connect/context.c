/* What a plugin is told of the world, and its share of what all attempts may do to a gateway. */
#include "connect/session.h"

#include "base/addr.h"

static wg_connect *connect_of(const warp_attempt *attempt) {
  return attempt->session->connect;
}

int64_t warp_attempt_utc_us(const warp_attempt *attempt, uint32_t *uncertainty_us) {
  if (uncertainty_us != NULL)
    *uncertainty_us = UINT32_MAX;
  if (attempt == NULL)
    return 0;
  const wg_connect_config *config = &connect_of(attempt)->config;
  return wg_utc_us(config->env, config->clock, uncertainty_us);
}

uint64_t warp_attempt_setting(const warp_attempt *attempt, const char *name) {
  if (attempt == NULL || name == NULL)
    return 0;
  return wg_settings_get(&connect_of(attempt)->config.settings, attempt->plugin->settings, name);
}

/* ---- servers --------------------------------------------------------------------------------- */

int warp_attempt_stun_server(warp_attempt *attempt, unsigned index, warp_addr *out) {
  if (attempt == NULL || out == NULL)
    return WARP_INVALID;
  const wg_connect_config *config = &connect_of(attempt)->config;
  for (size_t i = 0; i < config->stun_count; i++) {
    if (config->stun_servers[i].family == attempt->combo.family && index-- == 0) {
      *out = config->stun_servers[i];
      return WARP_OK;
    }
  }
  return WARP_NOT_FOUND;
}

int warp_attempt_relay(warp_attempt *attempt, unsigned index, warp_relay *out) {
  if (attempt == NULL || out == NULL)
    return WARP_INVALID;
  const wg_connect_config *config = &connect_of(attempt)->config;
  for (size_t i = 0; i < config->relay_count; i++) {
    if (config->relays[i].addr.family == attempt->self.family && index-- == 0) {
      *out = config->relays[i];
      return WARP_OK;
    }
  }
  return WARP_NOT_FOUND;
}

/* ---- budgets --------------------------------------------------------------------------------- */

/* The gateway of an interface address: its own, else one that nobody uses any more. A node has no
 * more interfaces at a time than its record tells. */
wg_gateway *wg_connect_gateway(wg_connect *connect, const warp_addr *nic) {
  wg_gateway *unused = NULL;
  for (size_t i = 0; i < WG_RECORD_ENDPOINTS; i++) {
    wg_gateway *gateway = &connect->gateways[i];
    if (wg_addr_same_ip(&gateway->nic, nic))
      return gateway;
    if (gateway->attempts == 0 && (unused == NULL || unused->nic.family != 0))
      unused = gateway;
  }
  if (unused == NULL)
    return &connect->gateways[0];
  wg_budget_limits limits = wg_settings_limits(&connect->config.settings);
  unused->nic = *nic;
  wg_budget_start(&unused->budget, &limits, wg_now_us(connect->config.env));
  return unused;
}

static bool may_use(const warp_attempt *attempt, warp_budget budget) {
  return attempt != NULL &&
         (attempt->state == WG_ATTEMPT_RUNNING || attempt->state == WG_ATTEMPT_KEPT) &&
         budget >= WARP_BUDGET_PROBES && budget <= WARP_BUDGET_SYNS;
}

static bool is_own(const warp_attempt *attempt) {
  return attempt->session->role == WARP_INITIATOR;
}

unsigned warp_attempt_take(warp_attempt *attempt, warp_budget budget, unsigned want,
                           uint32_t *retry_ms) {
  if (retry_ms != NULL)
    *retry_ms = 0;
  if (!may_use(attempt, budget))
    return 0;
  unsigned granted = wg_budget_take(&attempt->gateway->budget, budget, is_own(attempt), want,
                                    warp_attempt_now_us(attempt), retry_ms);
  if (budget != WARP_BUDGET_PROBES)
    attempt->granted[budget] += granted;
  return granted;
}

void warp_attempt_give(warp_attempt *attempt, warp_budget budget, unsigned count) {
  if (!may_use(attempt, budget))
    return;
  if (budget != WARP_BUDGET_PROBES) {
    count = count < attempt->granted[budget] ? count : attempt->granted[budget];
    attempt->granted[budget] -= count;
  }
  wg_budget_give(&attempt->gateway->budget, budget, is_own(attempt), count);
}

bool wg_attempt_spend(warp_attempt *attempt, warp_budget budget) {
  if (attempt->granted[budget] == 0)
    return false;
  attempt->granted[budget]--;
  return true;
}

void wg_attempt_refund(warp_attempt *attempt, warp_budget budget) {
  wg_budget_give(&attempt->gateway->budget, budget, is_own(attempt), 1);
}

bool wg_attempt_may_send(warp_attempt *attempt, const warp_addr *to) {
  return attempt->session->role == WARP_INITIATOR ||
         wg_unheard_take(&connect_of(attempt)->unheard, to, warp_attempt_now_us(attempt));
}

void wg_attempt_give_all(warp_attempt *attempt) {
  static const warp_budget counts[] = {WARP_BUDGET_FLOWS, WARP_BUDGET_SYNS};
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    wg_budget_give(&attempt->gateway->budget, counts[i], is_own(attempt),
                   attempt->granted[counts[i]]);
    attempt->granted[counts[i]] = 0;
  }
}
