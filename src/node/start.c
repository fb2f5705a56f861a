/*
 * The start of a node: a table of steps. Steps of one row run together; the next row starts when
 * all have ended. A step that lacks something the node can live without says so in its event and
 * the start goes on.
 */
#include "node/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { STEPS_TOGETHER = 3 };
typedef struct start_row {
  void (*begin[STEPS_TOGETHER])(warp_node *node);
  void (*first)(warp_node *node); /* what is begun before them, and a later step tells of */
} start_row;

static const start_row rows[] = {
    {.begin = {wg_node_load_interfaces}, .first = wg_node_check_plugins},
    {.begin = {wg_node_load_machine}},
    {.begin = {wg_node_load_key}},
    {.begin = {wg_node_init_clock, wg_node_measure, wg_node_setup_signal},
     .first = wg_node_take_port},
    {.begin = {wg_node_init_punching}},
    {.begin = {wg_node_start_maintenance}},
    {.begin = {wg_node_listen_on_ifs}},
    {.begin = {wg_node_build_address}},
    {.begin = {wg_node_start_port_forwarding}},
    {.begin = {wg_node_setup_names}},
    {.begin = {wg_node_setup_plugins}},
    {.begin = {wg_node_finalize_port_forwarding}},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static void begin_row(warp_node *node) {
  const start_row *row = &rows[node->step++];
  node->step_begun_us = wg_now_us(node->env);
  if (row->first != NULL)
    row->first(node);
  for (size_t i = 0; i < STEPS_TOGETHER; i++)
    node->steps_pending += row->begin[i] != NULL ? 1 : 0;
  for (size_t i = 0; i < STEPS_TOGETHER && row->begin[i] != NULL && node->state == WG_NODE_STARTING;
       i++)
    row->begin[i](node);
}

/* Rows that end at once are gone through in one go: a timer takes a millisecond. */
static void on_row(void *arg) {
  warp_node *node = arg;
  node->in_row = true;
  while (node->state == WG_NODE_STARTING && node->steps_pending == 0 && node->step < ROWS)
    begin_row(node);
  node->in_row = false;
  if (node->state != WG_NODE_STARTING || node->steps_pending > 0)
    return;
  node->state = WG_NODE_RUNNING;
  wg_node_watch_started(node);
  if (node->record_stale)
    wg_node_renew(node);
  node->on_start(node->on_start_arg, node, WARP_OK);
}

void wg_node_begin_start(warp_node *node) {
  wg_timer_start(node->env, &node->step_timer, 0, on_row, node);
}

void wg_node_step_done(warp_node *node, warp_start_phase phase, int status, const char *format,
                       ...) {
  if (node->state != WG_NODE_STARTING)
    return;
  char detail[256];
  va_list args;
  va_start(args, format);
  vsnprintf(detail, sizeof detail, format, args);
  va_end(args);
  warp_start_event event = {.phase = phase,
                            .elapsed_ms =
                                (double)(wg_now_us(node->env) - node->step_begun_us) / 1000.0,
                            .status = status,
                            .detail = detail};
  wg_logf(&node->log, status == WARP_OK ? WARP_LOG_INFO : WARP_LOG_WARN, "%s: %s",
          warp_start_phase_name(phase), detail);
  if (node->conf.on_start_event != NULL)
    node->conf.on_start_event(node->conf.start_arg, &event);
  /* The program may have closed the node in its callback: the timer is not ours then. */
  if (--node->steps_pending == 0 && node->state == WG_NODE_STARTING && !node->in_row)
    wg_timer_start(node->env, &node->step_timer, 0, on_row, node);
}

/* ---- the short steps ------------------------------------------------------------------------- */

void wg_node_load_machine(warp_node *node) {
  int status = wg_machine_id(node->env, node->conf.machine_id, node->machine);
  if (status != WARP_OK) {
    /* Without hardware identifiers the id is random: stable enough for everything but the listen
     * port. */
    status = node->env->ops->random(node->env, node->machine, sizeof node->machine);
    if (status != WARP_OK) {
      wg_node_start_failed(node, status);
      return;
    }
    wg_node_step_done(node, WARP_START_LOAD_MACHINE_IDENTITY, WARP_NOT_FOUND,
                      "no hardware identifiers: a random machine id, the listen port will change");
    return;
  }
  wg_node_step_done(node, WARP_START_LOAD_MACHINE_IDENTITY, WARP_OK, "machine id from %s",
                    node->conf.machine_id != NULL ? "the configuration" : "the hardware");
}

void wg_node_load_key(warp_node *node) {
  const char *name = node->conf.key_name != NULL ? node->conf.key_name : "default";
  bool kept = name[0] != '\0';
  int status = kept ? wg_identity_load(node->env, node->conf.data_dir, name, &node->identity)
                    : wg_identity_generate(&node->identity);
  if (status != WARP_OK) {
    wg_logf(&node->log, WARP_LOG_ERROR, "the key \"%s\" cannot be loaded from %s: %s", name,
            node->conf.data_dir != NULL ? node->conf.data_dir : "the data folder",
            status == WARP_NOT_FOUND ? "there is no such folder, and it cannot be made"
                                     : warp_strerror(status));
    wg_node_start_failed(node, status);
    return;
  }
  wg_node_step_done(node, WARP_START_LOAD_CRYPTOGRAPHY_AND_AUTH, WARP_OK, "%s%s",
                    kept ? "key " : "a new key", name);
}
