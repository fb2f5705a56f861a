/* The records of a datagram (RFC 6347 section 4.1), as far as one must look before a library that
 * decrypts them may. Pure. */
#ifndef WG_PIPE_DTLS_RECORDS_H
#define WG_PIPE_DTLS_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Before both have agreed on a version, records may bear the number of the oldest one: a
 * ClientHello does, and an alert that answers it. Such a record is a datagram's only one. */
enum { WG_DTLS_1_0 = 0xfeff, WG_DTLS_1_2 = 0xfefd };

typedef struct wg_dtls_rules {
  bool client;     /* we are */
  bool hello;      /* a ClientHello may come */
  size_t overhead; /* what the cipher adds to an encrypted record; shorter ones hold nothing */
} wg_dtls_rules;

/* How many bytes, from the beginning, are whole records that keep the rules; what follows the first
 * that does not is nothing that a peer of ours sends. In the clear peers of ours send fatal alerts,
 * ChangeCipherSpec, and whole fragments of their role's handshake messages. */
size_t wg_dtls_sound_len(const uint8_t *data, size_t len, const wg_dtls_rules *rules);

/* Gives the records in the clear among the sound ones of a datagram the numbers from *next on. */
void wg_dtls_renumber(uint8_t *data, size_t len, uint64_t *next);

#endif
