/*
 * The secure layer without I/O, clock or timers: TLS 1.3 over the bytes of a stream, DTLS 1.2
 * (RFC 6347) over datagrams. OpenSSL underneath, but no type of it here.
 *
 * Both sides prove a P-256 key by a self-signed certificate and accept exactly one key of the other
 * side: no authorities, no dates (a node with a wrong clock still connects), no names. The client's
 * hello rides in a private extension of the ClientHello; the server decides on it before it
 * answers, and echoes a digest of it, by which the client knows that the server speaks our
 * protocol.
 *
 * Repetition of lost DTLS flights is done here, not by OpenSSL, which reads the system's clock and
 * gives up after 12 repetitions: a flight is kept as the datagrams that were sent and goes out
 * again, byte for byte, until the peer has shown that it has it. What arrives twice is dropped by
 * the messages' own numbers, and once encrypted by the peer's replay window. This needs no fresh
 * record numbers because
 *  - each side repeats its own last flight, so that a peer whose flight was lost need not notice;
 *  - the flights with a ChangeCipherSpec (which OpenSSL forgets when it comes too early) are one
 *    datagram each: with our certificates they are half as large as WG_DTLS_MTU.
 */
#ifndef WG_PIPE_SECURE_H
#define WG_PIPE_SECURE_H

#include "identity/identity.h"

typedef struct wg_secure wg_secure;

typedef struct wg_secure_options {
  const wg_identity *identity; /* need not outlive the call */
  bool datagrams, client;
  const warp_key *expected; /* the peer's key; NULL: a server whose on_hello tells it */
  const uint8_t *hello;     /* client: 1 to WG_HELLO_MAX bytes, copied */
  size_t hello_len;
  /* Bytes of the stream, or exactly one datagram of at most WG_DTLS_MTU bytes, are to be sent. Runs
   * inside the calls below. */
  void (*output)(void *arg, const uint8_t *data, size_t len);
  /* A server, once, before anything is answered: WARP_OK with the key that the client must prove
   * (preset to `expected`, if given), or why not. WARP_REFUSED and WARP_NOT_FOUND are told to the
   * client as such, others as a failed handshake; with WARP_CANCELED nothing is sent at all. NULL:
   * every hello will do. */
  int (*on_hello)(void *arg, const uint8_t *hello, size_t len, warp_key *expected);
  void *arg;
} wg_secure_options;

/* WARP_NOMEM, WARP_INVALID (no hello, no way to know the peer's key), WARP_TOO_BIG (hello). Sends
 * nothing yet. */
int wg_secure_new(const wg_secure_options *options, wg_secure **out);
/* NULL is allowed. Not from inside a callback of it. */
void wg_secure_free(wg_secure *secure);

/* What the next calls read: bytes of the stream, or one datagram. Borrowed until the next feed;
 * NULL, 0 takes it back. */
void wg_secure_feed(wg_secure *secure, const uint8_t *data, size_t len);
/* How many bytes of the feed have not been read yet. */
size_t wg_secure_unread(const wg_secure *secure);

/* Begins or goes on with the handshake. WARP_OK: complete and the peer's key proven; WARP_AGAIN:
 * feed more. Errors are final (a server's alert has been output): what on_hello answered;
 * WARP_UNTRUSTED: one side proved another key than the other expects; WARP_REFUSED, WARP_NOT_FOUND:
 * the server's on_hello said so; else WARP_TLS. */
int wg_secure_handshake(wg_secure *secure);
/* One line on the last error; never NULL, empty without one. */
const char *wg_secure_detail(const wg_secure *secure);
/* The peer's key, as expected; proven once the handshake is complete. */
const warp_key *wg_secure_peer(const wg_secure *secure);

/* Plaintext of one record at most. WARP_AGAIN: feed more; WARP_CLOSED: the peer has ended its
 * stream (close_notify); or a final error as of the handshake. */
int wg_secure_read(wg_secure *secure, void *out, size_t cap, size_t *len);
/* False when reading again would only answer WARP_AGAIN, which costs half as much as a record. */
bool wg_secure_has_more(const wg_secure *secure);
/* Outputs all of it, in records of 16 KiB on a stream, as one datagram else. Or a final error. */
int wg_secure_write(wg_secure *secure, const void *data, size_t len);
/* Ends our side of a stream (close_notify); reading goes on (RFC 8446 section 6.1). */
void wg_secure_shutdown(wg_secure *secure);

/* Datagrams: outputs our last handshake flight again. False when there is none to repeat: nothing
 * was sent yet, or the peer has shown that it has it. */
bool wg_secure_repeat(wg_secure *secure);
/* How many flights were sent so far: a change restarts the timer of repetition. */
unsigned wg_secure_flights(const wg_secure *secure);

#endif
