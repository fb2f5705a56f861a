#include "cli/report.h"

#include "base/bytes.h"
#include "cli/say.h"
#include "cli/story.h"
#include "nickname/names.h"

#include <stdio.h>
#include <string.h>

enum { ADDRESS_LEN = 4 * ((WARP_RECORD_MAX + 2) / 3) + 1, TEXT_LEN = 320 };

const char *cli_key_hex(const warp_key *key, char out[CLI_KEY_HEX_LEN]) {
  wg_hex_encode(key->bytes, sizeof key->bytes, out);
  return out;
}

/* ---- start ----------------------------------------------------------------------------------- */

void cli_report_start(const warp_start_event *event, bool verbose) {
  char detail[TEXT_LEN];
  cli_clean(event->detail, detail, sizeof detail);
  const char *phase = warp_start_phase_name(event->phase);
  cli_event(json_pack("{s:s, s:s, s:f, s:s, s:s}", "event", "start", "phase", phase, "ms",
                      event->elapsed_ms, "status", warp_err_name(event->status), "detail", detail));
  if (verbose) {
    cli_line("%-28s %8.1f ms  %s", phase, event->elapsed_ms, detail);
  }
}

/* False only before the start has completed. */
static bool address_text(const warp_node *node, char out[ADDRESS_LEN]) {
  uint8_t record[WARP_RECORD_MAX];
  size_t len = sizeof record;
  if (warp_node_address(node, record, &len) != WARP_OK) {
    return false;
  }
  wg_base64url_encode(record, len, out);
  return true;
}

void cli_report_address(const warp_node *node) {
  char address[ADDRESS_LEN];
  if (address_text(node, address)) {
    cli_event(json_pack("{s:s, s:s}", "event", "address", "address", address));
    cli_line("warpgate: address %s", address);
  }
}

void cli_report_ready(const warp_node *node, const char *name, bool tell) {
  char address[ADDRESS_LEN], key_hex[CLI_KEY_HEX_LEN];
  warp_key key;
  if (!address_text(node, address) || warp_node_key(node, &key) != WARP_OK) {
    return;
  }
  cli_event(json_pack("{s:s, s:s*, s:s, s:s, s:i}", "event", "ready", "name", name, "address",
                      address, "key", cli_key_hex(&key, key_hex), "port",
                      (int)warp_node_port(node)));
  if (tell && name != NULL) {
    cli_line("warpgate: listening as %s", name);
  }
  if (tell) {
    cli_line("warpgate: address %s", address);
  }
}

/* ---- attempts -------------------------------------------------------------------------------- */

static const char *route_name(int route_type) {
  return route_type == WARP_NIC_BIND ? "interface" : "external";
}

static json_t *rows_json(const warp_report_row *from, size_t count) {
  json_t *rows = json_array();
  for (size_t i = 0; i < count; i++) {
    const warp_report_row *row = &from[i];
    char detail[TEXT_LEN];
    json_array_append_new(rows,
                          json_pack("{s:i, s:s, s:s, s:s, s:i, s:s, s:f, s:f, s:s, s:s}", "attempt",
                                    (int)row->attempt, "plugin", row->plugin, "phase",
                                    warp_phase_name(row->phase), "transport",
                                    warp_transport_name(row->transport), "family", row->family,
                                    "route", route_name(row->route_type), "start_ms", row->start_ms,
                                    "ms", row->elapsed_ms, "status", warp_err_name(row->status),
                                    "detail", cli_clean(row->detail, detail, sizeof detail)));
  }
  return rows;
}

/* What is known of both ends, into an event. */
static void add_report(json_t *event, const warp_report *report) {
  char self[TEXT_LEN], peer[TEXT_LEN], detail[TEXT_LEN];
  json_object_set_new(event, "nat_self",
                      json_string(cli_clean(report->nat_self, self, sizeof self)));
  json_object_set_new(event, "nat_peer",
                      json_string(cli_clean(report->nat_peer, peer, sizeof peer)));
  json_object_set_new(event, "report", rows_json(report->rows, report->count));
  json_object_set_new(event, "peer_report", rows_json(report->peer_rows, report->peer_count));
  const warp_report_row *reason = cli_story_not_direct(report);
  if (reason != NULL) {
    json_object_set_new(event, "not_direct",
                        json_pack("{s:s, s:s}", "plugin", reason->plugin, "detail",
                                  cli_clean(reason->detail, detail, sizeof detail)));
  }
}

/* How an attempt ended, in words. */
static const char *outcome(const warp_report_row *row, char out[TEXT_LEN]) {
  char detail[TEXT_LEN / 2];
  cli_clean(row->detail, detail, sizeof detail);
  const char *what;
  switch (row->status) {
  case WARP_OK:
    what = "won";
    break;
  case WARP_RULED_OUT:
    what = "ruled out";
    break;
  case WARP_CANCELED:
    what = "stopped";
    break;
  case WARP_NO_SERVER:
    what = row->phase == WARP_PHASE_RELAY ? "no relay" : "no broker to ask the peer through";
    break;
  default:
    what = warp_strerror(row->status);
  }
  /* A detail often begins with the same words. */
  bool said = strncmp(detail, what, strlen(what)) == 0;
  snprintf(out, TEXT_LEN, "%s%s%s", said ? "" : what, said || detail[0] == '\0' ? "" : ": ",
           detail);
  return out;
}

/* Which way an attempt went, as "TCP over IPv4 to the interface address". */
static const char *way(const warp_report_row *row, char out[TEXT_LEN]) {
  snprintf(out, TEXT_LEN, "%s/IPv%d %s", row->transport == WARP_TCP ? "TCP" : "UDP", row->family,
           route_name(row->route_type));
  return out;
}

static void table(const warp_report *report) {
  cli_line("  %-16s %-20s %10s %10s  %s", "technique", "way", "started", "took", "result");
  for (size_t i = 0; i < report->count; i++) {
    const warp_report_row *row = &report->rows[i];
    char started[32] = "-", took[32] = "-", text[TEXT_LEN], by[TEXT_LEN];
    if (row->start_ms >= 0) {
      snprintf(started, sizeof started, "+%.1f ms", row->start_ms);
      snprintf(took, sizeof took, "%.1f ms", row->elapsed_ms);
    }
    cli_line("  %-16s %-20s %10s %10s  %s", row->plugin, way(row, by), started, took,
             outcome(row, text));
  }
}

static void lines(const warp_report *report) {
  for (size_t i = 0; i < report->count; i++) {
    char text[TEXT_LEN], by[TEXT_LEN];
    cli_line("  %s (%s): %s", report->rows[i].plugin, way(&report->rows[i], by),
             outcome(&report->rows[i], text));
  }
}

static json_t *failed_event(int status, const warp_report *report) {
  json_t *event = json_pack("{s:s, s:s, s:s}", "event", "failed", "status", warp_err_name(status),
                            "reason", warp_strerror(status));
  add_report(event, report);
  return event;
}

void cli_report_missed(const warp_key *peer, int status, const warp_report *report, bool verbose) {
  char hex[CLI_KEY_HEX_LEN], name[WARP_NAME_MAX + 1];
  wg_name_derive(peer, name);
  json_t *event = failed_event(status, report);
  json_object_set_new(event, "peer", json_string(cli_key_hex(peer, hex)));
  cli_event(event);
  cli_line("warpgate: %s could not connect: %s", name, warp_strerror(status));
  if (verbose) {
    table(report);
  }
}

void cli_report_failed(int status, const warp_report *report, bool verbose) {
  cli_event(failed_event(status, report));
  if (verbose && report->count > 0) {
    cli_story(report);
  } else {
    lines(report);
  }
}

void cli_report_explained(const warp_report *report, bool verbose) {
  json_t *event = json_pack("{s:s}", "event", "explained");
  add_report(event, report);
  cli_event(event);
  if (verbose) {
    cli_story(report);
  }
}

/* ---- pipes ----------------------------------------------------------------------------------- */

void cli_report_connected(const warp_pipe *pipe, const warp_report *report, double lookup_ms,
                          bool tell, bool verbose) {
  warp_pipe_info info;
  char local[WARP_ADDR_STRLEN], remote[WARP_ADDR_STRLEN], key[CLI_KEY_HEX_LEN];
  char peer[WARP_NAME_MAX + 1];
  warp_pipe_get_info(pipe, &info);
  wg_name_derive(&info.peer, peer);
  warp_addr_format(&info.local, local);
  warp_addr_format(&info.remote, remote);
  const char *path = info.relayed ? "relay" : "direct";
  json_t *event = json_pack(
      "{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:f, s:s, s:s, s:s}", "event", "connected", "path", path,
      "winner", info.plugin, "phase", warp_phase_name(info.phase), "transport",
      warp_transport_name(info.transport), "kind", info.kind == WARP_STREAM ? "stream" : "messages",
      "family", info.family, "ms", info.connect_ms, "peer", cli_key_hex(&info.peer, key), "local",
      local, "remote", remote);
  add_report(event, report);
  if (lookup_ms >= 0) {
    json_object_set_new(event, "lookup_ms", json_real(lookup_ms));
  }
  cli_event(event);
  if (tell || verbose) {
    cli_line("warpgate: %s connected: %s over %s/IPv%d by %s in %.1f ms, %s %s", peer, path,
             info.transport == WARP_TCP ? "TCP" : "UDP", info.family, info.plugin, info.connect_ms,
             info.relayed ? "relay" : "at", remote);
  }
  if (verbose) {
    table(report);
  }
}

void cli_report_ended(const warp_key *peer, int status) {
  char hex[CLI_KEY_HEX_LEN], name[WARP_NAME_MAX + 1];
  wg_name_derive(peer, name);
  cli_event(json_pack("{s:s, s:s, s:s}", "event", "ended", "peer", cli_key_hex(peer, hex), "status",
                      warp_err_name(status)));
  cli_line("warpgate: %s ended%s%s", name, status == WARP_CLOSED ? "" : ": ",
           status == WARP_CLOSED ? "" : warp_strerror(status));
}
