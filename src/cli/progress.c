#include "cli/progress.h"

#include "cli/say.h"

#include <stdio.h>

enum { FIRST_MS = 1000, EVERY_MS = 500, AMOUNT_LEN = 16, LINE_LEN = 120 };

/* "512 B", "12.3 MB": decimal units, as disks and networks are sold. */
static const char *amount(double bytes, char out[AMOUNT_LEN]) {
  static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < sizeof units / sizeof units[0]) {
    bytes /= 1000;
    unit++;
  }
  snprintf(out, AMOUNT_LEN, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
  return out;
}

static uint64_t bytes_so_far(const cli_progress *progress) {
  return progress->reader->total + progress->writer->total;
}

/* "12.3 MB sent, 0 B received, 4.5 MB/s" of the bytes that came since `since_ns`. */
static void describe(const cli_progress *progress, uint64_t bytes, uint64_t since_ns,
                     char line[LINE_LEN]) {
  char sent[AMOUNT_LEN], received[AMOUNT_LEN], rate[AMOUNT_LEN];
  double seconds = (double)(uv_hrtime() - since_ns) / 1e9;
  snprintf(line, LINE_LEN, "%s sent, %s received, %s/s",
           amount((double)progress->reader->total, sent),
           amount((double)progress->writer->total, received),
           amount(seconds > 0 ? (double)bytes / seconds : 0, rate));
}

static void on_timer(uv_timer_t *timer) {
  cli_progress *progress = timer->data;
  uint64_t bytes = bytes_so_far(progress);
  char line[LINE_LEN];
  describe(progress, bytes - progress->shown_bytes,
           progress->shown_ns != 0 ? progress->shown_ns : progress->start_ns, line);
  cli_status(line);
  progress->shown_ns = uv_hrtime();
  progress->shown_bytes = bytes;
}

void cli_progress_start(cli_progress *progress, uv_loop_t *loop, const cli_reader *reader,
                        const cli_writer *writer) {
  progress->reader = reader;
  progress->writer = writer;
  progress->start_ns = uv_hrtime();
  progress->timer.data = progress;
  uv_timer_init(loop, &progress->timer);
  uv_unref((uv_handle_t *)&progress->timer);
  if (cli_has_status() && !reader->handle.is_terminal && !writer->handle.is_terminal) {
    uv_timer_start(&progress->timer, on_timer, FIRST_MS, EVERY_MS);
  }
}

void cli_progress_stop(cli_progress *progress) {
  if (progress->shown_ns != 0) {
    char line[LINE_LEN];
    describe(progress, bytes_so_far(progress), progress->start_ns, line);
    cli_status(NULL);
    cli_line("%s", line);
  }
  uv_close((uv_handle_t *)&progress->timer, NULL);
}
