/* Lines of configuration files: `name = value`; what begins with # at the start of a line or behind
 * a blank is a comment. */
#ifndef WG_BASE_CONF_H
#define WG_BASE_CONF_H

/* Cuts one line, with or without its end of line, in place: `*name` and `*value` point into it,
 * without blanks around them. WARP_OK; WARP_NOT_FOUND: nothing stands on the line; WARP_INVALID: it
 * has no `=`. */
int wg_conf_line(char *line, char **name, char **value);

#endif
