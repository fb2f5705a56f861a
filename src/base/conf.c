#include "base/conf.h"

#include <string.h>
#include <warpgate/warpgate.h>

static const char blanks[] = " \t\r\n\v\f";

static char *trim(char *text) {
  text += strspn(text, blanks);
  size_t len = strlen(text);
  while (len > 0 && strchr(blanks, text[len - 1]) != NULL) {
    text[--len] = '\0';
  }
  return text;
}

int wg_conf_line(char *line, char **name, char **value) {
  for (char *at = line; *at != '\0'; at++) {
    if (*at == '#' && (at == line || strchr(blanks, at[-1]) != NULL)) {
      *at = '\0';
      break;
    }
  }
  line = trim(line);
  if (*line == '\0') {
    return WARP_NOT_FOUND;
  }
  char *equals = strchr(line, '=');
  if (equals == NULL) {
    return WARP_INVALID;
  }
  *equals = '\0';
  *name = trim(line);
  *value = trim(equals + 1);
  return WARP_OK;
}
