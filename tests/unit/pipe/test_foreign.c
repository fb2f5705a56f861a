/* The secure layer against peers that are not ours: plain OpenSSL with every liberty. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "pipe/pipe.h"
#include "pipe/secure.h"

enum { HELLO_LEN = 40 };
static const uint8_t hello[HELLO_LEN] = "a hello of forty bytes, give or take";
static const uint8_t other_hello[HELLO_LEN] = "another hello, after the retry request";

typedef struct encounter {
  wg_identity *identity;
  wg_secure *ours;
  SSL_CTX *context;
  SSL *theirs;
  EVP_PKEY *their_key;
  BIO *to_them, *from_them;
  int status; /* of our handshake */
  unsigned hellos;
  bool change_hello; /* they send another hello the second time */
  unsigned hellos_sent;
  const uint8_t *echo; /* what they answer as a server */
  size_t echo_len;
} encounter;

static void to_them(void *arg, const uint8_t *data, size_t len) {
  encounter *meeting = arg;
  assert_int_equal(BIO_write(meeting->to_them, data, (int)len), (int)len);
}

static warp_key key_of(EVP_PKEY *pkey) {
  uint8_t *point = NULL;
  warp_key key = {{0}};
  size_t len = EVP_PKEY_get1_encoded_public_key(pkey, &point);
  if (len == 65 || len == WARP_KEY_LEN) {
    memcpy(key.bytes, point, WARP_KEY_LEN);
  }
  if (len == 65) {
    key.bytes[0] = (uint8_t)(2 | (point[64] & 1));
  }
  OPENSSL_free(point);
  return key;
}

static int on_hello(void *arg, const uint8_t *bytes, size_t len, warp_key *expected) {
  encounter *meeting = arg;
  meeting->hellos++;
  assert_int_equal(len, HELLO_LEN);
  assert_memory_equal(bytes, hello, HELLO_LEN);
  *expected = key_of(meeting->their_key);
  return WARP_OK;
}

static int add_hello(SSL *ssl, unsigned int type, unsigned int context, const unsigned char **out,
                     size_t *len, X509 *cert, size_t chain, int *alert, void *arg) {
  (void)type;
  (void)context;
  (void)cert;
  (void)chain;
  (void)alert;
  encounter *meeting = arg;
  if (SSL_is_server(ssl)) {
    *out = meeting->echo;
    *len = meeting->echo_len;
    return meeting->echo != NULL;
  }
  *out = meeting->hellos_sent++ > 0 && meeting->change_hello ? other_hello : hello;
  *len = HELLO_LEN;
  return 1;
}

static int parse_any(SSL *ssl, unsigned int type, unsigned int context, const unsigned char *in,
                     size_t len, X509 *cert, size_t chain, int *alert, void *arg) {
  (void)ssl;
  (void)type;
  (void)context;
  (void)in;
  (void)len;
  (void)cert;
  (void)chain;
  (void)alert;
  (void)arg;
  return 1;
}

static int accept_all(X509_STORE_CTX *store, void *arg) {
  (void)store;
  (void)arg;
  return 1;
}

static void certify(SSL_CTX *context, EVP_PKEY *key) {
  X509 *cert = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
  X509_gmtime_adj(X509_getm_notBefore(cert), 0);
  X509_gmtime_adj(X509_getm_notAfter(cert), 1000);
  assert_true(X509_set_pubkey(cert, key));
  const EVP_MD *digest = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
  assert_true(X509_sign(cert, key, digest) > 0);
  assert_int_equal(SSL_CTX_use_certificate(context, cert), 1);
  assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
  X509_free(cert);
}

/* They are the client unless `server`; `key` is theirs. */
static void meet(encounter *meeting, bool server, EVP_PKEY *key, bool extension) {
  assert_int_equal(wg_identity_generate(&meeting->identity), WARP_OK);
  meeting->their_key = key;
  meeting->context = SSL_CTX_new(TLS_method());
  assert_non_null(meeting->context);
  certify(meeting->context, key);
  SSL_CTX_set_verify(meeting->context, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_cert_verify_callback(meeting->context, accept_all, NULL);
  if (extension) {
    unsigned where = SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS;
    assert_true(SSL_CTX_add_custom_ext(meeting->context, WG_HELLO_EXTENSION, where, add_hello, NULL,
                                       meeting, parse_any, meeting));
  }
  meeting->to_them = BIO_new(BIO_s_mem());
  meeting->from_them = BIO_new(BIO_s_mem());
  BIO_set_mem_eof_return(meeting->to_them, -1);
  BIO_set_mem_eof_return(meeting->from_them, -1);
  meeting->theirs = SSL_new(meeting->context);
  SSL_set_bio(meeting->theirs, meeting->to_them, meeting->from_them);
  warp_key expected = key_of(key);
  wg_secure_options options = {
      .identity = meeting->identity,
      .client = server,
      .expected = server ? &expected : NULL,
      .hello = hello,
      .hello_len = HELLO_LEN,
      .output = to_them,
      .on_hello = on_hello,
      .arg = meeting,
  };
  assert_int_equal(wg_secure_new(&options, &meeting->ours), WARP_OK);
  if (server) {
    SSL_set_accept_state(meeting->theirs);
  } else {
    SSL_set_connect_state(meeting->theirs);
  }
}

static void shake_hands(encounter *meeting) {
  meeting->status = WARP_AGAIN;
  for (int i = 0; i < 10 && meeting->status == WARP_AGAIN; i++) {
    SSL_do_handshake(meeting->theirs);
    uint8_t bytes[20000];
    int len = BIO_read(meeting->from_them, bytes, sizeof bytes);
    wg_secure_feed(meeting->ours, bytes, len > 0 ? (size_t)len : 0);
    meeting->status = wg_secure_handshake(meeting->ours);
    wg_secure_feed(meeting->ours, NULL, 0);
  }
  if (meeting->status != WARP_OK) { /* an error stays one */
    uint8_t byte = 0;
    size_t len = 1;
    assert_int_equal(wg_secure_handshake(meeting->ours), meeting->status);
    assert_int_equal(wg_secure_read(meeting->ours, &byte, 1, &len), meeting->status);
    assert_int_equal(len, 0);
    assert_int_equal(wg_secure_write(meeting->ours, &byte, 1), meeting->status);
    assert_false(wg_secure_repeat(meeting->ours));
  }
}

static void part(encounter *meeting) {
  SSL_free(meeting->theirs);
  SSL_CTX_free(meeting->context);
  EVP_PKEY_free(meeting->their_key);
  wg_secure_free(meeting->ours);
  wg_identity_free(meeting->identity);
}

/* ---- clients that are not ours --------------------------------------------------------------- */

static void exact_client_is_accepted(void **state) {
  (void)state;
  encounter meeting = {0};
  meet(&meeting, false, EVP_EC_gen("P-256"), true);
  shake_hands(&meeting);
  assert_int_equal(meeting.status, WARP_OK);
  assert_int_equal(meeting.hellos, 1);
  part(&meeting);
}

static void client_without_hello_is_refused(void **state) {
  (void)state;
  encounter meeting = {0};
  meet(&meeting, false, EVP_EC_gen("P-256"), false);
  shake_hands(&meeting);
  assert_int_equal(meeting.status, WARP_MALFORMED);
  assert_int_equal(meeting.hellos, 0);
  part(&meeting);
}

static void older_protocol_is_refused(void **state) {
  (void)state;
  encounter meeting = {0};
  meet(&meeting, false, EVP_EC_gen("P-256"), true);
  SSL_set_max_proto_version(meeting.theirs, TLS1_2_VERSION);
  shake_hands(&meeting);
  assert_int_equal(meeting.status, WARP_TLS);
  assert_string_equal(wg_secure_detail(meeting.ours), "unsupported protocol");
  part(&meeting);
}

/* A client that guesses the group wrong is asked again; it may not change its mind meanwhile. */
static void second_hello_must_be_the_first(void **state) {
  (void)state;
  for (int change = 0; change < 2; change++) {
    encounter meeting = {.change_hello = change != 0};
    meet(&meeting, false, EVP_EC_gen("P-256"), true);
    assert_int_equal(SSL_set1_groups_list(meeting.theirs, "P-384:P-256"), 1);
    shake_hands(&meeting);
    assert_int_equal(meeting.hellos_sent, 2);
    assert_int_equal(meeting.hellos, 1);
    assert_int_equal(meeting.status, change ? WARP_MALFORMED : WARP_OK);
    part(&meeting);
  }
}

static void client_must_have_a_certificate(void **state) {
  (void)state;
  encounter meeting = {0};
  meet(&meeting, false, EVP_EC_gen("P-256"), true);
  SSL_certs_clear(meeting.theirs);
  shake_hands(&meeting);
  assert_int_equal(meeting.status, WARP_TLS);
  assert_string_equal(wg_secure_detail(meeting.ours), "peer did not return a certificate");
  part(&meeting);
}

/* ---- servers that are not ours --------------------------------------------------------------- */

/* The right key is not enough: without the echo it is some other service of that key. */
static void server_must_echo_the_hello(void **state) {
  (void)state;
  uint8_t echo[33] = {1};
  assert_true(EVP_Digest(hello, HELLO_LEN, echo + 1, NULL, EVP_sha256(), NULL));
  for (int i = 0; i < 4; i++) {
    encounter meeting = {.echo = i == 0 ? NULL : echo, .echo_len = i == 2 ? 32 : 33};
    echo[20] ^= (uint8_t)(i == 3);
    meet(&meeting, true, EVP_EC_gen("P-256"), i > 0);
    shake_hands(&meeting);
    assert_int_equal(meeting.status, i == 1 ? WARP_OK : WARP_TLS);
    if (i == 0) {
      assert_string_equal(wg_secure_detail(meeting.ours), "the peer does not speak our protocol");
    }
    part(&meeting);
  }
}

/* ---- keys that are none ---------------------------------------------------------------------- */

static void only_p256_keys_are_read(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    encounter meeting = {0};
    EVP_PKEY *key = i == 0   ? EVP_EC_gen("P-384")
                    : i == 1 ? EVP_RSA_gen(2048)
                             : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_non_null(key);
    meet(&meeting, false, key, true);
    shake_hands(&meeting);
    assert_true(meeting.status == WARP_UNTRUSTED || meeting.status == WARP_TLS);
    part(&meeting);
  }
}

/* SEC 1 knows two encodings of a point; both name the same key. */
static void compressed_point_is_the_same_key(void **state) {
  (void)state;
  encounter meeting = {0};
  EVP_PKEY *key = EVP_EC_gen("P-256");
  assert_int_equal(EVP_PKEY_set_utf8_string_param(key, "point-format", "compressed"), 1);
  meet(&meeting, false, key, true);
  shake_hands(&meeting);
  X509_ALGOR *parameters = NULL;
  const unsigned char *point = NULL;
  int len = 0;
  X509 *cert = SSL_get_certificate(meeting.theirs);
  X509_PUBKEY_get0_param(NULL, &point, &len, &parameters, X509_get_X509_PUBKEY(cert));
  assert_int_equal(len, WARP_KEY_LEN); /* it really was sent that way */
  assert_int_equal(meeting.status, WARP_OK);
  part(&meeting);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(exact_client_is_accepted),
      cmocka_unit_test(client_without_hello_is_refused),
      cmocka_unit_test(older_protocol_is_refused),
      cmocka_unit_test(second_hello_must_be_the_first),
      cmocka_unit_test(client_must_have_a_certificate),
      cmocka_unit_test(server_must_echo_the_hello),
      cmocka_unit_test(only_p256_keys_are_read),
      cmocka_unit_test(compressed_point_is_the_same_key),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
