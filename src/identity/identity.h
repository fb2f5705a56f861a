/*
 * Who a node is: an ECDSA P-256 key, what it signs, seals and agrees on, and the ids of its
 * machine.
 */
#ifndef WG_IDENTITY_IDENTITY_H
#define WG_IDENTITY_IDENTITY_H

#include "env/env.h"
#include "wire/message.h"

typedef struct wg_identity wg_identity;

/* Makes a new key from the system's randomness. WARP_NOMEM, WARP_IO. */
int wg_identity_generate(wg_identity **out);
/* Loads the key `name` from the keystore in `dir` (NULL: the default data folder), or makes and
 * saves one when there is none. `name`: 1 to 63 characters of a-z, 0-9 and '-'. The file is
 * versioned, mode 0600, replaced atomically. A damaged or foreign file is never overwritten:
 * WARP_MALFORMED, WARP_VERSION. WARP_PERMISSION, WARP_IO, WARP_INVALID (name). */
int wg_identity_load(wg_env *env, const char *dir, const char *name, wg_identity **out);
/* Can a key file of this name be read, whatever is in it? */
bool wg_identity_exists(wg_env *env, const char *dir, const char *name);
/* Wipes the key. NULL is allowed. */
void wg_identity_free(wg_identity *identity);
const warp_key *wg_identity_key(const wg_identity *identity);
/* The key for OpenSSL (EVP_PKEY *), owned by the identity; for the secure layer only. */
struct evp_pkey_st *wg_identity_pkey(const wg_identity *identity);
bool wg_key_equal(const warp_key *a, const warp_key *b);
/* SHA-256 of the key's bytes. */
void wg_key_hash(const warp_key *key, uint8_t out[32]);

/* ECDSA over SHA-256 of `context` (with its NUL) followed by the data: a signature made for one
 * purpose is never one for another. WARP_BAD_SIGNATURE when it does not verify. */
int wg_identity_sign(const wg_identity *identity, const char *context, const void *data, size_t len,
                     uint8_t signature[WG_SIGNATURE_LEN]);
int wg_key_verify(const warp_key *key, const char *context, const void *data, size_t len,
                  const uint8_t signature[WG_SIGNATURE_LEN]);

/* Clocks of real machines are this wrong, on either side (a time zone set by hand is an hour off):
 * an expiry time bounds how long a stolen packet is of use, it is no promise to the minute. */
enum { WG_CLOCK_TOLERANCE_MS = 3600000 };
/* Is `expires_ms` past at `now_ms`, by more than the tolerance? */
bool wg_expired(int64_t expires_ms, int64_t now_ms);

/* Encodes and signs a record; the record's key must be the identity's. Returns the length or an
 * error; WARP_INVALID for another key. */
int wg_record_sign(const wg_identity *identity, const wg_record *record, uint8_t *out, size_t cap);
/* Decodes and checks signature and expiry (`now_ms`: wall clock; a tolerance of one hour for wrong
 * clocks on either side). WARP_MALFORMED, WARP_VERSION, WARP_BAD_SIGNATURE, WARP_EXPIRED. */
int wg_record_verify(const uint8_t *bytes, size_t len, int64_t now_ms, wg_record *out);

/* Seals and signs a message to a recipient: ephemeral ECDH, HKDF with a context string,
 * AES-256-GCM. `sequence` and the times as in wg_letter. Returns the envelope's length or an error.
 */
int wg_envelope_seal(const wg_identity *from, const wg_letter *letter, uint8_t *out, size_t cap);
/* Opens an envelope into `plain` (at least `len` bytes), fills `letter` (its message points into
 * `plain`). Checks: addressed to us, signed by the sender it names, not expired at `now_ms` (with
 * the tolerance). WARP_MALFORMED, WARP_VERSION, WARP_UNTRUSTED (not for us, or not openable),
 * WARP_BAD_SIGNATURE, WARP_EXPIRED. */
int wg_envelope_open(const wg_identity *to, const uint8_t *bytes, size_t len, int64_t now_ms,
                     uint8_t *plain, wg_letter *letter);

/* A secret that only the two key owners can compute: static ECDH, HKDF-SHA256 with `salt` and
 * `context`. */
int wg_identity_agree(const wg_identity *identity, const warp_key *peer, const char *context,
                      const void *salt, size_t salt_len, void *out, size_t out_len);

/* The salted, stable id of this machine: SHA-256 of a fixed salt and `override` if not NULL, else
 * of the hardware identifiers; cut to 16 bytes. WARP_NOT_FOUND when there are none. */
int wg_machine_id(wg_env *env, const char *override, uint8_t out[WG_MACHINE_ID_LEN]);
/* What a record says of its machine: a hash of the machine id and the record's key. Only who knows
 * the machine id can make it, so a stranger cannot pass for a node of our own machine by copying
 * what it read in a record of ours. */
void wg_machine_tag(const uint8_t machine[WG_MACHINE_ID_LEN], const warp_key *key,
                    uint8_t out[WG_MACHINE_ID_LEN]);

/* A stable name for a machine that was given none: "m-" and 32 hex digits. With `override` it
 * follows from that; else from the lowest hardware address that is burnt in (of several the first
 * one whose name has a key in `dir` already), else from the default interface's, else from the
 * hardware identifiers. WARP_NOT_FOUND, WARP_INVALID (override), WARP_NOMEM. */
enum { WG_MACHINE_NAME_LEN = 2 + 2 * WG_MACHINE_ID_LEN + 1 };
int wg_machine_name(wg_env *env, const char *override, const char *dir,
                    char out[WG_MACHINE_NAME_LEN]);

/* The listen port number `turn` (0 is the first choice, then a fixed sequence): a hash of the
 * machine id into 10000-60000, never one of SIP's (5060, 5061) nor of the common RTP range
 * 10000-20000. */
uint16_t wg_listen_port(const uint8_t machine[WG_MACHINE_ID_LEN], unsigned turn);

#endif
