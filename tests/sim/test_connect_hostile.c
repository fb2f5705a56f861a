/* Peers that proved their key and then break every rule: what they may cost, and that they cannot
 * bring a node down, keep others out, or have it contact what is none of their business. */
#include "rogue.h"

#include "connect/session.h"
#include "nat/offer.h"
#include "node/internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;

typedef struct guest {
  unsigned pipes, misses, asked;
  int miss_status;
  size_t rows;
  warp_pipe *pipe;
} guest;

static void on_pipe(void *arg, warp_node *node, warp_pipe *pipe, const warp_report *report) {
  (void)node;
  guest *self = arg;
  self->pipes++;
  self->pipe = pipe;
  self->rows = report->count;
}

static void on_miss(void *arg, warp_node *node, const warp_key *key, int status,
                    const warp_report *report) {
  (void)node;
  (void)key;
  guest *self = arg;
  self->misses++;
  self->miss_status = status;
  self->rows = report->count;
}

static warp_contact count_contact(void *arg, const warp_key *key) {
  (void)key;
  guest *self = arg;
  self->asked++;
  return WARP_CONTACT_ACCEPT;
}

/* b alone, listening with a guest book. */
static void host(peers *both, guest *book, const char *profile_b) {
  peers_build(both, "open", profile_b, 5);
  *book = (guest){0};
  both->b.conf.contact_policy = count_contact;
  both->b.conf.contact_arg = book;
  peer_start(&both->b);
  assert_int_equal(both->b.start_status, WARP_OK);
  assert_int_equal(warp_node_listen(both->b.node, on_pipe, on_miss, book), WARP_OK);
}

static void run(peers *both, uint64_t us) {
  assert_int_equal(sim_run_for(both->net.world, us), WARP_OK);
}

/* ---- messages -------------------------------------------------------------------------------- */

/* Every type in every state: nothing running, running, ended; with numbers of no attempt. */
static void test_messages_out_of_place(void **state) {
  (void)state;
  static rogue evil;
  peers both;
  guest book;
  host(&both, &book, "open");
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  for (unsigned round = 0; round < 3; round++) {
    static const uint8_t types[] = {WG_MESSAGE_PLUGIN, WG_MESSAGE_FAIL, WG_MESSAGE_INVITE,
                                    WG_MESSAGE_OPEN};
    for (size_t i = 0; i < sizeof types; i++) {
      for (uint16_t attempt = 1; attempt <= 3; attempt++) {
        wg_message message = rogue_message(&evil, attempt);
        message.type = types[i];
        message.status = types[i] == WG_MESSAGE_FAIL ? -60000 : 0;
        memset(message.detail, 'x', sizeof message.detail - 1);
        rogue_send(&evil, &message);
      }
    }
    run(&both, second);
    if (round == 1) {
      rogue_send_end(&evil, WARP_TIMEOUT);
      run(&both, second);
    }
  }
  run(&both, 210 * second);
  assert_int_equal(book.pipes, 0);
  assert_int_equal(book.misses, 1);
  rogue_close(&evil);
  peers_free(&both);
}

/* What does not make sense is answered and costs a session only for a moment. */
static void test_opens_that_make_no_sense(void **state) {
  (void)state;
  static rogue evil;
  peers both;
  guest book;
  host(&both, &book, "open");
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  wg_message wrong[6];
  for (size_t i = 0; i < 6; i++)
    wrong[i] = rogue_message(&evil, (uint16_t)(i + 1));
  strcpy(wrong[0].plugin, "nothing");
  wrong[1].family = WARP_IP6;
  wrong[2].endpoint_self = 5;
  wrong[3].endpoint_peer = 5;
  wrong[4].transport = WARP_TCP;
  strcpy(wrong[5].plugin, "turn");
  wrong[5].route_type = WARP_NIC_BIND;
  for (size_t i = 0; i < 6; i++)
    rogue_send(&evil, &wrong[i]);
  run(&both, second);
  assert_int_equal(evil.got[WG_MESSAGE_FAIL], 6);
  assert_int_equal(book.misses, 0);
  run(&both, 6 * second);
  assert_int_equal(book.misses, 1);
  assert_int_equal(book.rows, 0);
  rogue_close(&evil);
  peers_free(&both);
}

/* Each attempt sends to the address in the peer's record: one combination gets one attempt, however
 * often it is asked for. */
static void test_same_combination_again(void **state) {
  (void)state;
  static rogue evil;
  peers both;
  guest book;
  host(&both, &book, "open");
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  for (uint16_t i = 1; i <= 20; i++) {
    wg_message message = rogue_message(&evil, i);
    rogue_send(&evil, &message);
  }
  run(&both, second);
  assert_int_equal(evil.got[WG_MESSAGE_FAIL], 19);
  assert_int_equal(evil.status, WARP_INVALID);
  rogue_send_end(&evil, WARP_TIMEOUT);
  run(&both, second);
  assert_int_equal(book.rows, 1);
  rogue_close(&evil);
  peers_free(&both);
}

/* A relayed address, like any other, must be one that may be contacted, and of the attempt's
 * family. */
static void test_addresses_that_are_none_of_its_business(void **state) {
  (void)state;
  static rogue evil;
  static const struct {
    uint8_t bytes[19];
    size_t len;
    int status;
  } relayed[] = {
      {{WARP_IP4, 0x1f, 0x90, 127, 0, 0, 1}, 7, WARP_UNTRUSTED},
      {{WARP_IP4, 0x1f, 0x90, 10, 0, 2, 9}, 7, WARP_UNTRUSTED},
      {{WARP_IP4, 0, 22, 203, 0, 113, 9}, 7, WARP_UNTRUSTED},
      {{WARP_IP4, 0x1f, 0x90, 255, 255, 255, 255}, 7, WARP_UNTRUSTED},
      {{WARP_IP6, 0x1f, 0x90, 0x20, 0x01, 0x0d, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
       19,
       WARP_UNTRUSTED},
      {{WARP_IP4, 0x1f, 0x90, 203}, 4, WARP_MALFORMED},
      {{7, 0x1f, 0x90, 203, 0, 113, 9}, 7, WARP_MALFORMED},
      {{0}, 0, WARP_MALFORMED},
  };
  peers both;
  guest book;
  host(&both, &book, "restricted");
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  for (size_t i = 0; i < sizeof relayed / sizeof relayed[0]; i++) {
    rogue_new_session(&evil);
    wg_message message = rogue_message(&evil, 1);
    strcpy(message.plugin, "turn");
    message.data = relayed[i].bytes;
    message.data_len = relayed[i].len;
    evil.status = WARP_OK;
    rogue_send(&evil, &message);
    run(&both, second);
    assert_int_equal(evil.got[WG_MESSAGE_FAIL], i + 1);
    assert_int_equal(evil.status, relayed[i].status);
  }
  rogue_close(&evil);
  peers_free(&both);
}

/* Whatever number a peer gives as its reason, the program sees one of the documented ones, and none
 * that says that it did something itself. */
static void test_status_of_the_peer(void **state) {
  (void)state;
  static rogue evil;
  static const int statuses[][2] = {{WARP_OK, WARP_CLOSED},
                                    {WARP_CANCELED, WARP_CLOSED},
                                    {-60000, WARP_IO},
                                    {WARP_ALL_FAILED - 1, WARP_IO},
                                    {WARP_TIMEOUT, WARP_TIMEOUT}};
  peers both;
  guest book;
  host(&both, &book, "open");
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
    rogue_new_session(&evil);
    wg_message message = rogue_message(&evil, 1);
    rogue_send(&evil, &message);
    run(&both, second);
    rogue_send_end(&evil, statuses[i][0]);
    run(&both, second);
    assert_int_equal(book.misses, i + 1);
    assert_int_equal(book.miss_status, statuses[i][1]);
  }
  rogue_close(&evil);
  peers_free(&both);
}

/* What comes late does not begin an ended session again. */
static void test_late_message_of_an_ended_session(void **state) {
  (void)state;
  static rogue evil;
  peers both;
  guest book;
  host(&both, &book, "open");
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  wg_message message = rogue_message(&evil, 1);
  rogue_send(&evil, &message);
  rogue_send_end(&evil, WARP_CANCELED);
  run(&both, second);
  message = rogue_message(&evil, 2);
  rogue_send(&evil, &message);
  run(&both, 210 * second);
  assert_int_equal(book.misses, 1);
  assert_int_equal(book.asked, 1);
  rogue_close(&evil);
  peers_free(&both);
}

/* Ids of sessions are to be read off the wire: a stranger's word ends none of another's. */
static void test_strangers_end_of_a_session(void **state) {
  (void)state;
  static rogue evil, honest;
  peers both;
  guest book;
  host(&both, &book, "open");
  rogue_open(&evil, &both, &both.b, "198.18.1.2/24");
  rogue_open(&honest, &both, &both.b, "198.18.2.2/24");
  evil.session = honest.session;
  rogue_send_end(&evil, WARP_CANCELED);
  run(&both, second);
  wg_message message = rogue_message(&honest, 1);
  rogue_send(&honest, &message);
  run(&both, second);
  assert_int_equal(book.asked, 1);
  rogue_close(&evil);
  rogue_close(&honest);
  peers_free(&both);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void open_sessions(rogue *evil, size_t count) {
  for (size_t i = 0; i < count; i++) {
    rogue_new_session(evil);
    wg_message message = rogue_message(evil, 1);
    rogue_send(evil, &message);
  }
}

static void test_sessions_of_one_peer(void **state) {
  (void)state;
  static rogue evil;
  peers both;
  guest book;
  host(&both, &book, "open");
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  open_sessions(&evil, WG_SESSIONS_PER_PEER + 4);
  run(&both, second);
  assert_int_equal(evil.got[WG_MESSAGE_END], 4);
  assert_int_equal(evil.status, WARP_LIMIT);
  rogue_close(&evil);
  peers_free(&both);
}

static void canceled(void *arg, warp_pipe *pipe, int status, const warp_report *report) {
  (void)report;
  assert_null(pipe);
  assert_int_equal(status, WARP_CANCELED);
  ++*(unsigned *)arg;
}

/* Keys cost nothing. However many strangers call, the node can still call others. */
static void test_strangers_leave_room(void **state) {
  (void)state;
  enum { STRANGERS = WG_SESSIONS_MAX / WG_SESSIONS_PER_PEER + 1 };
  static rogue crowd[STRANGERS];
  peers both;
  guest book;
  host(&both, &book, "open");
  for (size_t i = 0; i < STRANGERS; i++) {
    char address[32];
    snprintf(address, sizeof address, "198.18.%zu.2/24", i);
    rogue_open(&crowd[i], &both, &both.b, address);
  }
  for (size_t i = 0; i < STRANGERS; i++)
    open_sessions(&crowd[i], WG_SESSIONS_PER_PEER);
  run(&both, second);
  unsigned calls = 0;
  assert_int_equal(both.b.node->connect->racing_count, WG_SESSIONS_MAX - WG_SESSIONS_OWN);
  for (size_t i = 0; i < WG_SESSIONS_OWN; i++)
    assert_int_equal(
        warp_auto_connect(both.b.node, crowd[0].bytes, crowd[0].len, NULL, canceled, &calls),
        WARP_OK);
  assert_int_equal(
      warp_auto_connect(both.b.node, crowd[0].bytes, crowd[0].len, NULL, canceled, &calls),
      WARP_LIMIT);
  for (size_t i = 0; i < STRANGERS; i++)
    rogue_close(&crowd[i]);
  peers_free(&both);
  assert_int_equal(calls, WG_SESSIONS_OWN);
}

static void nobody(void *arg, const wg_carried *packet, const warp_addr *from) {
  (void)arg;
  (void)packet;
  (void)from;
}

/* The same of the paths that share a socket. */
static void test_paths_leave_room(void **state) {
  (void)state;
  enum { TAKEN = WG_MUX_TAGS - WG_MUX_TAGS_OWN };
  static rogue evil;
  static wg_mux_tag tags[TAKEN];
  peers both;
  guest book;
  host(&both, &book, "open");
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  wg_mux *mux = &both.b.node->uplinks[0]->mux;
  for (size_t i = 0; i < TAKEN; i++) {
    uint8_t tag[WG_TAG_LEN] = {(uint8_t)i, (uint8_t)(i >> 8)};
    assert_int_equal(wg_mux_bind(mux, &tags[i], tag, nobody, NULL), WARP_OK);
  }
  wg_message message = rogue_message(&evil, 1);
  rogue_send(&evil, &message);
  run(&both, second);
  assert_int_equal(evil.got[WG_MESSAGE_FAIL], 1);
  assert_int_equal(evil.status, WARP_LIMIT);
  unsigned calls = 0;
  assert_int_equal(warp_auto_connect(both.b.node, evil.bytes, evil.len,
                                     &(warp_connect_options){.plugins = "udp_punch"}, canceled,
                                     &calls),
                   WARP_OK);
  run(&both, second);
  assert_int_equal(mux->tag_count, TAKEN + 1);
  for (size_t i = 0; i < TAKEN; i++)
    wg_mux_unbind(mux, &tags[i]);
  rogue_close(&evil);
  peers_free(&both);
  assert_int_equal(calls, 1);
}

/* Connections that say nothing hold places for strangers, but do not keep a peer out. */
static void test_silent_streams(void **state) {
  (void)state;
  static rogue evil;
  peers both;
  peers_build(&both, "open", "open", 6);
  peers_start(&both);
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  for (size_t i = 0; i < WG_INBOUND_MAX + 10; i++)
    rogue_dial(&evil, NULL);
  run(&both, second);
  assert_int_equal(rogue_failed(&evil), 10);
  peers_connect(&both, &(warp_connect_options){.plugins = "direct_connect"});
  assert_int_equal(both.a.connect_status, WARP_OK);
  peers_echo(&both);
  run(&both, 11 * second);
  assert_int_equal(rogue_failed(&evil), WG_INBOUND_MAX + 10);
  rogue_close(&evil);
  peers_free(&both);
}

static wg_message invitation(rogue *evil, uint16_t attempt, uint8_t route_type) {
  wg_message message = rogue_message(evil, attempt);
  message.type = WG_MESSAGE_INVITE;
  strcpy(message.plugin, "direct_connect");
  message.transport = WARP_TCP;
  message.route_type = route_type;
  return message;
}

/* Each stream with a good hello costs a handshake and stays for the time of the attempt. */
static void test_many_streams_of_one_attempt(void **state) {
  (void)state;
  static rogue evil;
  peers both;
  guest book;
  host(&both, &book, "open");
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  wg_message message = invitation(&evil, 1, WARP_EXT_BIND);
  rogue_dial(&evil, &message);
  run(&both, second);
  message.type = WG_MESSAGE_OPEN; /* the attempt exists: its number is enough */
  for (size_t i = 0; i < 20; i++)
    rogue_dial(&evil, &message);
  run(&both, second);
  assert_int_equal(rogue_secured(&evil), WG_STREAMS_MAX);
  assert_int_equal(rogue_failed(&evil), 21 - WG_STREAMS_MAX);
  run(&both, 30 * second);
  assert_int_equal(rogue_failed(&evil), 21);
  assert_int_equal(book.misses, 1);
  rogue_close(&evil);
  peers_free(&both);
}

/* ---- somebody else's address ----------------------------------------------------------------- */

typedef struct target {
  unsigned packets, following; /* `following`: numbers that could be told from the one before */
  uint32_t last;
} target;

static void on_probe(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  (void)from;
  target *self = arg;
  wg_carried packet;
  self->packets++;
  if (wg_carry_open(data, len, &packet) != WARP_OK || packet.payload != NULL)
    return;
  self->following += packet.sequence == self->last + 1 ? 1 : 0;
  self->last = packet.sequence;
}

/* Foretold ports that the peer names: each session sprays them all, at the address of its record.
 * All sessions together are no more than a few. */
static void test_many_sessions_at_one_address(void **state) {
  (void)state;
  enum { SECONDS = 10, PER_S = WG_BUDGET_PROBES_PER_S * WG_UNHEARD_TIMES };
  static rogue evil;
  target victim = {0};
  peers both;
  guest book;
  host(&both, &book, "open");
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  wg_udp *udp;
  const warp_addr *at = &evil.record.endpoints[0].external_udp;
  assert_int_equal(evil.env->ops->udp_open(evil.env, at, 0, on_probe, &victim, &udp), WARP_OK);
  wg_offer offer = {.plan = {.strategy = WG_STRATEGY_WINDOW, .self_preserves = true},
                    .round = 1,
                    .port_count = WG_OFFER_PORTS};
  for (size_t i = 0; i < WG_OFFER_PORTS; i++)
    offer.ports[i] = at->port;
  uint8_t bytes[WG_OFFER_MAX];
  int len = wg_offer_encode(&offer, bytes, sizeof bytes);
  for (size_t i = 0; i < WG_SESSIONS_PER_PEER; i++) {
    rogue_new_session(&evil);
    wg_message message = rogue_message(&evil, 1);
    message.plugin_type = 2;
    message.data = bytes;
    message.data_len = (size_t)len;
    rogue_send(&evil, &message);
  }
  run(&both, SECONDS * second);
  assert_in_range(victim.packets, PER_S * SECONDS / 2, PER_S * (SECONDS + WG_UNHEARD_BURST_S));
  assert_in_range(victim.following, 0, 10);
  evil.env->ops->udp_close(udp);
  rogue_close(&evil);
  peers_free(&both);
}

/* ---- after the pipe -------------------------------------------------------------------------- */

/* An invitation into a session that has its pipe begins nothing: when the pipe was closed, the
 * session's memory goes, and whatever ran in it would go on without. */
static void test_invitation_into_a_connected_session(void **state) {
  (void)state;
  static rogue evil;
  peers both;
  guest book;
  host(&both, &book, "open");
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  wg_message message = invitation(&evil, 1, WARP_EXT_BIND);
  rogue_stream *first = rogue_dial(&evil, &message);
  run(&both, second);
  assert_true(first->secured);
  wg_pipe_nominate(first->pipe);
  run(&both, second);
  assert_int_equal(book.pipes, 1);
  message = invitation(&evil, 2, WARP_NIC_BIND);
  rogue_stream *late = rogue_dial(&evil, &message);
  run(&both, second);
  assert_true(late->failed);
  warp_pipe_close(book.pipe);
  run(&both, 30 * second);
  assert_int_equal(book.misses, 0);
  rogue_close(&evil);
  peers_free(&both);
}

/* Pipes that are open are the program's affair: they are not connects under way. */
static void test_open_pipes_do_not_count(void **state) {
  (void)state;
  static rogue evil;
  peers both;
  guest book;
  host(&both, &book, "open");
  rogue_open(&evil, &both, &both.b, "192.0.2.200/25");
  for (size_t i = 0; i < WG_SESSIONS_PER_PEER + 4; i++) {
    rogue_new_session(&evil);
    wg_message message = invitation(&evil, 1, WARP_EXT_BIND);
    rogue_stream *stream = rogue_dial(&evil, &message);
    run(&both, second);
    assert_true(stream->secured);
    wg_pipe_nominate(stream->pipe);
    run(&both, second / 10);
    assert_int_equal(book.pipes, i + 1);
    assert_int_equal(both.b.node->connect->racing_count, 0);
    warp_pipe_close(book.pipe);
  }
  rogue_close(&evil);
  peers_free(&both);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_messages_out_of_place),
      cmocka_unit_test(test_opens_that_make_no_sense),
      cmocka_unit_test(test_same_combination_again),
      cmocka_unit_test(test_addresses_that_are_none_of_its_business),
      cmocka_unit_test(test_status_of_the_peer),
      cmocka_unit_test(test_late_message_of_an_ended_session),
      cmocka_unit_test(test_strangers_end_of_a_session),
      cmocka_unit_test(test_sessions_of_one_peer),
      cmocka_unit_test(test_strangers_leave_room),
      cmocka_unit_test(test_paths_leave_room),
      cmocka_unit_test(test_silent_streams),
      cmocka_unit_test(test_many_streams_of_one_attempt),
      cmocka_unit_test(test_many_sessions_at_one_address),
      cmocka_unit_test(test_invitation_into_a_connected_session),
      cmocka_unit_test(test_open_pipes_do_not_count),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
