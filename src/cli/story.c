#include "cli/story.h"

#include "cli/say.h"

#include <stdio.h>
#include <string.h>

enum {
  TEXT_LEN = 400,
  FAILED_LINES = 4, /* of each kind; a person reads ten lines, --json has them all */
  RULED_OUT_LINES = 3,
};

/* ---- one row -----------------------------------------------------------------------------------
 */

typedef enum row_kind { ROW_WON, ROW_FAILED, ROW_STOPPED, ROW_RULED_OUT, ROW_NOT_BEGUN } row_kind;

static row_kind kind_of(const warp_report_row *row) {
  if (row->status == WARP_OK) {
    return ROW_WON;
  }
  if (row->start_ms < 0) {
    return row->status == WARP_CANCELED ? ROW_NOT_BEGUN : ROW_RULED_OUT;
  }
  return row->status == WARP_CANCELED ? ROW_STOPPED : ROW_FAILED;
}

const warp_report_row *cli_story_peer_row(const warp_report *report, const warp_report_row *row) {
  for (size_t i = 0; i < report->peer_count; i++) {
    if (report->peer_rows[i].attempt == row->attempt) {
      return &report->peer_rows[i];
    }
  }
  return NULL;
}

static void tell_row(const warp_report *report, const warp_report_row *row, const char *title) {
  const warp_report_row *peer = cli_story_peer_row(report, row);
  char detail[TEXT_LEN], theirs[TEXT_LEN];
  cli_clean(row->detail, detail, sizeof detail);
  cli_clean(peer != NULL ? peer->detail : "", theirs, sizeof theirs);
  /* What the peer's failure came to here says the same already. */
  bool news = theirs[0] != '\0' && strstr(detail, theirs) == NULL;
  cli_line("  %-10s %s, %s/IPv%d %s, from +%.0f ms for %.0f ms: %s%s%s", title, row->plugin,
           row->transport == WARP_TCP ? "TCP" : "UDP", row->family,
           row->route_type == WARP_NIC_BIND ? "interface" : "external", row->start_ms,
           row->elapsed_ms, detail[0] != '\0' ? detail : warp_strerror(row->status),
           news ? "; there: " : "", news ? theirs : "");
}

static size_t tell_all(const warp_report *report, row_kind kind, const char *title, size_t most) {
  size_t found = 0;
  for (size_t i = 0; i < report->count; i++) {
    if (kind_of(&report->rows[i]) == kind && ++found <= most) {
      tell_row(report, &report->rows[i], title);
    }
  }
  return found > most ? found - most : 0;
}

/* ---- rows that say the same ---------------------------------------------------------------------
 */

static bool same_reason(const warp_report_row *a, const warp_report_row *b) {
  return kind_of(a) == kind_of(b) && strcmp(a->detail, b->detail) == 0;
}

static bool said_before(const warp_report *report, size_t at) {
  for (size_t i = 0; i < at; i++) {
    if (same_reason(&report->rows[i], &report->rows[at])) {
      return true;
    }
  }
  return false;
}

/* The plugins of all rows with the reason of row `at`, each once. */
static void name_all(const warp_report *report, size_t at, char out[TEXT_LEN]) {
  size_t len = 0;
  const char *last = "";
  out[0] = '\0';
  for (size_t i = at; i < report->count; i++) {
    const warp_report_row *row = &report->rows[i];
    if (same_reason(row, &report->rows[at]) && strcmp(row->plugin, last) != 0 &&
        len + strlen(row->plugin) + 3 < TEXT_LEN) {
      len += (size_t)snprintf(out + len, TEXT_LEN - len, "%s%s", len > 0 ? ", " : "", row->plugin);
      last = row->plugin;
    }
  }
}

static size_t tell_groups(const warp_report *report, row_kind kind, const char *title,
                          size_t most) {
  size_t found = 0;
  for (size_t i = 0; i < report->count; i++) {
    if (kind_of(&report->rows[i]) != kind || said_before(report, i) || ++found > most) {
      continue;
    }
    char names[TEXT_LEN], detail[TEXT_LEN];
    name_all(report, i, names);
    cli_line("  %-10s %s: %s", title, names,
             cli_clean(report->rows[i].detail, detail, sizeof detail));
  }
  return found > most ? found - most : 0;
}

/* ---- why it is not direct
 * ------------------------------------------------------------------------
 */

static bool was_relayed(const warp_report *report) {
  for (size_t i = 0; i < report->count; i++) {
    if (report->rows[i].status == WARP_OK) {
      return report->rows[i].phase == WARP_PHASE_RELAY;
    }
  }
  return false;
}

/* How near an attempt came to a direct pipe: one that ran before one that could not, from outside
 * before what needs a shared network, and what opens NATs before what only dials. */
static int nearness(const warp_report_row *row) {
  return (row->start_ms >= 0 ? 4 : 0) + (row->route_type == WARP_EXT_BIND ? 2 : 0) +
         (row->phase == WARP_PHASE_PUNCH || row->phase == WARP_PHASE_SPRAY ? 1 : 0);
}

const warp_report_row *cli_story_not_direct(const warp_report *report) {
  const warp_report_row *best = NULL;
  if (!was_relayed(report)) {
    return NULL;
  }
  for (size_t i = 0; i < report->count; i++) {
    const warp_report_row *row = &report->rows[i];
    bool counts = row->phase != WARP_PHASE_RELAY && kind_of(row) != ROW_NOT_BEGUN;
    if (counts && (best == NULL || nearness(row) > nearness(best))) {
      best = row;
    }
  }
  return best;
}

/* ---- the story ---------------------------------------------------------------------------------
 */

static void tell_nat(const char *title, const char *nat) {
  char text[TEXT_LEN];
  cli_line("  %-10s %s", title, nat[0] != '\0' ? cli_clean(nat, text, sizeof text) : "not known");
}

void cli_story(const warp_report *report) {
  const warp_report_row *reason = cli_story_not_direct(report);
  char detail[TEXT_LEN];
  tell_nat("here:", report->nat_self);
  tell_nat("there:", report->nat_peer);
  size_t more = tell_all(report, ROW_WON, "won:", 1);
  if (reason != NULL) {
    cli_line("  %-10s %s: %s", "relayed:", reason->plugin,
             cli_clean(reason->detail, detail, sizeof detail));
  }
  more += tell_all(report, ROW_FAILED, "failed:", FAILED_LINES);
  more += tell_all(report, ROW_STOPPED, "stopped:", FAILED_LINES);
  more += tell_groups(report, ROW_RULED_OUT, "ruled out:", RULED_OUT_LINES);
  more += tell_groups(report, ROW_NOT_BEGUN, "not begun:", 1);
  if (more > 0) {
    cli_line("  %-10s %zu more, which --json tells", "and", more);
  }
}
