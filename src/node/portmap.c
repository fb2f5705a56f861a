/*
 * Port forwarding: the router is asked to let everybody in by the listen port (UPnP IGD, NAT-PMP).
 *
 * Nobody waits for a router that may not be there: the asking goes on in the background, and what
 * is granted later is published then. Only the last step of the start waits a moment, for a node
 * that stands behind a NAT, because most routers that can be asked answer at once.
 */
#include "node/internal.h"

#include <stdio.h>

/* ---- what an answer is worth ----------------------------------------------------------------- */

/* The address that STUN saw over the transport, or the other one: a NAT has both on one address
 * (RFC 4787 REQ-2). NULL: not known. */
static const warp_addr *seen_outside(const wg_opening *opening) {
  const wg_uplink *uplink = opening->uplink;
  const warp_addr *first = &uplink->external_tcp, *second = &uplink->external_udp;
  if (opening->transport == WARP_UDP) {
    first = &uplink->external_udp;
    second = &uplink->external_tcp;
  }
  return first->family != 0 ? first : second->family != 0 ? second : NULL;
}

/* A private address, or another one than the outside sees: one more NAT stands outside of the
 * router, and nobody reaches the port. Without a STUN server the router's word is all there is. */
static bool stands_outside(const wg_opening *opening) {
  const warp_addr *seen = seen_outside(opening);
  return wg_addr_get_scope(&opening->external) == WG_SCOPE_GLOBAL &&
         (seen == NULL || wg_addr_same_ip(seen, &opening->external));
}

const warp_addr *wg_opening_address(const wg_opening *opening) {
  return opening->external.family != 0 && stands_outside(opening) ? &opening->external : NULL;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool unanswered(const warp_node *node) {
  for (size_t i = 0; i < node->uplink_count; i++) {
    for (size_t k = 0; k < WG_NODE_OPENINGS; k++) {
      const wg_opening *opening = &node->uplinks[i]->openings[k];
      if (opening->portmap != NULL && !opening->answered)
        return true;
    }
  }
  return false;
}

static void finalize(warp_node *node);

static void log_answer(const warp_node *node, const wg_opening *opening) {
  const wg_log *log = &node->log;
  const char *transport = warp_transport_name(opening->transport);
  char text[WARP_ADDR_STRLEN];
  if (opening->status != WARP_OK)
    wg_logf(log, WARP_LOG_INFO, "the router opens no %s port: %s", transport,
            warp_strerror(opening->status));
  else
    wg_logf(log, WARP_LOG_INFO, "the router opened %s %s by %s%s", transport,
            warp_addr_format(&opening->external, text), opening->protocol,
            stands_outside(opening) ? "" : ", which is not where the internet sees us");
}

static void on_answer(void *arg, int status, const wg_portmap_grant *grant) {
  wg_opening *opening = arg;
  warp_node *node = opening->uplink->node;
  const warp_addr *before = wg_opening_address(opening);
  warp_addr published = before != NULL ? *before : (warp_addr){0};
  opening->answered = true;
  opening->status = status;
  opening->external = grant != NULL ? grant->external : (warp_addr){0};
  opening->protocol = grant != NULL ? grant->protocol : NULL;
  log_answer(node, opening);
  const warp_addr *after = wg_opening_address(opening);
  if (after != NULL ? !wg_addr_equal(after, &published) : before != NULL)
    wg_node_renew(node);
  if (node->router_awaited && !unanswered(node))
    finalize(node);
}

/* A node that the outside sees under its own address has no router to ask. */
static bool behind_nat(const wg_uplink *uplink) {
  warp_nat_translation translation = uplink->found.udp.translation;
  return uplink->interface.addr.family == WARP_IP4 &&
         (translation == WARP_TRANSLATION_NAT ||
          (translation == WARP_TRANSLATION_UNKNOWN &&
           wg_addr_get_scope(&uplink->interface.addr) != WG_SCOPE_GLOBAL));
}

bool wg_uplink_ask_router(wg_uplink *uplink) {
  warp_node *node = uplink->node;
  if (!node->conf.enable_upnp || node->conf.loopback_only || !behind_nat(uplink))
    return false;
  bool asked = false;
  warp_addr local = wg_addr_with_port(&uplink->interface.addr, node->port);
  for (size_t k = 0; k < WG_NODE_OPENINGS; k++) {
    wg_opening *opening = &uplink->openings[k];
    if (opening->portmap == NULL &&
        node->env->ops->portmap_open(node->env, &local, opening->transport, on_answer, opening,
                                     &opening->portmap) == WARP_OK)
      node->router_asked_us = wg_now_us(node->env);
    asked |= opening->portmap != NULL;
  }
  return asked;
}

void wg_node_start_port_forwarding(warp_node *node) {
  bool asked = false, translated = false;
  for (size_t i = 0; i < node->uplink_count; i++) {
    translated |= behind_nat(node->uplinks[i]);
    asked |= wg_uplink_ask_router(node->uplinks[i]); /* of some only the measurement has told */
  }
  wg_node_step_done(node, WARP_START_START_BACKGROUND_PORT_FORWARDING, WARP_OK, "%s",
                    asked ? "asking the router"
                    : node->conf.enable_upnp && !node->conf.loopback_only && !translated
                        ? "no NAT, so no router to ask"
                        : "off");
}

void wg_uplink_close_openings(wg_uplink *uplink) {
  for (size_t k = 0; k < WG_NODE_OPENINGS; k++) {
    if (uplink->openings[k].portmap != NULL)
      uplink->node->env->ops->portmap_close(uplink->openings[k].portmap);
    uplink->openings[k].portmap = NULL;
  }
}

/* ---- the end of the start -------------------------------------------------------------------- */

/* How much an opening says about the whole: what is open first, then why nothing is. */
static unsigned weight(const wg_opening *opening) {
  return opening->portmap == NULL              ? 0
         : !opening->answered                  ? 2
         : wg_opening_address(opening) != NULL ? 4
         : opening->external.family != 0       ? 3
                                               : 1;
}

static const wg_opening *most_telling(const warp_node *node) {
  static const wg_opening nothing = {.portmap = NULL};
  const wg_opening *best = &nothing;
  for (size_t i = 0; i < node->uplink_count; i++) {
    for (size_t k = 0; k < WG_NODE_OPENINGS; k++) {
      const wg_opening *opening = &node->uplinks[i]->openings[k];
      if (weight(opening) > weight(best))
        best = opening;
    }
  }
  return best;
}

static void report(warp_node *node) {
  const warp_start_phase phase = WARP_START_FINALIZE_PORT_FORWARDING;
  const wg_opening *opening = most_telling(node);
  char text[WARP_ADDR_STRLEN];
  warp_addr_format(&opening->external, text);
  switch (weight(opening)) {
  case 4:
    wg_node_step_done(node, phase, WARP_OK, "%s %s is open to everybody by %s",
                      warp_transport_name(opening->transport), text, opening->protocol);
    break;
  case 3:
    wg_node_step_done(node, phase, WARP_UNREACHABLE,
                      "the router opened %s, which is not where the internet sees us: "
                      "another NAT stands outside of it",
                      text);
    break;
  case 2:
    wg_node_step_done(node, phase, WARP_TIMEOUT,
                      "no answer yet; what a router opens later is published then");
    break;
  case 1:
    wg_node_step_done(node, phase, opening->status, "no router opened the port: %s",
                      warp_strerror(opening->status));
    break;
  default:
    wg_node_step_done(node, phase, WARP_OK, "nothing was asked for");
    break;
  }
}

static void on_registered(void *arg, int status, const uint8_t *record, size_t len) {
  (void)status; /* the name stood before, and is registered again until it is this one */
  (void)record;
  (void)len;
  report(arg);
}

/* Started means reachable: the name leads to what is open now. */
static void finalize(warp_node *node) {
  node->router_awaited = false;
  wg_timer_stop(node->env, &node->router_timer);
  bool renewed = node->record_stale && wg_node_issue_record(node) == WARP_OK;
  if (!renewed || !node->nickname_kept ||
      wg_names_register(node->names, node->nickname, node->record_bytes, node->record_len,
                        on_registered, node) != WARP_OK)
    report(node);
}

static void on_waited(void *arg) {
  finalize(arg);
}

void wg_node_finalize_port_forwarding(warp_node *node) {
  uint64_t now = wg_now_us(node->env);
  uint64_t until = node->router_asked_us + (uint64_t)WG_PORTMAP_START_MS * 1000;
  node->router_awaited = unanswered(node) && now < until;
  wg_timer_start(node->env, &node->router_timer, node->router_awaited ? until - now : 0, on_waited,
                 node);
}
