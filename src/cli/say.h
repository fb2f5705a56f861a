/*
 * What the command says on standard error: lines for a person, or with --json one JSON object a
 * line. Results alone go to standard output.
 */
#ifndef CLI_SAY_H
#define CLI_SAY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* JSON lines instead of text from now on. */
void cli_say_in_json(bool on);
/* "warpgate: ..." or {"event":"error","exit":...,"message":...}. Returns `exit_status`. */
int cli_error(int exit_status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "warpgate: ..." or {"event":"note","message":...}. */
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line as it is, of text mode only. */
void cli_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Is standard error a terminal, and for lines of text? */
bool cli_has_status(void);
/* Where cli_has_status: shows a line that the next one replaces; NULL takes it away. */
void cli_status(const char *text);
/* An object of JSON mode only; taken over. In the place of one that is not whole, because memory
 * was lacking, stands a note that says so. */
void cli_event(json_t *event);
/* An object in one line without its end; taken over. NULL when memory was lacking for it, its text
 * or anything made since the last one. Free it. */
char *cli_json_line(json_t *object);
/* Copies text that may come from a stranger: what is not printable ASCII becomes '?', so that it
 * can neither move a terminal's cursor nor break a line. Returns `out`. */
const char *cli_clean(const char *text, char *out, size_t room);

#endif
