/* A TLS server over memory with certificates of an authority that the test makes. */
#ifndef TESTS_SUPPORT_TLS_SERVER_H
#define TESTS_SUPPORT_TLS_SERVER_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tls_authority {
  EVP_PKEY *key;
  X509 *cert;
  char *pem; /* its certificate, for who shall trust it */
  size_t pem_len;
} tls_authority;

void tls_authority_open(tls_authority *authority);
void tls_authority_close(tls_authority *authority);

/* A certificate of the authority for `names` (as below) and its key, both PEM. */
typedef struct tls_identity {
  char *cert, *key;
  size_t cert_len, key_len;
} tls_identity;
void tls_identity_open(tls_identity *identity, const tls_authority *authority, const char *names);
void tls_identity_close(tls_identity *identity);

/* Seconds since 1970 in which certificates of servers are valid. */
enum { TLS_VALID_FROM = 1000000000, TLS_VALID_TO = 2000000000 };

typedef struct tls_server {
  SSL_CTX *context;
  SSL *ssl;
  BIO *in, *out;
  bool echo; /* what it reads it sends back */
  bool failed;
  size_t heard;
  void (*on_text)(void *arg, const uint8_t *data,
                  size_t len); /* gets what it reads; NULL: nobody */
  void *arg;
  char sni[64]; /* the name that the client asked for */
} tls_server;

/* `names` as of subjectAltName: "DNS:relay.test,IP:192.0.2.1". `version` is its newest protocol. */
void tls_server_open(tls_server *server, const tls_authority *authority, const char *names,
                     int version);
void tls_server_close(tls_server *server);
/* Takes bytes of the client. */
void tls_server_input(tls_server *server, const uint8_t *data, size_t len);
/* What it has to say; `*out` is valid until the next call. */
size_t tls_server_output(tls_server *server, uint8_t **out);
/* Sends bytes, or with NULL ends its stream. */
void tls_server_send(tls_server *server, const void *data, size_t len);

#endif
