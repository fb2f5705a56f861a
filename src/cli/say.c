#include "cli/say.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Longer lines are cut: an address has 1366 characters, all else is shorter. */
enum { LINE_MAX_LEN = 4096 };

static bool in_json;
static bool json_lacked;  /* memory, since the last line of JSON was made */
static bool status_shown; /* the cursor stands in a line that is to be replaced */

/* Jansson leaves out what it had no memory for, and not every call of it can be asked whether it
 * did. */
static void *json_take(size_t len) {
  void *bytes = malloc(len);
  json_lacked = json_lacked || bytes == NULL;
  return bytes;
}

static void json_give(void *bytes) {
  free(bytes);
}

void cli_say_in_json(bool on) {
  in_json = on;
  json_set_alloc_funcs(json_take, json_give);
}

char *cli_json_line(json_t *object) {
  char *line = object != NULL ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
  json_decref(object);
  if (json_lacked) {
    free(line);
    line = NULL;
  }
  json_lacked = false;
  return line;
}

/* Standard error may share its description with a standard output that was made non-blocking: then
 * stdio would lose what does not fit at once. */
static void write_all(const char *text, size_t len) {
  while (len > 0) {
    ssize_t written = write(STDERR_FILENO, text, len);
    if (written >= 0) {
      text += written;
      len -= (size_t)written;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
      (void)poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      return; /* nobody is there to be told */
    }
  }
}

static void say(const char *prefix, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static json_t *message_event(const char *kind, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void say(const char *prefix, const char *format, va_list args) {
  char line[LINE_MAX_LEN];
  size_t len = (size_t)snprintf(line, sizeof line, "%s", prefix);
  vsnprintf(line + len, sizeof line - len - 1, format, args);
  len = strlen(line);
  line[len++] = '\n';
  cli_status(NULL);
  write_all(line, len);
}

bool cli_has_status(void) {
  return !in_json && isatty(STDERR_FILENO);
}

void cli_status(const char *text) {
  static const char erase[] = "\r\033[K"; /* ECMA-48: to the line's begin, erase to its end */
  if (status_shown || text != NULL) {
    write_all(erase, sizeof erase - 1);
  }
  if (text != NULL) {
    write_all(text, strlen(text));
  }
  status_shown = text != NULL;
}

static json_t *message_event(const char *kind, const char *format, va_list args) {
  char message[LINE_MAX_LEN];
  vsnprintf(message, sizeof message, format, args);
  /* What a person typed may be no UTF-8, which JSON has to be. */
  json_t *text = json_string(message);
  if (text == NULL) {
    char clean[LINE_MAX_LEN];
    text = json_string(cli_clean(message, clean, sizeof clean));
  }
  return json_pack("{s:s, s:o}", "event", kind, "message", text);
}

int cli_error(int exit_status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  if (in_json) {
    json_t *event = message_event("error", format, args);
    json_object_set_new(event, "exit", json_integer(exit_status));
    cli_event(event);
  } else {
    say("warpgate: ", format, args);
  }
  va_end(args);
  return exit_status;
}

void cli_note(const char *format, ...) {
  va_list args;
  va_start(args, format);
  if (in_json) {
    cli_event(message_event("note", format, args));
  } else {
    say("warpgate: ", format, args);
  }
  va_end(args);
}

void cli_line(const char *format, ...) {
  if (in_json) {
    return;
  }
  va_list args;
  va_start(args, format);
  say("", format, args);
  va_end(args);
}

void cli_event(json_t *event) {
  static const char missing[] =
      "{\"event\":\"note\",\"message\":\"out of memory: an event is missing here\"}\n";
  char *line = cli_json_line(event);
  if (in_json && line == NULL) {
    write_all(missing, sizeof missing - 1);
  } else if (in_json) {
    size_t len = strlen(line);
    line[len] = '\n'; /* one write, so that lines of several writers stay whole */
    write_all(line, len + 1);
  }
  free(line);
}

const char *cli_clean(const char *text, char *out, size_t room) {
  size_t len = 0;
  for (; text[len] != '\0' && len + 1 < room; len++) {
    out[len] = text[len] >= ' ' && text[len] <= '~' ? text[len] : '?';
  }
  out[len] = '\0';
  return out;
}
