#include "pipe/dtls_records.h"

#include "base/bytes.h"

enum { CHANGE_CIPHER_SPEC = 20, ALERT = 21, HANDSHAKE = 22, FATAL = 2 };
enum { NUMBER_AT = 5, NUMBER_LEN = 6, ALERT_LEN = 2 };

/* All of our handshake is shorter than this, so every message of it is. */
enum { MESSAGE_MAX = 8192 };

typedef struct record {
  uint8_t type;
  uint16_t version, epoch;
  wg_reader body;
} record;

static record read_record(wg_reader *reader) {
  record it = {.type = wg_read_u8(reader)};
  it.version = wg_read_u16(reader);
  it.epoch = wg_read_u16(reader);
  (void)wg_read_bytes(reader, NUMBER_LEN);
  it.body = wg_read_sub(reader, wg_read_u16(reader));
  return it;
}

/* ---- in the clear ---------------------------------------------------------------------------- */

/* Message types of RFC 5246 section 7.4, as full handshakes with a client's certificate have them:
 * nothing that asks for another ClientHello, and Finished is encrypted. */
static bool may_come(uint8_t type, const wg_dtls_rules *rules) {
  enum {
    CLIENT_HELLO = 1,
    SERVER_HELLO = 2,
    CERTIFICATE = 11,
    SERVER_KEY_EXCHANGE = 12,
    CERTIFICATE_REQUEST = 13,
    SERVER_HELLO_DONE = 14,
    CERTIFICATE_VERIFY = 15,
    CLIENT_KEY_EXCHANGE = 16
  };
  switch (type) {
  case CERTIFICATE:
    return true;
  case SERVER_HELLO:
  case SERVER_KEY_EXCHANGE:
  case CERTIFICATE_REQUEST:
  case SERVER_HELLO_DONE:
    return rules->client;
  case CLIENT_HELLO:
  case CERTIFICATE_VERIFY:
  case CLIENT_KEY_EXCHANGE:
    return !rules->client;
  default:
    return false;
  }
}

static uint32_t read_u24(wg_reader *reader) {
  uint32_t high = wg_read_u8(reader);
  return high << 16 | wg_read_u16(reader);
}

/* RFC 6347 section 4.2.2. A part of nothing is a message that has nothing. */
static bool are_fragments(wg_reader body, const wg_dtls_rules *rules) {
  bool sound = wg_reader_left(&body) > 0;
  while (sound && wg_reader_left(&body) > 0) {
    uint8_t type = wg_read_u8(&body);
    uint32_t whole = read_u24(&body);
    (void)wg_read_u16(&body);
    uint32_t from = read_u24(&body), len = read_u24(&body);
    (void)wg_read_bytes(&body, len);
    sound = !body.failed && may_come(type, rules) && whole <= MESSAGE_MAX && from + len <= whole &&
            (len > 0 || whole == 0);
  }
  return sound;
}

static bool is_plain(const record *it, const wg_dtls_rules *rules) {
  wg_reader body = it->body;
  switch (it->type) {
  case CHANGE_CIPHER_SPEC:
    return body.len == 1 && wg_read_u8(&body) == 1;
  case ALERT:
    return body.len == ALERT_LEN && wg_read_u8(&body) == FATAL;
  case HANDSHAKE:
    return are_fragments(body, rules);
  default:
    return false;
  }
}

/* ---- all ------------------------------------------------------------------------------------- */

static bool keeps_rules(const record *it, bool alone, const wg_dtls_rules *rules) {
  bool oldest =
      it->version == WG_DTLS_1_0 && alone && it->epoch == 0 && (it->type == ALERT || rules->hello);
  if (it->version != WG_DTLS_1_2 && !oldest) {
    return false;
  }
  return it->epoch == 0 ? is_plain(it, rules) : it->body.len >= rules->overhead;
}

size_t wg_dtls_sound_len(const uint8_t *data, size_t len, const wg_dtls_rules *rules) {
  wg_reader reader = wg_reader_init(data, len);
  size_t sound = 0;
  while (wg_reader_left(&reader) > 0) {
    record it = read_record(&reader);
    bool alone = sound == 0 && wg_reader_left(&reader) == 0;
    if (reader.failed || !keeps_rules(&it, alone, rules)) {
      break;
    }
    sound = reader.pos;
  }
  return sound;
}

void wg_dtls_renumber(uint8_t *data, size_t len, uint64_t *next) {
  wg_reader reader = wg_reader_init(data, len);
  while (wg_reader_left(&reader) > 0) {
    uint8_t *number = data + reader.pos + NUMBER_AT;
    record it = read_record(&reader);
    if (reader.failed) {
      break;
    }
    if (it.epoch == 0) {
      for (int i = 0; i < NUMBER_LEN; i++) {
        number[i] = (uint8_t)(*next >> 8 * (NUMBER_LEN - 1 - i));
      }
      ++*next;
    }
  }
}
