#include "link/split.h"

/* RFC 9260 sections 3.1, 3.2 and 3.3.4. */
enum {
  COMMON_LEN = 12,
  HEAD_LEN = 4,
  LENGTH_AT = 2,
  ALIGNMENT = 4,
  SACK = 3,
  SACK_LEN = 16, /* without gaps */
  SACK_GAPS_AT = 12,
  SACK_DUPLICATES_AT = 14,
  GAP_LEN = 4,
};

wg_split wg_split_begin(const uint8_t *packet, size_t len) {
  wg_reader reader = wg_reader_init(packet, len);
  const uint8_t *head = wg_read_bytes(&reader, COMMON_LEN);
  return (wg_split){.head = head, .chunks = reader};
}

/* The next chunk with its padding, which stays where it is; NULL when there is none. */
static const uint8_t *peek(const wg_split *split, size_t *len) {
  wg_reader reader = split->chunks, chunk = split->chunks;
  size_t left = wg_reader_left(&reader);
  wg_read_bytes(&reader, LENGTH_AT);
  size_t claimed = wg_read_u16(&reader);
  size_t padded = (claimed + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  *len = padded < left ? padded : left;
  return claimed >= HEAD_LEN && claimed <= left ? wg_read_bytes(&chunk, *len) : NULL;
}

/* As many gaps as fit, the first ones, and no duplicates: what is not reported is not known to
 * have arrived, no more (RFC 9260 section 3.3.4). */
static void write_short_sack(wg_writer *writer, const uint8_t *sack, size_t room) {
  wg_reader reader = wg_reader_init(sack + SACK_GAPS_AT, SACK_LEN - SACK_GAPS_AT);
  size_t gaps = wg_read_u16(&reader), fitting = (room - SACK_LEN) / GAP_LEN;
  gaps = gaps < fitting ? gaps : fitting; /* behind them stand the duplicates */
  size_t at = writer->len, len = SACK_LEN + gaps * GAP_LEN;
  wg_write_bytes(writer, sack, len);
  wg_write_patch_u16(writer, at + LENGTH_AT, (uint16_t)len);
  wg_write_patch_u16(writer, at + SACK_GAPS_AT, (uint16_t)gaps);
  wg_write_patch_u16(writer, at + SACK_DUPLICATES_AT, 0);
}

size_t wg_split_next(wg_split *split, uint8_t *out, size_t cap) {
  wg_writer writer = wg_writer_init(out, cap);
  const uint8_t *chunk;
  size_t len;
  if (split->head == NULL) {
    return 0;
  }
  wg_write_bytes(&writer, split->head, COMMON_LEN);
  while ((chunk = peek(split, &len)) != NULL) {
    size_t room = cap - writer.len;
    if (len <= room) {
      wg_write_bytes(&writer, chunk, len);
    } else if (writer.len > COMMON_LEN) {
      return writer.len; /* the next packet begins with it */
    } else if (chunk[0] == SACK && len >= SACK_LEN && room >= SACK_LEN) {
      write_short_sack(&writer, chunk, room);
    }
    wg_read_bytes(&split->chunks, len);
  }
  split->head = NULL;
  return writer.len > COMMON_LEN ? writer.len : 0;
}
