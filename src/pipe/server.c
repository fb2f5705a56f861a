/* TCP servers opened by hand, and the pipes of their clients. */
#include "base/addr.h"
#include "pipe/open.h"

bool wg_is_server(const warp_pipe *pipe) {
  return pipe->of_kind == &wg_server_ops;
}

warp_pipe *wg_server_of(const warp_pipe *pipe) {
  return pipe->opened != NULL ? pipe->opened->of_server : NULL;
}

static warp_pipe *client_at(const warp_pipe *server, const wg_list *item) {
  return item != &server->opened->clients ? WG_CONTAINER(item, wg_opened, of_clients)->pipe : NULL;
}

warp_pipe *wg_first_client(const warp_pipe *server) {
  return wg_is_server(server) ? client_at(server, server->opened->clients.next) : NULL;
}

warp_pipe *wg_next_client(const warp_pipe *server, const warp_pipe *client) {
  return client_at(server, client->opened->of_clients.next);
}

void wg_server_forget(wg_opened *client) {
  if (client->of_server != NULL) {
    wg_opened *server = client->of_server->opened;
    server->client_count--;
    server->shaking_count -= client->pipe->adopted ? 0 : 1;
    client->of_server = NULL;
    wg_list_remove(&client->of_clients);
  }
}

static void drop_first(wg_list *clients) {
  wg_opened *client = WG_CONTAINER(clients->next, wg_opened, of_clients);
  wg_server_forget(client);
  if (client->pipe->claimed) {
    wg_pipe_kill(client->pipe, WARP_CANCELED); /* the link that has it is told, and closes it */
  } else {
    warp_pipe_close(client->pipe);
  }
}

void wg_server_close_clients(wg_opened *opened) {
  while (!wg_list_empty(&opened->shaking)) {
    drop_first(&opened->shaking);
  }
  while (!wg_list_empty(&opened->clients)) {
    drop_first(&opened->clients);
  }
}

/* ---- clients --------------------------------------------------------------------------------- */

static int adopt_client(wg_opened *server, wg_tcp *tcp, const warp_addr *from, warp_pipe **out) {
  bool full = server->client_count == WARP_SERVER_CLIENTS_MAX;
  if (server->shaking_count == WARP_SERVER_HANDSHAKES_MAX || (full && server->shaking_count > 0)) {
    drop_first(&server->shaking); /* else so many that say nothing would keep all others out */
  }
  if (server->client_count == WARP_SERVER_CLIENTS_MAX) {
    return WARP_LIMIT;
  }
  int status =
      wg_opened_new(server->pipe->env, &server->conf, WARP_STREAM, &wg_plain_stream_ops, out);
  if (status != WARP_OK) {
    return status;
  }
  wg_opened *client = (*out)->opened;
  status = server->of_all != NULL ? wg_plain_tls_new(client, server->of_all) : WARP_OK;
  if (status != WARP_OK) {
    warp_pipe_close(*out);
    return status;
  }
  client->tcp = tcp;
  client->dest = *from;
  client->has_dest = true;
  client->of_server = server->pipe;
  wg_list_push(&server->shaking, &client->of_clients);
  server->shaking_count++;
  server->client_count++;
  return WARP_OK;
}

void wg_server_up(wg_opened *client) {
  warp_pipe *server = client->of_server;
  wg_opened *opened = server->opened;
  wg_list_remove(&client->of_clients);
  wg_list_push(&opened->clients, &client->of_clients);
  opened->shaking_count--;
  wg_pipe_enter(server);
  if (server->inbox.consumed) {
    wg_pipe_resume(client->pipe, WG_STOP_IDLE);
  }
  wg_inbox_settle(client->pipe);
  if (opened->on_up != NULL) {
    opened->on_up(opened->up_arg, server, client->pipe);
  }
  wg_pipe_leave(server);
}

/* The server stays what it is while this runs, whatever its callback does. */
static void accept_client(wg_opened *opened, wg_tcp *tcp, const warp_addr *from) {
  warp_pipe *server = opened->pipe, *client = NULL;
  const wg_env_ops *ops = server->env->ops;
  /* At a listener that was given a client may wait already, and be seen before the application was
   * told that it is open. */
  if (server->state == WG_PIPE_HANDSHAKE) {
    wg_opened_ready(opened);
  }
  int status = server->state == WG_PIPE_OPEN && !opened->conf.sock_only ? WARP_OK : WARP_STATE;
  if (status == WARP_OK) {
    status = adopt_client(opened, tcp, from, &client);
  }
  if (status != WARP_OK) {
    wg_logf(&server->env->log, WARP_LOG_WARN, "pipe: a client was turned away: %s",
            warp_strerror(status));
    ops->tcp_reset(tcp);
    return;
  }
  ops->tcp_set_handlers(tcp, &wg_plain_tcp_handlers, client->opened);
  wg_pipe_enter(client);
  wg_plain_connected(client->opened);
  wg_pipe_leave(client);
}

void wg_server_accept(void *arg, wg_tcp *tcp, const warp_addr *from) {
  wg_opened *opened = arg;
  warp_pipe *server = opened->pipe;
  wg_pipe_enter(server);
  accept_client(opened, tcp, from);
  wg_pipe_leave(server);
}

/* ---- the server ------------------------------------------------------------------------------ */

static int server_send(warp_pipe *pipe, const void *data, size_t len) {
  (void)pipe, (void)data, (void)len;
  return WARP_STATE;
}

static int server_send_to(warp_pipe *pipe, const void *data, size_t len, const warp_addr *dest) {
  for (warp_pipe *client = wg_first_client(pipe); client != NULL;
       client = wg_next_client(pipe, client)) {
    if (client->state == WG_PIPE_OPEN && wg_addr_equal(&client->info.remote, dest)) {
      return warp_pipe_send(client, data, len);
    }
  }
  return WARP_NOT_FOUND;
}

static void nothing(warp_pipe *pipe) {
  (void)pipe;
}

static bool yes(warp_pipe *pipe) {
  (void)pipe;
  return true;
}

const wg_pipe_kind_ops wg_server_ops = {
    .deliver_held = nothing,
    .has_room = yes,
    .send = server_send,
    .send_to = server_send_to,
    .largest = WG_STREAM_SEND_MAX,
    .finish = yes,
};
