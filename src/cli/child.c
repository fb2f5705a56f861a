#include "cli/bridge.h"
#include "cli/peers.h"
#include "cli/report.h"
#include "cli/say.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

typedef struct child {
  wg_list link;
  cli_children *all;
  warp_key peer;
  uv_process_t process;
  bool running; /* the command is */
  bool over;    /* the bridge is */
  unsigned open;
  cli_bridge bridge;
} child;

static void on_part_closed(void *arg) {
  child *self = arg;
  if (--self->open == 0) {
    self->all->count--;
    free(self);
  }
}

static void on_process_closed(uv_handle_t *handle) {
  on_part_closed(handle->data);
}

/* Its whole session, so that what the command started goes, too. */
static void terminate(const child *self) {
  if (self->running) {
    (void)kill(-self->process.pid, SIGTERM);
  }
}

static void close_bridge(child *self) {
  if (!self->over) {
    self->over = true;
    wg_list_remove(&self->link);
    cli_bridge_close(&self->bridge, on_part_closed, self);
  }
}

static void on_bridge(void *arg, cli_bridge_end end, int status) {
  child *self = arg;
  if (end == CLI_BRIDGE_BROKE) {
    terminate(self);
  }
  cli_report_ended(&self->peer, end == CLI_BRIDGE_BROKE ? status : WARP_CLOSED);
  close_bridge(self);
}

static void on_exited(uv_process_t *process, int64_t exit_status, int signal_number) {
  (void)exit_status;
  (void)signal_number;
  child *self = process->data;
  self->running = false;
  uv_close((uv_handle_t *)process, on_process_closed);
  if (!self->over) {
    cli_bridge_lose_reader(&self->bridge);
  }
}

/* ---- starting -------------------------------------------------------------------------------- */

enum { OWN_VARIABLES = 3, VARIABLE_LEN = 128 };

/* The same variable of a command that this one was started by: shells take the last of two. */
static bool is_own(const char *variable) {
  static const char *const names[OWN_VARIABLES] = {
      "WARPGATE_PEER=", "WARPGATE_PATH=", "WARPGATE_REMOTE="};
  for (size_t i = 0; i < OWN_VARIABLES; i++) {
    if (strncmp(variable, names[i], strlen(names[i])) == 0) {
      return true;
    }
  }
  return false;
}

/* The environment and what it says of the peer. NULL: out of memory. */
static char **make_environment(const warp_pipe_info *info, char own[OWN_VARIABLES][VARIABLE_LEN]) {
  char key[CLI_KEY_HEX_LEN], remote[WARP_ADDR_STRLEN];
  snprintf(own[0], VARIABLE_LEN, "WARPGATE_PEER=%s", cli_key_hex(&info->peer, key));
  snprintf(own[1], VARIABLE_LEN, "WARPGATE_PATH=%s", info->relayed ? "relay" : "direct");
  snprintf(own[2], VARIABLE_LEN, "WARPGATE_REMOTE=%s", warp_addr_format(&info->remote, remote));
  size_t count = 0;
  while (environ[count] != NULL) {
    count++;
  }
  char **all = calloc(count + OWN_VARIABLES + 1, sizeof *all);
  for (size_t i = 0; all != NULL && i < OWN_VARIABLES; i++) {
    all[i] = own[i];
  }
  size_t used = OWN_VARIABLES;
  for (size_t i = 0; all != NULL && i < count; i++) {
    if (!is_own(environ[i])) {
      all[used++] = environ[i];
    }
  }
  return all;
}

/* An error of libuv's; the process handle is open either way. */
static int spawn(child *self, uv_loop_t *loop, const char *command, char **environment) {
  /* Libuv asks for arguments that could be changed, and changes none. */
  char *arguments[] = {(char *)"/bin/sh", (char *)"-c", (char *)command, NULL};
  uv_stdio_container_t stdio[3] = {
      {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE,
       .data.stream = &self->bridge.writer.handle.uv.stream},
      {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
       .data.stream = &self->bridge.reader.handle.uv.stream},
      {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
  };
  uv_process_options_t options = {.file = arguments[0],
                                  .args = arguments,
                                  .env = environment,
                                  .stdio = stdio,
                                  .stdio_count = 3,
                                  .flags = UV_PROCESS_DETACHED,
                                  .exit_cb = on_exited};
  return uv_spawn(loop, &self->process, &options);
}

void cli_child_start(cli_children *all, cli_run *run, const char *command, warp_link *link) {
  char own[OWN_VARIABLES][VARIABLE_LEN];
  warp_pipe_info info;
  warp_pipe_get_info(warp_link_pipe(link), &info);
  child *self = calloc(1, sizeof *self);
  char **environment = make_environment(&info, own);
  if (self == NULL || environment == NULL) {
    cli_report_ended(&info.peer, WARP_NOMEM);
    warp_link_abort(link, NULL, NULL);
    free(self);
    free(environment);
    return;
  }
  self->peer = info.peer;
  self->process.data = self;
  self->open = 2;
  self->bridge.may_lose_reader = true;
  self->bridge.reader.handle.fd = self->bridge.writer.handle.fd = -1;
  uv_pipe_init(&run->uv, &self->bridge.reader.handle.uv.pipe, 0);
  uv_pipe_init(&run->uv, &self->bridge.writer.handle.uv.pipe, 0);
  self->all = all;
  all->count++;
  wg_list_push(&all->list, &self->link);
  int error = spawn(self, &run->uv, command, environment);
  free(environment);
  self->running = error == 0;
  cli_bridge_start(&self->bridge, &run->uv, link, on_bridge, self);
  if (error != 0) {
    cli_note("cannot run the command: %s", uv_strerror(error));
    uv_close((uv_handle_t *)&self->process, on_process_closed);
    self->bridge.broken = WARP_IO; /* the peer must not take it for a command that says nothing */
    close_bridge(self);
  }
}

void cli_child_stop(cli_children *all) {
  while (!wg_list_empty(&all->list)) {
    child *self = WG_CONTAINER(all->list.next, child, link);
    terminate(self);
    close_bridge(self);
  }
}
