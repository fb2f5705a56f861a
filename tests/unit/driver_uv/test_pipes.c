/* Pipes opened by hand over loopback: real sockets, those of the program too, and interfaces. */
#include "driver_uv/internal.h"
#include "harness.h"
#include "tls_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct end {
  warp_pipe *pipe;
  bool opened, got, ended, up;
  int open_status, end_status, fd;
  size_t want, len;
  uint8_t data[70000];
  warp_addr from;
  bool take;
} end;

static void on_open(void *arg, warp_pipe *pipe, int status) {
  end *e = arg;
  assert_false(e->opened);
  e->opened = true;
  e->open_status = status;
  e->pipe = pipe;
  if (e->take && pipe != NULL) {
    assert_int_equal(warp_pipe_take_socket(pipe, &e->fd), WARP_OK);
    assert_int_equal(warp_pipe_take_socket(pipe, &e->fd), WARP_STATE);
    assert_int_equal(warp_pipe_send(pipe, "x", 1), WARP_STATE);
  }
}

static void on_msg(void *arg, warp_pipe *pipe, const uint8_t *data, size_t len,
                   const warp_addr *from) {
  end *e = arg;
  (void)pipe;
  assert_in_range(e->len + len, 0, sizeof e->data);
  memcpy(e->data + e->len, data, len);
  e->len += len;
  e->got = e->len >= e->want;
  e->from = *from;
}

static void on_end(void *arg, warp_pipe *pipe, int status) {
  end *e = arg;
  (void)pipe;
  e->ended = true;
  e->end_status = status;
}

static void on_up(void *arg, warp_pipe *server, warp_pipe *client) {
  end *e = arg;
  (void)server;
  e->up = true;
  assert_int_equal(warp_pipe_add_end_cb(client, on_end, e), WARP_OK);
}

static warp_addr local_of(warp_pipe *pipe) {
  warp_pipe_info info;
  assert_int_equal(warp_pipe_get_info(pipe, &info), WARP_OK);
  return info.local;
}

static void start(world *w, end *e, warp_pipe_options options) {
  options.on_msg = options.on_msg != NULL ? options.on_msg : on_msg;
  options.on_up = on_up;
  options.arg = e;
  assert_int_equal(warp_pipe_open(w->loop, &options, on_open, e, &e->pipe), WARP_OK);
  assert_false(e->opened);
  run_until(w, &e->opened);
}

static void serve(world *w, end *e, warp_transport transport, int family,
                  const warp_net_conf *conf) {
  warp_route route = {.addr = wg_addr_loopback(family, 0)};
  start(w, e, (warp_pipe_options){.transport = transport, .route = &route, .conf = conf});
  assert_int_equal(e->open_status, WARP_OK);
}

static void dial(world *w, end *e, warp_transport transport, const warp_addr *dest,
                 const warp_net_conf *conf) {
  start(w, e, (warp_pipe_options){.transport = transport, .dest_addr = dest, .conf = conf});
}

static end *new_end(void) {
  end *e = calloc(1, sizeof *e);
  assert_non_null(e);
  e->fd = -1;
  return e;
}

static void drop(end *e) {
  warp_pipe_close(e->pipe);
  free(e);
}

static void both_ways(world *w, warp_transport transport, int family, size_t len) {
  end *server = new_end(), *client = new_end();
  serve(w, server, transport, family, NULL);
  warp_addr to = local_of(server->pipe);
  dial(w, client, transport, &to, NULL);
  assert_int_equal(client->open_status, WARP_OK);
  uint8_t *bytes = calloc(1, len);
  assert_non_null(bytes);
  memset(bytes, 0xa5, len);
  server->want = client->want = len;
  assert_int_equal(warp_pipe_send(client->pipe, bytes, len), WARP_OK);
  run_until(w, &server->got);
  assert_memory_equal(server->data, bytes, len);
  assert_int_equal(warp_pipe_send_to(server->pipe, bytes, len, &server->from), WARP_OK);
  run_until(w, &client->got);
  assert_memory_equal(client->data, bytes, len);
  free(bytes);
  drop(client);
  if (transport == WARP_TCP) {
    run_until(w, &server->ended);
    assert_int_equal(server->end_status, WARP_CLOSED);
  }
  drop(server);
}

static void test_both_ways(void **state) {
  both_ways(*state, WARP_UDP, WARP_IP4, 5);
  both_ways(*state, WARP_TCP, WARP_IP4, 5);
  both_ways(*state, WARP_TCP, WARP_IP4, 65536);
}

static void test_both_ways_over_ipv6(void **state) {
  skip_without_ipv6(*state);
  both_ways(*state, WARP_UDP, WARP_IP6, 5);
  both_ways(*state, WARP_TCP, WARP_IP6, 65536);
}

static void test_the_largest_datagram(void **state) {
  both_ways(*state, WARP_UDP, WARP_IP4, WARP_DATAGRAM_MAX);
}

static void test_a_longer_datagram_than_wanted_is_dropped(void **state) {
  world *w = *state;
  end *server = new_end(), *client = new_end();
  warp_net_conf conf = warp_net_conf_default();
  conf.reader_limit = 100;
  serve(w, server, WARP_UDP, WARP_IP4, &conf);
  warp_addr to = local_of(server->pipe);
  dial(w, client, WARP_UDP, &to, NULL);
  uint8_t bytes[101] = {0};
  server->want = 100;
  assert_int_equal(warp_pipe_send(client->pipe, bytes, 101), WARP_OK);
  assert_int_equal(warp_pipe_send(client->pipe, bytes, 100), WARP_OK);
  run_until(w, &server->got);
  assert_int_equal(server->len, 100);
  drop(client);
  drop(server);
}

static void test_nobody_listens(void **state) {
  world *w = *state;
  end *server = new_end(), *client = new_end();
  serve(w, server, WARP_TCP, WARP_IP4, NULL);
  warp_addr to = local_of(server->pipe);
  drop(server);
  dial(w, client, WARP_TCP, &to, NULL);
  assert_int_equal(client->open_status, WARP_CONN_REFUSED);
  assert_null(client->pipe);
  free(client);
}

/* ---- sockets of the program ------------------------------------------------------------------ */

static socklen_t loopback_at(int family, uint16_t port, struct sockaddr_storage *out) {
  warp_addr at = wg_addr_loopback(family, port);
  socklen_t len;
  assert_int_equal(wg_uv_sockaddr(&at, family, out, &len), WARP_OK);
  return len;
}

static int bound_socket_of(int family, int type, warp_addr *local) {
  struct sockaddr_storage at;
  socklen_t len = loopback_at(family, 0, &at);
  int fd = socket(at.ss_family, type, 0);
  assert_true(fd >= 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
  *local = wg_uv_addr((struct sockaddr *)&at);
  return fd;
}

static int bound_socket(int type, warp_addr *local) {
  return bound_socket_of(WARP_IP4, type, local);
}

static void connect_to(int fd, const warp_addr *to) {
  struct sockaddr_storage at;
  socklen_t len = loopback_at(to->family, to->port, &at);
  assert_int_equal(connect(fd, (struct sockaddr *)&at, len), 0);
}

enum { ACCEPTED, LISTENING };

static void put(char path[64], const char *folder, const char *name, const char *text, size_t len) {
  snprintf(path, 64, "%s/%s", folder, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, len, file), len);
  fclose(file);
}

static void sockets_of_the_program(world *w, int family) {
  warp_addr udp_at, tcp_at, from;
  end *udp = new_end(), *listener = new_end(), *connected = new_end(), *client = new_end();
  start(w, udp,
        (warp_pipe_options){.transport = WARP_UDP,
                            .use_socket = true,
                            .socket = bound_socket_of(family, SOCK_DGRAM, &udp_at)});
  int fd = bound_socket_of(family, SOCK_STREAM, &tcp_at);
  assert_int_equal(listen(fd, 1), 0);
  start(w, listener, (warp_pipe_options){.transport = WARP_TCP, .use_socket = true, .socket = fd});
  fd = bound_socket_of(family, SOCK_STREAM, &from);
  connect_to(fd, &tcp_at);
  start(w, connected, (warp_pipe_options){.transport = WARP_TCP, .use_socket = true, .socket = fd});
  assert_int_equal(warp_pipe_send(connected->pipe, "tcp", 3), WARP_OK);
  run_until(w, &listener->got);
  assert_memory_equal(listener->data, "tcp", 3);
  assert_true(wg_addr_equal(&listener->from, &from));
  dial(w, client, WARP_UDP, &udp_at, NULL);
  assert_int_equal(warp_pipe_send(client->pipe, "udp", 3), WARP_OK);
  run_until(w, &udp->got);
  assert_memory_equal(udp->data, "udp", 3);
  drop(client);
  drop(connected);
  drop(listener);
  drop(udp);
}

/* A socket of the program with a destination, by its address and by its name. */
static void destination_of_a_socket(world *w, int family, bool by_name) {
  char text[WARP_ADDR_STRLEN];
  warp_addr here;
  end *server = new_end(), *client = new_end();
  serve(w, server, WARP_UDP, family, NULL);
  warp_addr to = local_of(server->pipe);
  start(w, client,
        (warp_pipe_options){.transport = WARP_UDP,
                            .dest = by_name ? warp_addr_format(&to, text) : NULL,
                            .dest_addr = by_name ? NULL : &to,
                            .use_socket = true,
                            .socket = bound_socket_of(family, SOCK_DGRAM, &here)});
  assert_int_equal(client->open_status, WARP_OK);
  assert_int_equal(warp_pipe_send(client->pipe, "question", 8), WARP_OK);
  run_until(w, &server->got);
  assert_true(wg_addr_equal(&server->from, &here));
  assert_int_equal(warp_pipe_send_to(server->pipe, "answer", 6, &server->from), WARP_OK);
  run_until(w, &client->got);
  assert_memory_equal(client->data, "answer", 6);
  drop(client);
  drop(server);
}

static void test_a_socket_of_the_program_has_a_destination(void **state) {
  destination_of_a_socket(*state, WARP_IP4, false);
  destination_of_a_socket(*state, WARP_IP4, true);
}

static void test_a_socket_of_the_program_has_a_destination_over_ipv6(void **state) {
  skip_without_ipv6(*state);
  destination_of_a_socket(*state, WARP_IP6, false);
  destination_of_a_socket(*state, WARP_IP6, true);
}

static void test_sockets_of_the_program(void **state) {
  sockets_of_the_program(*state, WARP_IP4);
}

static void test_sockets_of_the_program_over_ipv6(void **state) {
  skip_without_ipv6(*state);
  sockets_of_the_program(*state, WARP_IP6);
}

/* Both ends of one connection, over sockets that the program has made itself. */
static void tls_over_sockets(world *w, int type_of_server) {
  char folder[] = "/tmp/warpgate-tls-XXXXXX";
  assert_non_null(mkdtemp(folder));
  tls_authority authority;
  tls_identity identity;
  tls_authority_open(&authority);
  tls_identity_open(&identity, &authority, "DNS:server.test");
  char ca[64], cert[64], key[64];
  put(ca, folder, "ca", authority.pem, authority.pem_len);
  put(cert, folder, "cert", identity.cert, identity.cert_len);
  put(key, folder, "key", identity.key, identity.key_len);
  warp_net_conf ours = warp_net_conf_default(), theirs = warp_net_conf_default();
  ours.use_ssl = theirs.use_ssl = true;
  ours.cert_file = cert;
  ours.key_file = key;
  theirs.ca_file = ca;

  warp_addr at, from;
  int listener = bound_socket(SOCK_STREAM, &at), dialled = bound_socket(SOCK_STREAM, &from);
  assert_int_equal(listen(listener, 1), 0);
  connect_to(dialled, &at);
  int accepted = type_of_server == ACCEPTED ? accept(listener, NULL, NULL) : -1;
  end *server = new_end(), *client = new_end();
  warp_pipe_options serving = {.transport = WARP_TCP,
                               .use_socket = true,
                               .socket = accepted >= 0 ? accepted : listener,
                               .on_msg = on_msg,
                               .on_up = on_up,
                               .arg = server,
                               .conf = &ours};
  assert_int_equal(warp_pipe_open(w->loop, &serving, on_open, server, &server->pipe), WARP_OK);
  start(w, client,
        (warp_pipe_options){.transport = WARP_TCP,
                            .use_socket = true,
                            .socket = dialled,
                            .dest = "server.test:443",
                            .conf = &theirs});
  assert_int_equal(client->open_status, WARP_OK);
  run_until(w, accepted >= 0 ? &server->opened : &server->up);
  assert_int_equal(server->open_status, WARP_OK);
  server->want = client->want = 5;
  assert_int_equal(warp_pipe_send(client->pipe, "hello", 5), WARP_OK);
  run_until(w, &server->got);
  assert_memory_equal(server->data, "hello", 5);
  assert_int_equal(warp_pipe_send_to(server->pipe, "world", 5, &server->from), WARP_OK);
  run_until(w, &client->got);
  assert_memory_equal(client->data, "world", 5);
  drop(client);
  drop(server);
  if (accepted >= 0) {
    close(listener);
  }
  unlink(ca);
  unlink(cert);
  unlink(key);
  rmdir(folder);
  tls_identity_close(&identity);
  tls_authority_close(&authority);
}

static void test_tls_over_sockets_of_the_program(void **state) {
  tls_over_sockets(*state, ACCEPTED);
  tls_over_sockets(*state, LISTENING);
}

/* The loop may see the client before the pipe has said that it is open. */
static void test_a_client_that_waits_at_a_given_listener(void **state) {
  world *w = *state;
  warp_addr at, from;
  int listener = bound_socket(SOCK_STREAM, &at), dialled = bound_socket(SOCK_STREAM, &from);
  assert_int_equal(listen(listener, 1), 0);
  connect_to(dialled, &at);
  end *server = new_end();
  server->want = 5;
  warp_pipe_options serving = {.transport = WARP_TCP,
                               .use_socket = true,
                               .socket = listener,
                               .on_msg = on_msg,
                               .on_up = on_up,
                               .arg = server};
  assert_int_equal(warp_pipe_open(w->loop, &serving, on_open, server, &server->pipe), WARP_OK);
  uv_sleep(100); /* so that what was to be said is late */
  run_until(w, &server->opened);
  assert_int_equal(server->open_status, WARP_OK);
  run_until(w, &server->up);
  assert_int_equal(send(dialled, "hello", 5, MSG_NOSIGNAL), 5);
  run_until(w, &server->got);
  assert_memory_equal(server->data, "hello", 5);
  close(dialled);
  run_until(w, &server->ended);
  drop(server);
}

static bool is_open(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

static void test_a_socket_that_cannot_be_used_stays_the_programs(void **state) {
  world *w = *state;
  warp_addr at;
  warp_pipe *pipe;
  int fds[] = {bound_socket(SOCK_DGRAM, &at), bound_socket(SOCK_STREAM, &at), open("/", O_RDONLY)};
  for (int i = 0; i < 3; i++) {
    for (int transport = WARP_TCP; transport <= WARP_UDP; transport++) {
      warp_pipe_options options = {
          .transport = (warp_transport)transport, .use_socket = true, .socket = fds[i]};
      if (i != 0 || transport != WARP_UDP) {
        assert_int_equal(warp_pipe_open(w->loop, &options, on_open, NULL, &pipe), WARP_INVALID);
        assert_true(is_open(fds[i]));
      }
    }
    close(fds[i]);
  }
}

static void test_do_close_says_whose_it_is_after_a_failure(void **state) {
  world *w = *state;
  for (int keep = 0; keep < 2; keep++) {
    warp_addr at;
    end *e = new_end();
    warp_net_conf conf = warp_net_conf_default();
    conf.do_close = !keep;
    int fd = bound_socket(SOCK_DGRAM, &at);
    warp_pipe_options options = {
        .transport = WARP_UDP, .use_socket = true, .socket = fd, .conf = &conf};
    assert_int_equal(warp_pipe_open(w->loop, &options, on_open, e, &e->pipe), WARP_OK);
    warp_pipe_close(e->pipe);
    assert_true(e->opened);
    assert_int_equal(e->open_status, WARP_CANCELED);
    assert_int_equal(is_open(fd), keep);
    if (keep) {
      close(fd);
    }
    free(e);
    run_for(w, 1);
  }
}

static void test_the_bare_socket(void **state) {
  world *w = *state;
  warp_net_conf conf = warp_net_conf_default();
  conf.sock_only = true;
  end *server = new_end(), *client = new_end(), *unused = new_end();
  serve(w, server, WARP_TCP, WARP_IP4, NULL);
  warp_addr to = local_of(server->pipe);
  client->take = true;
  dial(w, client, WARP_TCP, &to, &conf);
  warp_pipe_close(client->pipe); /* the socket is not the pipe's any more */
  client->pipe = NULL;
  assert_int_equal(send(client->fd, "bare", 4, 0), 4);
  run_until(w, &server->got);
  assert_memory_equal(server->data, "bare", 4);
  close(client->fd);
  dial(w, unused, WARP_UDP, &to, &conf);
  assert_int_equal(warp_pipe_send(unused->pipe, "x", 1), WARP_STATE);
  drop(unused);
  drop(client);
  drop(server);
}

static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t len = sizeof value;
  assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
  return value;
}

static void test_options_reach_the_socket(void **state) {
  world *w = *state;
  for (int set = 0; set < 2; set++) {
    warp_net_conf conf = warp_net_conf_default();
    conf.sock_only = true;
    conf.broadcast = conf.reuse_addr = set;
    conf.sock_proto = IPPROTO_UDP;
    end *e = new_end();
    e->take = true;
    serve(w, e, WARP_UDP, WARP_IP4, &conf);
    assert_int_equal(option(e->fd, SOL_SOCKET, SO_BROADCAST), set);
    assert_int_equal(option(e->fd, SOL_SOCKET, SO_REUSEADDR), set);
    close(e->fd);
    drop(e);
  }
  warp_net_conf conf = warp_net_conf_default();
  conf.sock_proto = IPPROTO_TCP; /* of a UDP socket: there is no such */
  end *e = new_end();
  warp_addr to = wg_addr_loopback(WARP_IP4, 7);
  dial(w, e, WARP_UDP, &to, &conf);
  assert_true(e->open_status < 0);
  free(e);
}

/* ---- interfaces ------------------------------------------------------------------------------ */

static void test_interfaces(void **state) {
  world *w = *state;
  warp_interface list[64], loaded;
  int count = warp_interface_list(w->loop, list, 64);
  assert_in_range(count, 1, 64);
  bool loopback = false;
  for (int i = 0; i < count; i++) {
    assert_in_range(list[i].count, 1, WARP_INTERFACE_ADDRS);
    assert_int_equal(warp_interface_load(w->loop, list[i].name, &loaded), WARP_OK);
    assert_memory_equal(&loaded.addrs[0], &list[i].addrs[0], sizeof loaded.addrs[0]);
    if (list[i].loopback) {
      loopback = true;
      warp_route route;
      assert_int_equal(warp_route_bind(&list[i], WARP_IP4, 9, &route), WARP_OK);
      assert_int_equal(route.addr.port, 9);
      assert_string_equal(route.interface, list[i].name);
      assert_int_equal(warp_route_bind(&list[i], 5, 0, &route), WARP_INVALID);
      assert_int_equal(warp_route_bind(&list[i], 0, 0, NULL), WARP_INVALID);
    }
  }
  assert_true(loopback);
  assert_int_equal(warp_interface_list(w->loop, list, 1), 1);
  assert_int_equal(warp_interface_load(w->loop, "no such", &loaded), WARP_NOT_FOUND);
  assert_int_equal(warp_interface_list(NULL, list, 1), WARP_INVALID);
  assert_int_equal(warp_interface_list(w->loop, NULL, 1), WARP_INVALID);
  assert_int_equal(warp_interface_list(w->loop, list, 0), WARP_INVALID);
  assert_int_equal(warp_interface_load(w->loop, NULL, NULL), WARP_INVALID);
  warp_interface none = {0};
  warp_route route;
  assert_int_equal(warp_route_bind(&none, 0, 0, &route), WARP_NOT_FOUND);
  assert_int_equal(warp_route_bind(NULL, 0, 0, &route), WARP_INVALID);
}

static void test_nothing_to_open(void **state) {
  world *w = *state;
  warp_pipe_options options = {.transport = WARP_UDP};
  assert_int_equal(warp_pipe_open(NULL, &options, on_open, NULL, NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_open(w->loop, NULL, on_open, NULL, NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_open(w->loop, &options, NULL, NULL, NULL), WARP_INVALID);
  assert_int_equal(warp_pipe_take_socket(NULL, NULL), WARP_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_both_ways, world_up, world_down),
      cmocka_unit_test_setup_teardown(test_both_ways_over_ipv6, world_up, world_down),
      cmocka_unit_test_setup_teardown(test_the_largest_datagram, world_up, world_down),
      cmocka_unit_test_setup_teardown(test_a_longer_datagram_than_wanted_is_dropped, world_up,
                                      world_down),
      cmocka_unit_test_setup_teardown(test_nobody_listens, world_up, world_down),
      cmocka_unit_test_setup_teardown(test_a_socket_of_the_program_has_a_destination, world_up,
                                      world_down),
      cmocka_unit_test_setup_teardown(test_a_socket_of_the_program_has_a_destination_over_ipv6,
                                      world_up, world_down),
      cmocka_unit_test_setup_teardown(test_sockets_of_the_program, world_up, world_down),
      cmocka_unit_test_setup_teardown(test_sockets_of_the_program_over_ipv6, world_up, world_down),
      cmocka_unit_test_setup_teardown(test_tls_over_sockets_of_the_program, world_up, world_down),
      cmocka_unit_test_setup_teardown(test_a_client_that_waits_at_a_given_listener, world_up,
                                      world_down),
      cmocka_unit_test_setup_teardown(test_a_socket_that_cannot_be_used_stays_the_programs,
                                      world_up, world_down),
      cmocka_unit_test_setup_teardown(test_do_close_says_whose_it_is_after_a_failure, world_up,
                                      world_down),
      cmocka_unit_test_setup_teardown(test_the_bare_socket, world_up, world_down),
      cmocka_unit_test_setup_teardown(test_options_reach_the_socket, world_up, world_down),
      cmocka_unit_test_setup_teardown(test_interfaces, world_up, world_down),
      cmocka_unit_test_setup_teardown(test_nothing_to_open, world_up, world_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
