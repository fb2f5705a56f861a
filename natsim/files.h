/* Small files in the laboratory's private folder. */
#ifndef NATSIM_FILES_H
#define NATSIM_FILES_H

#include "natsim/fail.h"

#include <stddef.h>

/* Makes a folder and its missing parents. 0, or a negative errno with the line. */
int sim_make_folder(const char *path, ns_error *error);
/* Removes a folder with all in it, or nothing if it is not there. */
void sim_remove_folder(const char *path);
/* The last `size - 1` bytes of a file, or "" if there is none; returns buf. */
const char *sim_file_tail(const char *path, char *buf, size_t size);
/* The last line of a text that is not empty, without its end, cut to what fits; returns buf. */
const char *sim_last_line(const char *text, char *buf, size_t size);
/* What stands for `key` in a template. */
typedef struct sim_fill {
  const char *key, *value;
} sim_fill;
/* Writes a template with every key filled in. 0, or a negative errno with the line. */
int sim_write_template(const char *path, const char *text, const sim_fill *fills, size_t count,
                       ns_error *error);
/* Opens a file for appending, as the place for a program's words: a descriptor that programs
 * inherit only where it is handed to them, or a negative errno. */
int sim_open_log(const char *path);

#endif
