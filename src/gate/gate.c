/* Gates: a node under a name. */
#include "gate/gate.h"

#include "nickname/names.h"
#include "node/node.h"

#include "env/loop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct warp_gate {
  warp_node *node;
  bool started;    /* the node is */
  bool renewed;    /* registered once more, because the record changed meanwhile */
  bool registered; /* it was tried, and came to `name_status` */
  int name_status;
  unsigned withdrawing; /* names that are being taken back, because it could not open */
  bool closing;         /* the node is */
  bool closed;          /* by the program */
  char name[WARP_PEER_NAME_LEN];
  wg_name_set names;
  warp_gate_on_link on_link;
  void *on_link_arg;
  warp_gate_on_open on_open;
  void *on_open_arg;
  bool opened; /* on_open has run */
  int status;
  void (*on_close)(void *arg);
  void *on_close_arg;
};

/* A connect that waits for its look-up. */
typedef struct gate_dial {
  warp_gate *gate;
  warp_connect_options options;
  char *plugins;
  warp_pipe_id id;
  warp_on_connect cb;
  void *arg;
} gate_dial;

/* ---- opening --------------------------------------------------------------------------------- */

static void complete(warp_gate *gate, int status) {
  if (gate->opened)
    return;
  gate->opened = true;
  gate->on_open(gate->on_open_arg, status == WARP_OK ? gate : NULL, status);
}

static void free_gate(void *arg) {
  warp_gate *gate = arg;
  void (*closed)(void *) = gate->on_close;
  void *closed_arg = gate->on_close_arg;
  int status = gate->status;
  complete(gate, status);
  free(gate);
  if (closed != NULL)
    closed(closed_arg);
}

/* The gate ends: its node goes first, then the program is told, if it still waits for the opening.
 */
static void shut(warp_gate *gate, int status) {
  gate->status = status;
  gate->closing = true;
  warp_node_close(gate->node, free_gate, gate);
}

static void on_withdrawn(void *arg, int status, const uint8_t *record, size_t len) {
  (void)status;
  (void)record;
  (void)len;
  warp_gate *gate = arg;
  gate->withdrawing--;
  if (gate->withdrawing == 0 && !gate->closing)
    shut(gate, gate->status);
}

static void withdraw(warp_gate *gate, const char *name) {
  if (warp_node_unregister(gate->node, name, on_withdrawn, gate) == WARP_OK)
    gate->withdrawing++;
}

/* Names that servers have taken must not lead to a node that is gone. They are asked once, and not
 * waited for longer than a server may take to answer anything. */
static void fail(warp_gate *gate, int status) {
  gate->status = status;
  if (gate->renewed) /* it was registered at first */
    withdraw(gate, gate->name);
  if (wg_node_has_nickname(gate->node))
    withdraw(gate, warp_node_nickname(gate->node));
  if (gate->withdrawing == 0)
    shut(gate, status);
}

static void on_registered(void *arg, int status, const uint8_t *record, size_t len);

/* Once both are known, the node's start and what became of the name. */
static void settle(warp_gate *gate) {
  if (gate->closing || !gate->started || !gate->registered)
    return;
  int status = gate->name_status;
  if (status == WARP_OK && !gate->renewed && !wg_node_also_stands(gate->node)) {
    /* What the start has learned since, as a port that the router opened, is registered too. */
    gate->renewed = true;
    gate->registered = false;
    status = warp_node_register(gate->node, gate->name, on_registered, gate);
    if (status == WARP_OK)
      return;
  }
  if (status == WARP_OK)
    complete(gate, WARP_OK);
  else
    fail(gate, status);
}

static void on_registered(void *arg, int status, const uint8_t *record, size_t len) {
  (void)record;
  (void)len;
  warp_gate *gate = arg;
  gate->registered = true;
  gate->name_status = status;
  settle(gate);
}

static void on_started(void *arg, warp_node *node, int status) {
  (void)node;
  warp_gate *gate = arg;
  if (gate->closing)
    return;
  if (status != WARP_OK) {
    complete(gate, status);
    free(gate);
    return;
  }
  gate->started = true;
  settle(gate);
}

int wg_gate_open(wg_env *env, const char *name, const warp_conf *conf, warp_gate_on_open cb,
                 void *arg, warp_gate **out) {
  if (env == NULL || conf == NULL || cb == NULL || out == NULL)
    return WARP_INVALID;
  warp_gate *gate = calloc(1, sizeof *gate);
  if (gate == NULL)
    return WARP_NOMEM;
  char plain[WARP_NAME_MAX + 1];
  wg_name_set *set = &gate->names;
  int status = wg_name_set_init(set, conf->name_servers, conf->default_name_servers);
  if (status == WARP_OK)
    status = name != NULL ? wg_name_normalize(name, set, plain)
                          : wg_machine_name(env, conf->machine_id, conf->data_dir, plain);
  warp_conf copy = *conf;
  if (copy.key_name == NULL)
    copy.key_name = plain; /* the node copies it */
  gate->on_open = cb;
  gate->on_open_arg = arg;
  if (status == WARP_OK) {
    snprintf(gate->name, sizeof gate->name, "%s%s", plain, set->suffix);
    status = wg_node_start(env, &copy, on_started, gate, &gate->node);
  }
  if (status == WARP_OK)
    wg_node_also_register(gate->node, gate->name, on_registered, gate);
  if (status != WARP_OK) {
    free(gate);
    return status;
  }
  *out = gate;
  return WARP_OK;
}

int warp_gate_open(warp_loop *loop, const char *name, const warp_conf *conf, warp_gate_on_open cb,
                   void *arg, warp_gate **out) {
  return loop == NULL ? WARP_INVALID : wg_gate_open(warp_loop_env(loop), name, conf, cb, arg, out);
}

void warp_gate_close(warp_gate *gate, void (*cb)(void *arg), void *arg) {
  if (gate == NULL || gate->closed)
    return;
  gate->closed = true;
  gate->on_close = cb;
  gate->on_close_arg = arg;
  if (!gate->closing) /* else it could not open, and the program is about to hear so */
    shut(gate, WARP_CANCELED);
}

warp_node *warp_gate_node(warp_gate *gate) {
  return gate != NULL ? gate->node : NULL;
}

const char *warp_gate_name(const warp_gate *gate) {
  return gate != NULL ? gate->name : "";
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void on_found(void *arg, int status, const uint8_t *record, size_t len) {
  gate_dial *dial = arg;
  dial->options.plugins = dial->plugins;
  if (status == WARP_OK)
    status = warp_auto_connect(dial->gate->node, record, len, &dial->options, dial->cb, dial->arg);
  if (status != WARP_OK) {
    static const warp_report nothing = {0};
    dial->cb(dial->arg, NULL, status, &nothing);
  }
  free(dial->plugins);
  free(dial);
}

int warp_gate_connect(warp_gate *gate, const char *name, const warp_connect_options *options,
                      warp_on_connect cb, void *arg) {
  if (gate == NULL || name == NULL || cb == NULL)
    return WARP_INVALID;
  if (!gate->opened || gate->closing)
    return WARP_STATE;
  gate_dial *dial = calloc(1, sizeof *dial);
  if (dial == NULL)
    return WARP_NOMEM;
  *dial = (gate_dial){.gate = gate, .cb = cb, .arg = arg};
  int status = WARP_OK;
  if (options != NULL) {
    dial->options = *options;
    if (options->plugins != NULL && (dial->plugins = strdup(options->plugins)) == NULL)
      status = WARP_NOMEM;
    if (options->id != NULL) {
      dial->id = *options->id;
      dial->options.id = &dial->id;
    }
  }
  if (status == WARP_OK)
    status = warp_node_lookup(gate->node, name, on_found, dial);
  if (status != WARP_OK) {
    free(dial->plugins);
    free(dial);
  }
  return status;
}

int warp_gate_connect_record(warp_gate *gate, const uint8_t *record, size_t len,
                             const warp_connect_options *options, warp_on_connect cb, void *arg) {
  if (gate == NULL || record == NULL || cb == NULL)
    return WARP_INVALID;
  if (!gate->opened || gate->closing)
    return WARP_STATE;
  return warp_auto_connect(gate->node, record, len, options, cb, arg);
}

/* ---- links ----------------------------------------------------------------------------------- */

/* Pipes of peers become links. */
static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)node;
  warp_gate *gate = arg;
  warp_link *link;
  if (warp_link_open(pipe, &link) == WARP_OK)
    gate->on_link(gate->on_link_arg, gate, link, report);
  else
    warp_pipe_close(pipe);
}

int warp_gate_listen(warp_gate *gate, warp_gate_on_link on_link, void *arg) {
  if (gate == NULL)
    return WARP_INVALID;
  if (!gate->opened || gate->closing)
    return WARP_STATE;
  gate->on_link = on_link;
  gate->on_link_arg = arg;
  return warp_node_listen(gate->node, on_link != NULL ? on_pipe : NULL, NULL, gate);
}

/* A connect whose pipe is to become a link. */
typedef struct link_dial {
  warp_on_link cb;
  void *arg;
} link_dial;

static void on_connected(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  link_dial dial = *(link_dial *)arg;
  warp_link *link = NULL;
  free(arg);
  if (status == WARP_OK && (status = warp_link_open(pipe, &link)) != WARP_OK)
    warp_pipe_close(pipe);
  dial.cb(dial.arg, link, status, report);
}

/* To the owner of a name, or of a record. */
static int connect_link(warp_gate *gate, const char *name, const uint8_t *record, size_t len,
                        const warp_connect_options *options, warp_on_link cb, void *arg) {
  if (cb == NULL || (options != NULL && options->on_explained != NULL))
    return WARP_INVALID;
  link_dial *dial = malloc(sizeof *dial);
  if (dial == NULL)
    return WARP_NOMEM;
  *dial = (link_dial){.cb = cb, .arg = arg};
  int status = record != NULL
                   ? warp_gate_connect_record(gate, record, len, options, on_connected, dial)
                   : warp_gate_connect(gate, name, options, on_connected, dial);
  if (status != WARP_OK)
    free(dial);
  return status;
}

int warp_gate_connect_link(warp_gate *gate, const char *name, const warp_connect_options *options,
                           warp_on_link cb, void *arg) {
  return connect_link(gate, name, NULL, 0, options, cb, arg);
}

int warp_gate_connect_link_record(warp_gate *gate, const uint8_t *record, size_t len,
                                  const warp_connect_options *options, warp_on_link cb, void *arg) {
  return record == NULL ? WARP_INVALID : connect_link(gate, NULL, record, len, options, cb, arg);
}

/* The set of who uses the default servers, whichever they are. */
static const wg_name_set default_set = {.suffix = WG_NAME_DEFAULT_SUFFIX,
                                        .own = WG_NAME_DEFAULT_SUFFIX};

int warp_peer_find(const warp_gate *gate, const char *name, warp_peer *out) {
  const wg_name_set *set = gate != NULL ? &gate->names : &default_set;
  char plain[WARP_NAME_MAX + 1];
  if (name == NULL || out == NULL || wg_name_normalize(name, set, plain) != WARP_OK)
    return WARP_INVALID;
  snprintf(out->name, sizeof out->name, "%s%s", plain, set->suffix);
  return WARP_OK;
}
