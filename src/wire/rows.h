/* Rows of a connect's report, as one end tells them to the other. */
#ifndef WG_WIRE_ROWS_H
#define WG_WIRE_ROWS_H

#include "base/bytes.h"
#include <warpgate/warpgate.h>

/* How one attempt went at the sender. */
typedef struct wg_row {
  uint16_t attempt;             /* the initiator's number */
  int32_t status;               /* 0 or a negative warp_status */
  int32_t start_ms;             /* after the sender's session began; negative: it never started */
  uint32_t elapsed_ms;          /* how long it ran */
  char detail[WARP_DETAIL_LEN]; /* one line for a person */
} wg_row;

/* Appends a row; its detail is cut at `detail_max` bytes (at most WARP_DETAIL_LEN - 1). False, and
 * nothing is written, when there is no room for it. */
bool wg_row_write(wg_writer *writer, const wg_row *row, size_t detail_max);
/* Reads the next row; false at the end, or when the rest is malformed (reader->failed). The detail
 * has no control characters. */
bool wg_row_read(wg_reader *reader, wg_row *out);

/* Reads `len` bytes of text for a person: a stranger's control characters do not get through to a
 * terminal. False when they are more than a detail may have, or not there. */
bool wg_detail_read(wg_reader *reader, size_t len, char out[WARP_DETAIL_LEN]);

#endif
