/* Programs that close pipes inside whatever callback they are in: theirs, the other one's, the
 * server's. Nothing is told twice, nothing after the end, and nothing is left. */
#include "acting.h"
#include "hand_pipes.h"
#include "tls_server.h"

/* What a pipe is made of. */
typedef enum fabric { PLAIN_STREAM, PLAIN_MESSAGES, TLS_STREAM } fabric;

/* Of the server at 192.0.2.1, and whom its clients trust: made once, because each key takes time.
 */
static tls_authority authority;
static tls_identity identity;

static void put(wg_env *env, const char *name, const char *text, size_t len) {
  assert_int_equal(env->ops->file_write(env, "/tls", name, text, len), WARP_OK);
}

/* The settings of the server, and of who dials it. */
static void choose_nets(wg_env *env, fabric made_of, warp_net_conf *server, warp_net_conf *client) {
  *server = *client = warp_net_conf_default();
  if (made_of == TLS_STREAM) {
    put(env, "ca", authority.pem, authority.pem_len);
    put(env, "cert", identity.cert, identity.cert_len);
    put(env, "key", identity.key, identity.key_len);
    server->use_ssl = client->use_ssl = true;
    server->cert_file = "/tls/cert";
    server->key_file = "/tls/key";
    client->ca_file = "/tls/ca";
  }
}

/* Both ends on one host, so that each can be reached from the callbacks of the other. */
typedef struct stage {
  pair p;
  warp_pipe *server;
  act_side client, at_server;
  void (*in_up)(struct stage *on);   /* after taking the pipes */
  void (*in_open)(struct stage *on); /* the same at the client */
  unsigned opened, ups;
} stage;

static void on_up(void *arg, warp_pipe *server, warp_pipe *client) {
  stage *on = arg;
  assert_ptr_equal(server, on->server);
  on->ups++;
  act_take(&on->at_server, client);
  if (on->in_up != NULL) {
    on->in_up(on);
  }
}

static void on_server_open(void *arg, warp_pipe *pipe, int status) {
  stage *on = arg;
  assert_int_equal(status, on->server != NULL ? WARP_OK : WARP_CANCELED);
  assert_ptr_equal(pipe, on->server);
}

static void on_client_open(void *arg, warp_pipe *pipe, int status) {
  stage *on = arg;
  on->opened++;
  if (status == WARP_OK) {
    assert_ptr_equal(pipe, on->client.pipe);
    act_take(&on->client, pipe);
  } else {
    on->client.pipe = NULL;
  }
  if (on->in_open != NULL) {
    on->in_open(on);
  }
}

static void set_up(stage *on) {
  memset(on, 0, sizeof *on);
  build(&on->p);
  on->client.other = &on->at_server;
  on->at_server.other = &on->client;
  on->client.arg = on->at_server.arg = on;
}

/* Begins with both ends. */
static void begin(stage *on, fabric made_of) {
  wg_env *env = sim_host_env(on->p.a);
  warp_transport transport = made_of == PLAIN_MESSAGES ? WARP_UDP : WARP_TCP;
  warp_net_conf of_server, of_client;
  choose_nets(env, made_of, &of_server, &of_client);
  const warp_route route = {.addr = address("192.0.2.1:7")};
  const warp_addr from = address("192.0.2.1:8");
  const warp_route bound = {.addr = from};
  warp_pipe_options serving = {
      .transport = transport, .route = &route, .on_up = on_up, .arg = on, .conf = &of_server};
  warp_pipe_options dialling = {
      .transport = transport, .dest = "192.0.2.1:7", .route = &bound, .conf = &of_client};
  if (transport == WARP_UDP) {
    serving.dest_addr = &from; /* a pair that knows each other */
  }
  assert_int_equal(wg_pipe_open_by_hand(env, &serving, on_server_open, on, &on->server), WARP_OK);
  assert_int_equal(wg_pipe_open_by_hand(env, &dialling, on_client_open, on, &on->client.pipe),
                   WARP_OK);
}

static void connect(stage *on, fabric made_of) {
  begin(on, made_of);
  pass(&on->p, 10);
  assert_int_equal(on->opened, 1);
  if (made_of == PLAIN_MESSAGES) {
    act_take(&on->at_server, on->server);
    on->server = NULL; /* it is the other side's */
  }
}

static void finish(stage *on) {
  act_side *sides[] = {&on->client, &on->at_server};
  if (on->at_server.forgot && on->server != NULL) {
    on->at_server.pipe = NULL; /* the server's, which may have let it go already */
  }
  for (size_t i = 0; i < 2; i++) {
    if (sides[i]->pipe != NULL) {
      act_close(sides[i]);
    }
    assert_int_equal(sides[i]->asked, sides[i]->answered);
  }
  warp_pipe_close(on->server);
  pass(&on->p, 5000);
  destroy(&on->p);
}

/* A question each way, then the client's end of sending. */
static void talk(stage *on) {
  act_ask(&on->client);
  pass(&on->p, 10);
  act_ask(&on->at_server);
  pass(&on->p, 10);
  if (on->client.pipe != NULL) {
    (void)warp_pipe_shutdown(on->client.pipe);
  }
  pass(&on->p, 10);
  if (on->client.pipe != NULL) {
    act_close(&on->client); /* so that its own end callback runs too */
  }
  pass(&on->p, 4000);
}

static bool comes_to(act_place place, fabric made_of, bool server_side) {
  /* Messages have no end but one's own, which the client comes to. */
  bool of_streams = place == ACT_RECV_N || place == ACT_DRAIN || place == ACT_END ||
                    (place == ACT_END_CB && server_side);
  if (made_of == PLAIN_MESSAGES && of_streams) {
    return false;
  }
  /* The client is who shuts down, and closes first. */
  return (place != ACT_DRAIN || !server_side) && (place != ACT_END || server_side);
}

static void in_every_callback(fabric made_of) {
  for (int place = 0; place < ACT_PLACES; place++) {
    for (size_t deed = 0; deed < ACT_DEEDS; deed++) {
      for (int server_side = 0; server_side < 2; server_side++) {
        stage on;
        set_up(&on);
        act_side *who = server_side ? &on.at_server : &on.client;
        who->place = (act_place)place;
        who->deed = act_deeds[deed];
        connect(&on, made_of);
        talk(&on);
        if (comes_to((act_place)place, made_of, server_side)) {
          assert_true(who->done);
        }
        finish(&on);
      }
    }
  }
}

static void test_streams(void **state) {
  (void)state;
  in_every_callback(PLAIN_STREAM);
}

static void test_messages(void **state) {
  (void)state;
  in_every_callback(PLAIN_MESSAGES);
}

static void test_tls_streams(void **state) {
  (void)state;
  in_every_callback(TLS_STREAM);
}

/* ---- the server ------------------------------------------------------------------------------ */

/* Closing it closes its client's pipe, which gets its last callbacks inside. */
static void close_server(stage *on) {
  warp_pipe *server = on->server;
  on->server = NULL;
  warp_pipe_close(server);
  on->at_server.pipe = NULL;
}

static void server_deed(act_side *side) {
  close_server(side->arg);
}

static void client_deed(act_side *side) {
  close_server(side->arg);
  act_close(&((stage *)side->arg)->client);
}

static void close_server_in_every_callback(fabric made_of) {
  for (int place = 0; place < ACT_PLACES; place++) {
    for (int how = 0; how < 3; how++) {
      stage on;
      set_up(&on);
      act_side *who = how == 2 ? &on.client : &on.at_server;
      who->place = (act_place)place;
      who->deed = how == 1 ? client_deed : server_deed;
      connect(&on, made_of);
      talk(&on);
      finish(&on);
    }
  }
}

static void test_the_server_is_closed(void **state) {
  (void)state;
  close_server_in_every_callback(PLAIN_STREAM);
  close_server_in_every_callback(TLS_STREAM);
}

static void up_close_client(stage *on) {
  act_close(&on->at_server);
}

static void up_close_all(stage *on) {
  close_server(on);
  act_close(&on->client);
}

static void up_send(stage *on) {
  act_want_more(&on->at_server);
}

static void (*const up_deeds[])(stage *on) = {close_server, up_close_client, up_close_all, up_send};
enum { UP_DEEDS = sizeof up_deeds / sizeof up_deeds[0] };

static void test_in_the_up_callback(void **state) {
  (void)state;
  static const fabric streams[] = {PLAIN_STREAM, TLS_STREAM};
  for (size_t i = 0; i < 2 * UP_DEEDS; i++) {
    stage on;
    set_up(&on);
    on.in_up = up_deeds[i / 2];
    connect(&on, streams[i % 2]);
    assert_int_equal(on.ups, 1);
    talk(&on);
    finish(&on);
  }
}

static void open_close(stage *on) {
  act_close(&on->client);
}

static void open_send(stage *on) {
  act_want_more(&on->client);
}

static void test_in_the_open_callback(void **state) {
  (void)state;
  static const fabric streams[] = {PLAIN_STREAM, TLS_STREAM};
  static void (*const deeds[])(stage * on) = {close_server, open_close, up_close_all, open_send};
  for (size_t i = 0; i < 2 * sizeof deeds / sizeof deeds[0]; i++) {
    stage on;
    set_up(&on);
    on.in_open = deeds[i / 2];
    connect(&on, streams[i % 2]);
    talk(&on);
    finish(&on);
  }
}

/* At every moment of the handshake, up to the one when both programs know of the connection. */
static void test_while_tls_comes_up(void **state) {
  (void)state;
  static void (*const deeds[])(stage * on) = {close_server, open_close, up_close_all};
  for (size_t i = 0; i < sizeof deeds / sizeof deeds[0]; i++) {
    unsigned moments = 0;
    for (bool up = false; !up; moments++) {
      stage on;
      set_up(&on);
      begin(&on, TLS_STREAM);
      assert_int_equal(sim_run_for(on.p.world, (uint64_t)moments * SIM_LOOPBACK_US), WARP_OK);
      up = on.opened > 0 && on.ups > 0;
      deeds[i](&on);
      talk(&on);
      assert_int_equal(on.opened, 1); /* whatever came of it */
      finish(&on);
    }
    assert_in_range(moments, 3, 100);
  }
}

/* ---- links of a server's clients ------------------------------------------------------------- */

typedef struct knot {
  pair p;
  warp_pipe *server, *client;
  warp_link *link;
  unsigned ended, closed;
  int end_status;
} knot;

static void on_link_end(void *arg, warp_link *link, int status) {
  knot *self = arg;
  assert_ptr_equal(link, self->link);
  self->ended++;
  self->end_status = status;
}

static void on_link_closed(void *arg, int status) {
  knot *self = arg;
  (void)status;
  self->closed++;
}

static void on_link_up(void *arg, warp_pipe *server, warp_pipe *client) {
  knot *self = arg;
  warp_link *second;
  assert_int_equal(warp_link_open(server, &self->link), WARP_UNSUPPORTED);
  assert_int_equal(warp_link_open(client, &self->link), WARP_OK);
  assert_int_equal(warp_link_open(client, &second), WARP_STATE);
  assert_int_equal(warp_link_on_end(self->link, on_link_end, self), WARP_OK);
}

static void on_knot_open(void *arg, warp_pipe *pipe, int status) {
  (void)arg, (void)pipe;
  assert_int_equal(status, WARP_OK);
}

static void tie(knot *self, fabric made_of) {
  *self = (knot){0};
  build(&self->p);
  wg_env *env = sim_host_env(self->p.a);
  warp_net_conf of_server, of_client;
  choose_nets(env, made_of, &of_server, &of_client);
  const warp_route route = {.addr = address("192.0.2.1:7")};
  const warp_pipe_options serving = {
      .transport = WARP_TCP, .route = &route, .on_up = on_link_up, .arg = self, .conf = &of_server};
  const warp_pipe_options dialling = {
      .transport = WARP_TCP, .dest = "192.0.2.1:7", .conf = &of_client};
  assert_int_equal(wg_pipe_open_by_hand(env, &serving, on_knot_open, NULL, &self->server), WARP_OK);
  assert_int_equal(wg_pipe_open_by_hand(env, &dialling, on_knot_open, NULL, &self->client),
                   WARP_OK);
  pass(&self->p, 10);
  assert_non_null(self->link);
}

static void untie(knot *self) {
  warp_link_close(self->link, on_link_closed, self);
  pass(&self->p, 100);
  assert_int_equal(self->closed, 1);
  warp_pipe_close(self->client);
  warp_pipe_close(self->server);
  pass(&self->p, 5000);
  destroy(&self->p);
}

/* The pipe is the link's: its server's closing ends the link, and does not take the pipe away. */
static void a_link_outlives_the_server(fabric made_of) {
  knot self;
  tie(&self, made_of);
  warp_pipe_close(self.server);
  self.server = NULL;
  assert_int_equal(self.ended, 1);
  assert_int_equal(self.end_status, WARP_CANCELED);
  assert_int_equal(warp_link_send(self.link, "x", 1), WARP_CLOSED);
  untie(&self);
}

static void test_a_link_outlives_the_server(void **state) {
  (void)state;
  a_link_outlives_the_server(PLAIN_STREAM);
  a_link_outlives_the_server(TLS_STREAM);
}

/* The peer goes, and the link hears of it when it wants to. */
static void a_paused_link_outlives_the_client(fabric made_of) {
  knot self;
  tie(&self, made_of);
  assert_int_equal(warp_link_pause(self.link, true), WARP_OK);
  warp_pipe_close(self.client);
  self.client = NULL;
  pass(&self.p, 1000);
  assert_int_equal(self.ended, 0);
  assert_int_equal(warp_link_pause(self.link, false), WARP_OK);
  pass(&self.p, 100);
  assert_int_equal(self.ended, 1);
  assert_int_equal(self.end_status, WARP_RESET);
  untie(&self);
}

static void test_a_paused_link_outlives_the_client(void **state) {
  (void)state;
  a_paused_link_outlives_the_client(PLAIN_STREAM);
  a_paused_link_outlives_the_client(TLS_STREAM);
}

static int make_keys(void **state) {
  (void)state;
  tls_authority_open(&authority);
  tls_identity_open(&identity, &authority, "IP:192.0.2.1");
  return 0;
}

static int free_keys(void **state) {
  (void)state;
  tls_identity_close(&identity);
  tls_authority_close(&authority);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_streams),
      cmocka_unit_test(test_tls_streams),
      cmocka_unit_test(test_messages),
      cmocka_unit_test(test_the_server_is_closed),
      cmocka_unit_test(test_in_the_up_callback),
      cmocka_unit_test(test_in_the_open_callback),
      cmocka_unit_test(test_while_tls_comes_up),
      cmocka_unit_test(test_a_link_outlives_the_server),
      cmocka_unit_test(test_a_paused_link_outlives_the_client),
  };
  return cmocka_run_group_tests(tests, make_keys, free_keys);
}
