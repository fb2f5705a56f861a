#include "tls_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static X509 *certify(EVP_PKEY *key, const char *common_name, const char *extension, int nid,
                     const tls_authority *by) {
  X509 *cert = X509_new();
  X509_NAME *name = X509_get_subject_name(cert);
  X509_set_version(cert, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(cert), by->cert == NULL ? 1 : 2);
  ASN1_TIME_set(X509_getm_notBefore(cert), TLS_VALID_FROM);
  ASN1_TIME_set(X509_getm_notAfter(cert), TLS_VALID_TO);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1,
                             0);
  X509_set_issuer_name(cert, by->cert == NULL ? name : X509_get_subject_name(by->cert));
  X509_set_pubkey(cert, key);
  X509_EXTENSION *added = X509V3_EXT_conf_nid(NULL, NULL, nid, extension);
  assert_non_null(added);
  assert_int_equal(X509_add_ext(cert, added, -1), 1);
  X509_EXTENSION_free(added);
  assert_true(X509_sign(cert, by->key, EVP_sha256()) > 0);
  return cert;
}

/* The text of one of the two. */
static char *pem_of(X509 *cert, EVP_PKEY *key, size_t *len) {
  BIO *bio = BIO_new(BIO_s_mem());
  int written = cert != NULL ? PEM_write_bio_X509(bio, cert)
                             : PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
  assert_int_equal(written, 1);
  char *bytes;
  *len = (size_t)BIO_get_mem_data(bio, &bytes);
  char *text = malloc(*len);
  assert_non_null(text);
  memcpy(text, bytes, *len);
  BIO_free(bio);
  return text;
}

void tls_authority_open(tls_authority *authority) {
  *authority = (tls_authority){0};
  authority->key = EVP_EC_gen("P-256");
  assert_non_null(authority->key);
  authority->cert = certify(authority->key, "test authority", "critical,CA:TRUE",
                            NID_basic_constraints, authority);
  authority->pem = pem_of(authority->cert, NULL, &authority->pem_len);
}

void tls_identity_open(tls_identity *identity, const tls_authority *authority, const char *names) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *cert = certify(key, "relay.test", names, NID_subject_alt_name, authority);
  identity->cert = pem_of(cert, NULL, &identity->cert_len);
  identity->key = pem_of(NULL, key, &identity->key_len);
  X509_free(cert);
  EVP_PKEY_free(key);
}

void tls_identity_close(tls_identity *identity) {
  free(identity->cert);
  free(identity->key);
}

void tls_authority_close(tls_authority *authority) {
  free(authority->pem);
  X509_free(authority->cert);
  EVP_PKEY_free(authority->key);
}

static int on_sni(SSL *ssl, int *alert, void *arg) {
  (void)alert;
  tls_server *server = arg;
  const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  snprintf(server->sni, sizeof server->sni, "%s", name != NULL ? name : "");
  return SSL_TLSEXT_ERR_OK;
}

void tls_server_open(tls_server *server, const tls_authority *authority, const char *names,
                     int version) {
  *server = (tls_server){.context = SSL_CTX_new(TLS_server_method())};
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *cert = certify(key, "relay.test", names, NID_subject_alt_name, authority);
  assert_int_equal(SSL_CTX_use_certificate(server->context, cert), 1);
  assert_int_equal(SSL_CTX_use_PrivateKey(server->context, key), 1);
  assert_int_equal(SSL_CTX_set_min_proto_version(server->context, TLS1_VERSION), 1);
  assert_int_equal(SSL_CTX_set_max_proto_version(server->context, version), 1);
  SSL_CTX_set_security_level(server->context, 0); /* TLS 1.1 too */
  SSL_CTX_set_tlsext_servername_callback(server->context, on_sni);
  SSL_CTX_set_tlsext_servername_arg(server->context, server);
  X509_free(cert);
  EVP_PKEY_free(key);
  server->ssl = SSL_new(server->context);
  server->in = BIO_new(BIO_s_mem());
  server->out = BIO_new(BIO_s_mem());
  BIO_set_mem_eof_return(server->in, -1);
  SSL_set_bio(server->ssl, server->in, server->out);
  SSL_set_accept_state(server->ssl);
}

void tls_server_close(tls_server *server) {
  SSL_free(server->ssl);
  SSL_CTX_free(server->context);
}

void tls_server_input(tls_server *server, const uint8_t *data, size_t len) {
  BIO_write(server->in, data, (int)len);
  uint8_t plain[4096];
  size_t got;
  while (SSL_read_ex(server->ssl, plain, sizeof plain, &got) == 1) {
    server->heard += got;
    if (server->echo)
      tls_server_send(server, plain, got);
    if (server->on_text != NULL)
      server->on_text(server->arg, plain, got);
  }
  int error = SSL_get_error(server->ssl, 0);
  server->failed = error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL;
  ERR_clear_error();
}

size_t tls_server_output(tls_server *server, uint8_t **out) {
  static uint8_t bytes[65536];
  size_t len = 0;
  if (BIO_read_ex(server->out, bytes, sizeof bytes, &len) != 1)
    len = 0;
  *out = bytes;
  return len;
}

void tls_server_send(tls_server *server, const void *data, size_t len) {
  size_t written;
  if (data == NULL)
    SSL_shutdown(server->ssl);
  else
    assert_int_equal(SSL_write_ex(server->ssl, data, len, &written), 1);
}
