/* TLS with certificates: who is taken for the server, and what broken ones can do; and our server.
 */
#include "pipe/tls.h"
#include "tls_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <warpgate/warpgate.h>

#include <cmocka.h>

static const int64_t in_time_ms = 1500000000000;

static tls_authority ours, another;

static int open_authorities(void **state) {
  (void)state;
  tls_authority_open(&ours);
  tls_authority_open(&another);
  return 0;
}

static int close_authorities(void **state) {
  (void)state;
  tls_authority_close(&ours);
  tls_authority_close(&another);
  return 0;
}

typedef struct meeting {
  wg_tls_context *trust;
  wg_tls *client;
  tls_server server;
  bool garble; /* of what the server says, from now on */
} meeting;

static void to_server(void *arg, const uint8_t *data, size_t len) {
  meeting *self = arg;
  tls_server_input(&self->server, data, len);
}

static void meet(meeting *self, const char *name, int64_t utc_ms, const char *names, int version) {
  memset(self, 0, sizeof *self);
  assert_int_equal(wg_tls_client_context(ours.pem, ours.pem_len, &self->trust), WARP_OK);
  tls_server_open(&self->server, &ours, names, version);
  wg_tls_options options = {
      .context = self->trust, .name = name, .utc_ms = utc_ms, .output = to_server, .arg = self};
  assert_int_equal(wg_tls_new(&options, &self->client), WARP_OK);
  assert_string_equal(wg_tls_detail(self->client), "");
}

static void part(meeting *self) {
  wg_tls_free(self->client);
  wg_tls_context_free(self->trust);
  tls_server_close(&self->server);
}

/* Hands the client what the server has said; how many bytes that were. */
static size_t hear(meeting *self) {
  uint8_t *bytes;
  size_t len = tls_server_output(&self->server, &bytes);
  for (size_t i = 0; self->garble && i < len; i++)
    bytes[i] ^= 0x55;
  assert_int_equal(wg_tls_feed(self->client, bytes, len), WARP_OK);
  return len;
}

static int shake(meeting *self) {
  int status = wg_tls_handshake(self->client);
  while (status == WARP_AGAIN && hear(self) > 0)
    status = wg_tls_handshake(self->client);
  return status;
}

static int verdict(const char *name, int64_t utc_ms, const char *names, int version) {
  meeting self;
  meet(&self, name, utc_ms, names, version);
  int status = shake(&self);
  if (status == WARP_OK) {
    assert_string_equal(wg_tls_detail(self.client), "");
  } else {
    assert_string_not_equal(wg_tls_detail(self.client), "");
    uint8_t byte;
    size_t len;
    assert_int_equal(wg_tls_handshake(self.client), status);
    assert_int_equal(wg_tls_read(self.client, &byte, 1, &len), status);
    assert_int_equal(wg_tls_write(self.client, "x", 1), status);
    assert_int_equal(self.server.heard, 0);
  }
  part(&self);
  return status;
}

/* ---- who the server is ----------------------------------------------------------------------- */

static void test_names(void **state) {
  (void)state;
  static const char *const names = "DNS:relay.test,DNS:*.wild.test,IP:192.0.2.1,IP:2001:db8::1";
  static const struct {
    const char *name;
    int status;
  } cases[] = {
      {"relay.test", WARP_OK},
      {"RELAY.test", WARP_OK},
      {"a.wild.test", WARP_OK},
      {"192.0.2.1", WARP_OK},
      {"2001:db8::1", WARP_OK},
      {"other.test", WARP_UNTRUSTED},
      {"wild.test", WARP_UNTRUSTED},
      {"a.b.wild.test", WARP_UNTRUSTED},
      {"192.0.2.2", WARP_UNTRUSTED},
      {"2001:db8::2", WARP_UNTRUSTED},
      {"sub.relay.test", WARP_UNTRUSTED},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    assert_int_equal(verdict(cases[i].name, in_time_ms, names, TLS1_3_VERSION), cases[i].status);
  /* The subject of its certificate is "relay.test" always: that counts for nothing (RFC 9525). */
  assert_int_equal(verdict("relay.test", in_time_ms, "DNS:other.test", TLS1_3_VERSION),
                   WARP_UNTRUSTED);
}

static void test_name_is_told(void **state) {
  (void)state;
  meeting self;
  meet(&self, "relay.test", in_time_ms, "DNS:relay.test", TLS1_3_VERSION);
  assert_int_equal(shake(&self), WARP_OK);
  assert_string_equal(self.server.sni, "relay.test");
  part(&self);
  meet(&self, "192.0.2.1", in_time_ms, "IP:192.0.2.1", TLS1_3_VERSION);
  assert_int_equal(shake(&self), WARP_OK);
  assert_string_equal(self.server.sni, "");
  part(&self);
}

static void test_time_and_version(void **state) {
  (void)state;
  static const char *const names = "DNS:relay.test";
  int64_t from = TLS_VALID_FROM, to = TLS_VALID_TO;
  assert_int_equal(verdict("relay.test", (from - 60) * 1000, names, TLS1_3_VERSION),
                   WARP_UNTRUSTED);
  assert_int_equal(verdict("relay.test", (to + 60) * 1000, names, TLS1_3_VERSION), WARP_UNTRUSTED);
  assert_int_equal(verdict("relay.test", in_time_ms, names, TLS1_2_VERSION), WARP_OK);
  assert_int_equal(verdict("relay.test", in_time_ms, names, TLS1_1_VERSION), WARP_TLS);
}

static void test_unknown_authority(void **state) {
  (void)state;
  for (unsigned system = 0; system < 2; system++) {
    meeting self;
    meet(&self, "relay.test", in_time_ms, "DNS:relay.test", TLS1_3_VERSION);
    wg_tls_free(self.client);
    wg_tls_context_free(self.trust);
    assert_int_equal(
        wg_tls_client_context(system ? NULL : another.pem, another.pem_len, &self.trust), WARP_OK);
    wg_tls_options options = {.context = self.trust,
                              .name = "relay.test",
                              .utc_ms = in_time_ms,
                              .output = to_server,
                              .arg = &self};
    assert_int_equal(wg_tls_new(&options, &self.client), WARP_OK);
    assert_int_equal(shake(&self), WARP_UNTRUSTED);
    assert_true(self.server.failed); /* it was told */
    part(&self);
  }
}

static void test_what_cannot_be(void **state) {
  (void)state;
  wg_tls_context *trust = NULL;
  wg_tls *client = NULL;
  assert_int_equal(wg_tls_client_context("", 0, &trust), WARP_MALFORMED);
  assert_int_equal(wg_tls_client_context("no certificate", 14, &trust), WARP_MALFORMED);
  for (size_t len = 0; len < ours.pem_len - 1; len++)
    assert_int_equal(wg_tls_client_context(ours.pem, len, &trust), WARP_MALFORMED);
  assert_null(trust);
  assert_int_equal(wg_tls_client_context(ours.pem, ours.pem_len, &trust), WARP_OK);
  char name[400];
  memset(name, 'a', sizeof name);
  name[sizeof name - 1] = '\0';
  wg_tls_options options = {.context = trust, .name = name, .output = to_server};
  assert_int_equal(wg_tls_new(&options, &client), WARP_INVALID);
  options.name = "";
  assert_int_equal(wg_tls_new(&options, &client), WARP_INVALID);
  assert_null(client);
  wg_tls_free(NULL);
  wg_tls_context_free(trust);
  wg_tls_context_free(NULL);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void test_echo(void **state) {
  (void)state;
  static uint8_t sent[40000], got[40000];
  meeting self;
  meet(&self, "relay.test", in_time_ms, "DNS:relay.test", TLS1_3_VERSION);
  self.server.echo = true;
  assert_int_equal(shake(&self), WARP_OK);
  for (size_t i = 0; i < sizeof sent; i++)
    sent[i] = (uint8_t)(i * 7);
  assert_int_equal(wg_tls_write(self.client, sent, sizeof sent), WARP_OK);
  assert_int_equal(wg_tls_write(self.client, sent, 0), WARP_OK);
  size_t total = 0, len;
  do {
    while (wg_tls_read(self.client, got + total, sizeof got - total, &len) == WARP_OK)
      total += len;
  } while (total < sizeof got && hear(&self) > 0);
  assert_int_equal(total, sizeof sent);
  assert_memory_equal(got, sent, sizeof sent);
  assert_int_equal(wg_tls_read(self.client, got, 1, &len), WARP_AGAIN);
  tls_server_send(&self.server, NULL, 0);
  hear(&self);
  assert_int_equal(wg_tls_read(self.client, got, 1, &len), WARP_CLOSED);
  wg_tls_shutdown(self.client);
  part(&self);
}

static void test_garbage_and_ends(void **state) {
  (void)state;
  meeting self;
  uint8_t byte;
  size_t len;
  meet(&self, "relay.test", in_time_ms, "DNS:relay.test", TLS1_3_VERSION);
  self.garble = true;
  assert_int_equal(shake(&self), WARP_TLS);
  part(&self);
  /* A banner of something else. */
  meet(&self, "relay.test", in_time_ms, "DNS:relay.test", TLS1_3_VERSION);
  assert_int_equal(wg_tls_handshake(self.client), WARP_AGAIN);
  assert_int_equal(wg_tls_feed(self.client, (const uint8_t *)"SSH-2.0-x\r\n", 11), WARP_OK);
  assert_int_equal(wg_tls_handshake(self.client), WARP_TLS);
  part(&self);
  /* Garbage after the handshake; and the end of the stream within it. */
  meet(&self, "relay.test", in_time_ms, "DNS:relay.test", TLS1_3_VERSION);
  assert_int_equal(shake(&self), WARP_OK);
  tls_server_send(&self.server, "hello", 5);
  self.garble = true;
  hear(&self);
  assert_int_equal(wg_tls_read(self.client, &byte, 1, &len), WARP_TLS);
  part(&self);
  meet(&self, "relay.test", in_time_ms, "DNS:relay.test", TLS1_2_VERSION);
  assert_int_equal(wg_tls_handshake(self.client), WARP_AGAIN);
  static const uint8_t alert[] = {0x15, 3, 3, 0, 2, 1, 0}; /* close_notify */
  assert_int_equal(wg_tls_feed(self.client, alert, sizeof alert), WARP_OK);
  assert_int_equal(wg_tls_handshake(self.client), WARP_TLS);
  part(&self);
}

/* A byte at a time is as good as all at once, and every shorter beginning only waits. */
static void test_bytes_one_by_one(void **state) {
  (void)state;
  meeting self;
  meet(&self, "relay.test", in_time_ms, "DNS:relay.test", TLS1_3_VERSION);
  int status = wg_tls_handshake(self.client);
  uint8_t *bytes;
  size_t len = tls_server_output(&self.server, &bytes);
  for (size_t i = 0; i < len && status == WARP_AGAIN; i++) {
    assert_int_equal(wg_tls_feed(self.client, bytes + i, 1), WARP_OK);
    status = wg_tls_handshake(self.client);
  }
  assert_int_equal(status, WARP_OK);
  part(&self);
}

/* ---- our server ------------------------------------------------------------------------------ */

/* Every beginning of the files, and each with the other's, is refused; text around is not. */
static void test_files_of_a_server(void **state) {
  (void)state;
  tls_identity own, other;
  tls_identity_open(&own, &ours, "DNS:relay.test");
  tls_identity_open(&other, &ours, "DNS:relay.test");
  wg_tls_context *context = NULL;
  for (size_t len = 0; len < own.cert_len - 1; len++)
    assert_int_equal(wg_tls_server_context(own.cert, len, own.key, own.key_len, &context),
                     WARP_MALFORMED);
  for (size_t len = 0; len < own.key_len - 1; len++)
    assert_int_equal(wg_tls_server_context(own.cert, own.cert_len, own.key, len, &context),
                     WARP_MALFORMED);
  assert_int_equal(
      wg_tls_server_context(own.cert, own.cert_len, other.key, other.key_len, &context),
      WARP_MALFORMED);
  assert_int_equal(wg_tls_server_context(own.key, own.key_len, own.cert, own.cert_len, &context),
                   WARP_MALFORMED);
  assert_int_equal(wg_tls_server_context(NULL, 0, NULL, 0, &context), WARP_MALFORMED);
  /* With a password: nobody is asked for it at the terminal. */
  static const char locked[] = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
                               "DEK-Info: AES-128-CBC,00000000000000000000000000000000\n\n"
                               "AAAAAAAAAAAAAAAAAAAAAA==\n-----END EC PRIVATE KEY-----\n";
  assert_int_equal(
      wg_tls_server_context(own.cert, own.cert_len, locked, sizeof locked - 1, &context),
      WARP_MALFORMED);
  assert_null(context);
  char chain[8192];
  int len = snprintf(chain, sizeof chain, "the server:\n%.*s\nby:\n%.*s", (int)own.cert_len,
                     own.cert, (int)ours.pem_len, ours.pem);
  assert_int_equal(wg_tls_server_context(chain, (size_t)len, own.key, own.key_len, &context),
                   WARP_OK);
  wg_tls_context_free(context);
  tls_identity_close(&own);
  tls_identity_close(&other);
}

/* Our client and our server, each with what the other has said. */
typedef struct couple {
  wg_tls *client, *server;
  size_t to_client, to_server;
} couple;

static void from_client(void *arg, const uint8_t *data, size_t len) {
  couple *self = arg;
  self->to_server += len;
  assert_int_equal(wg_tls_feed(self->server, data, len), WARP_OK);
}

static void from_server(void *arg, const uint8_t *data, size_t len) {
  couple *self = arg;
  self->to_client += len;
  assert_int_equal(wg_tls_feed(self->client, data, len), WARP_OK);
}

/* No ticket comes along: nothing follows the flight with which the server ends its part. */
static void test_our_server(void **state) {
  (void)state;
  tls_identity own;
  tls_identity_open(&own, &ours, "DNS:relay.test");
  wg_tls_context *trust, *shown;
  assert_int_equal(wg_tls_client_context(ours.pem, ours.pem_len, &trust), WARP_OK);
  assert_int_equal(wg_tls_server_context(own.cert, own.cert_len, own.key, own.key_len, &shown),
                   WARP_OK);
  couple self = {0};
  wg_tls_options client = {.context = trust,
                           .name = "relay.test",
                           .utc_ms = in_time_ms,
                           .output = from_client,
                           .arg = &self};
  wg_tls_options server = {.context = shown, .output = from_server, .arg = &self};
  assert_int_equal(wg_tls_new(&client, &self.client), WARP_OK);
  assert_int_equal(wg_tls_new(&server, &self.server), WARP_OK);
  wg_tls_context_free(trust);
  wg_tls_context_free(shown);
  assert_int_equal(wg_tls_handshake(self.server), WARP_AGAIN);
  assert_int_equal(wg_tls_handshake(self.client), WARP_AGAIN);
  assert_int_equal(wg_tls_handshake(self.server), WARP_AGAIN);
  assert_int_equal(wg_tls_handshake(self.client), WARP_OK);
  size_t before = self.to_client;
  assert_int_equal(wg_tls_handshake(self.server), WARP_OK);
  assert_int_equal(self.to_client, before);
  char text[8];
  size_t len;
  assert_int_equal(wg_tls_write(self.client, "hello", 5), WARP_OK);
  assert_int_equal(wg_tls_read(self.server, text, sizeof text, &len), WARP_OK);
  assert_int_equal(len, 5);
  assert_memory_equal(text, "hello", 5);
  wg_tls_shutdown(self.client);
  assert_int_equal(wg_tls_read(self.server, text, sizeof text, &len), WARP_CLOSED);
  assert_int_equal(wg_tls_write(self.server, "bye", 3), WARP_OK);
  assert_int_equal(wg_tls_read(self.client, text, sizeof text, &len), WARP_OK);
  wg_tls_free(self.client);
  wg_tls_free(self.server);
  tls_identity_close(&own);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_name_is_told),
      cmocka_unit_test(test_time_and_version),
      cmocka_unit_test(test_unknown_authority),
      cmocka_unit_test(test_what_cannot_be),
      cmocka_unit_test(test_echo),
      cmocka_unit_test(test_garbage_and_ends),
      cmocka_unit_test(test_bytes_one_by_one),
      cmocka_unit_test(test_files_of_a_server),
      cmocka_unit_test(test_our_server),
  };
  return cmocka_run_group_tests(tests, open_authorities, close_authorities);
}
