/* OpenSSL over a plain socket, with the cipher that the secure pipe uses: TLS 1.3 and DTLS 1.2. */
#include "bench.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>

/* A certificate that signs itself, of a new P-256 key. */
static void use_certificate(SSL_CTX *context) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *cert = X509_new();
  if (key == NULL || cert == NULL || !X509_set_version(cert, X509_VERSION_3) ||
      !ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) ||
      !X509_gmtime_adj(X509_getm_notBefore(cert), 0) ||
      !X509_gmtime_adj(X509_getm_notAfter(cert), 86400) || !X509_set_pubkey(cert, key) ||
      !X509_sign(cert, key, EVP_sha256()) || SSL_CTX_use_certificate(context, cert) != 1 ||
      SSL_CTX_use_PrivateKey(context, key) != 1) {
    bench_die("no certificate");
  }
  X509_free(cert);
  EVP_PKEY_free(key);
}

static SSL *shake_hands(bench_side *side, bool datagrams, bool receives, int *fd) {
  SSL_CTX *context = SSL_CTX_new(datagrams ? DTLS_method() : TLS_method());
  int version = datagrams ? DTLS1_2_VERSION : TLS1_3_VERSION;
  if (context == NULL || !SSL_CTX_set_min_proto_version(context, version) ||
      !SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") ||
      !SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256")) {
    bench_die("no TLS");
  }
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1); /* else each record takes two reads of the socket */
  if (receives) {
    use_certificate(context);
  }
  *fd = bench_socket(side, datagrams ? SOCK_DGRAM : SOCK_STREAM, receives);
  SSL *ssl = SSL_new(context);
  BIO *bio = datagrams ? BIO_new_dgram(*fd, BIO_NOCLOSE) : BIO_new_socket(*fd, BIO_NOCLOSE);
  if (ssl == NULL || bio == NULL) {
    bench_die("no TLS");
  }
  if (datagrams) {
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    getpeername(*fd, (struct sockaddr *)&peer, &len);
    BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &peer);
  }
  SSL_set_bio(ssl, bio, bio);
  int rc;
  while ((rc = receives ? SSL_accept(ssl) : SSL_connect(ssl)) != 1) {
    if (SSL_get_error(ssl, rc) != SSL_ERROR_WANT_READ) {
      bench_die("no TLS handshake: %s", ERR_reason_error_string(ERR_peek_error()));
    }
    bench_wait(*fd, POLLIN);
  }
  return ssl;
}

static void receive(bench_side *side, bool datagrams) {
  int fd;
  SSL *ssl = shake_hands(side, datagrams, true, &fd);
  static uint8_t data[BENCH_RECORD];
  for (;;) {
    size_t len = 0;
    int rc = SSL_read_ex(ssl, data, sizeof data, &len);
    if (rc == 1) {
      bench_count(side, len);
    } else if (SSL_get_error(ssl, rc) == SSL_ERROR_WANT_READ) {
      bench_wait(fd, POLLIN);
    } else {
      bench_die("TLS ended: %s", ERR_reason_error_string(ERR_peek_error()));
    }
  }
}

static void send_on(bench_side *side, bool datagrams, size_t size) {
  int fd;
  SSL *ssl = shake_hands(side, datagrams, false, &fd);
  const uint8_t *data = bench_payload();
  for (;;) {
    size_t len = 0;
    int rc = SSL_write_ex(ssl, data, size, &len);
    if (rc != 1 && SSL_get_error(ssl, rc) == SSL_ERROR_WANT_WRITE) {
      bench_wait(fd, POLLOUT);
    } else if (rc != 1) {
      bench_die("TLS ended: %s", ERR_reason_error_string(ERR_peek_error()));
    }
  }
}

void bench_tls_receive(bench_side *side) {
  receive(side, false);
}

void bench_tls_send(bench_side *side) {
  send_on(side, false, BENCH_RECORD);
}

void bench_dtls_receive(bench_side *side) {
  receive(side, true);
}

void bench_dtls_send(bench_side *side) {
  send_on(side, true, BENCH_MESSAGE);
}
