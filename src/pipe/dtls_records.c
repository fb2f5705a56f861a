#include "pipe/dtls_records.h"

#include "base/bytes.h"

enum { CONTENT_ALERT = 21, SEQUENCE_NUMBER_LEN = 6 };

typedef struct record {
  uint8_t type;
  uint16_t version, epoch, body_len;
} record;

static bool keeps_rules(const record *it, bool alone, const wg_dtls_rules *rules) {
  if (it->version == WG_DTLS_1_0) {
    return alone && it->epoch == 0 && (it->type == CONTENT_ALERT || rules->hello);
  }
  return it->version == WG_DTLS_1_2 && (it->epoch == 0 || it->body_len >= rules->overhead);
}

size_t wg_dtls_sound_len(const uint8_t *data, size_t len, const wg_dtls_rules *rules) {
  wg_reader reader = wg_reader_init(data, len);
  size_t sound = 0;
  while (wg_reader_left(&reader) > 0) {
    record it = {.type = wg_read_u8(&reader)};
    it.version = wg_read_u16(&reader);
    it.epoch = wg_read_u16(&reader);
    (void)wg_read_bytes(&reader, SEQUENCE_NUMBER_LEN);
    it.body_len = wg_read_u16(&reader);
    (void)wg_read_bytes(&reader, it.body_len);
    bool alone = sound == 0 && wg_reader_left(&reader) == 0;
    if (reader.failed || !keeps_rules(&it, alone, rules)) {
      break;
    }
    sound = reader.pos;
  }
  return sound;
}
