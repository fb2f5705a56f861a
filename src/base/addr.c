#include "base/addr.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- classes and comparisons ----------------------------------------------------------------- */

static wg_addr_scope scope4(const uint8_t ip[4]) {
  uint32_t a = ip[0];
  uint32_t ab = a << 8 | ip[1];
  if (a == 0 || a >= 224) { /* "this network", multicast, class E, broadcast */
    return WG_SCOPE_INVALID;
  }
  if (a == 127) {
    return WG_SCOPE_LOOPBACK;
  }
  if (ab == 0xa9fe) { /* 169.254/16 */
    return WG_SCOPE_LINK;
  }
  if ((ab & 0xffc0) == 0x6440) { /* 100.64/10 */
    return WG_SCOPE_SHARED;
  }
  /* RFC 1918; 192.0.0/24 (protocol assignments) and 198.18/15 (benchmarks) are not global either.
   * The documentation ranges are, so that laboratories can stand on them. */
  if (a == 10 || (ab & 0xfff0) == 0xac10 || ab == 0xc0a8 || (ab == 0xc000 && ip[2] == 0) ||
      (ab & 0xfffe) == 0xc612) {
    return WG_SCOPE_PRIVATE;
  }
  return WG_SCOPE_GLOBAL;
}

static bool starts_with(const uint8_t *ip, const char *prefix, size_t len) {
  return memcmp(ip, prefix, len) == 0;
}

/* Addresses that carry an IPv4 address inside are as good as that one: a packet may end up there.
 * RFC 6052 section 3.1 and RFC 3056 section 2 allow only global ones. */
static wg_addr_scope scope_of_embedded(const uint8_t ip4[4]) {
  return scope4(ip4) == WG_SCOPE_GLOBAL ? WG_SCOPE_GLOBAL : WG_SCOPE_INVALID;
}

static wg_addr_scope scope6(const uint8_t ip[16]) {
  static const uint8_t loopback[16] = {[15] = 1};
  if (memcmp(ip, loopback, 16) == 0) {
    return WG_SCOPE_LOOPBACK;
  }
  if (starts_with(ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12)) { /* ::ffff:0:0/96 */
    return scope4(ip + 12);
  }
  if (starts_with(ip, "\0\x64\xff\x9b\0\0\0\0\0\0\0\0", 12)) { /* 64:ff9b::/96 */
    return scope_of_embedded(ip + 12);
  }
  if (starts_with(ip, "\x20\x02", 2)) { /* 2002::/16 */
    return scope_of_embedded(ip + 2);
  }
  /* The unspecified and the IPv4-compatible addresses, multicast, 100::/64 (discard-only). */
  if (starts_with(ip, "\0\0\0\0\0\0\0\0\0\0\0\0", 12) || ip[0] == 0xff ||
      starts_with(ip, "\x01\0\0\0\0\0\0\0", 8)) {
    return WG_SCOPE_INVALID;
  }
  if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) {
    return WG_SCOPE_LINK;
  }
  /* fc00::/7, the former site-local fec0::/10, and local NAT64 prefixes (64:ff9b:1::/48). */
  if ((ip[0] & 0xfe) == 0xfc || (ip[0] == 0xfe && (ip[1] & 0xc0) == 0xc0) ||
      starts_with(ip, "\0\x64\xff\x9b\0\x01", 6)) {
    return WG_SCOPE_PRIVATE;
  }
  return WG_SCOPE_GLOBAL;
}

wg_addr_scope wg_addr_get_scope(const warp_addr *addr) {
  switch (addr->family) {
  case WARP_IP4:
    return scope4(addr->ip);
  case WARP_IP6:
    return scope6(addr->ip);
  default:
    return WG_SCOPE_INVALID;
  }
}

size_t wg_addr_ip_len(const warp_addr *addr) {
  return addr->family == WARP_IP4 ? 4 : addr->family == WARP_IP6 ? 16 : 0;
}

bool wg_addr_equal(const warp_addr *a, const warp_addr *b) {
  return wg_addr_same_ip(a, b) && a->port == b->port && a->scope_id == b->scope_id;
}

bool wg_addr_same_ip(const warp_addr *a, const warp_addr *b) {
  return a->family == b->family && memcmp(a->ip, b->ip, wg_addr_ip_len(a)) == 0;
}

bool wg_addr_in_prefix(const warp_addr *a, const warp_addr *b, unsigned bits) {
  size_t len = wg_addr_ip_len(a);
  if (len == 0 || a->family != b->family) {
    return false;
  }
  if (bits > 8 * len) {
    bits = (unsigned)(8 * len);
  }
  size_t whole = bits / 8;
  if (memcmp(a->ip, b->ip, whole) != 0) {
    return false;
  }
  unsigned rest = bits % 8;
  return rest == 0 || (a->ip[whole] ^ b->ip[whole]) >> (8 - rest) == 0;
}

warp_addr wg_addr_with_port(const warp_addr *addr, uint16_t port) {
  warp_addr copy = *addr;
  copy.port = port;
  return copy;
}

warp_addr wg_addr_any(int family, uint16_t port) {
  return (warp_addr){.family = (uint8_t)family, .port = port};
}

warp_addr wg_addr_loopback(int family, uint16_t port) {
  warp_addr addr = wg_addr_any(family, port);
  if (family == WARP_IP4) {
    addr.ip[0] = 127;
    addr.ip[3] = 1;
  } else {
    addr.ip[15] = 1;
  }
  return addr;
}

warp_addr wg_addr_unmap(const warp_addr *addr) {
  if (addr->family != WARP_IP6 || !starts_with(addr->ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12)) {
    return *addr;
  }
  warp_addr plain = wg_addr_any(WARP_IP4, addr->port);
  memcpy(plain.ip, addr->ip + 12, 4);
  return plain;
}

uint64_t wg_addr_hash(const warp_addr *addr, uint64_t salt) {
  uint64_t hash =
      salt ^ ((uint64_t)addr->family << 48 | (uint64_t)addr->port << 32 | (uint64_t)addr->scope_id);
  size_t len = wg_addr_ip_len(addr);
  for (size_t at = 0; at <= len; at += 4) {
    uint32_t word = 0;
    if (at < len) {
      memcpy(&word, addr->ip + at, 4);
    }
    /* One round of the finalizer of splitmix64 for each word, the last one over all of them. */
    hash = (hash ^ word) + 0x9e3779b97f4a7c15u;
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
    hash ^= hash >> 31;
  }
  return hash;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Finds the longest run of two or more zero groups, the first of equal ones (RFC 5952 4.2). */
static void find_zero_run(const uint16_t groups[8], int *start, int *length) {
  *start = -1;
  *length = 1;
  for (int i = 0; i < 8; i++) {
    int end = i;
    while (end < 8 && groups[end] == 0) {
      end++;
    }
    if (end - i > *length) {
      *start = i;
      *length = end - i;
    }
    i = end;
  }
}

/* The canonical form of RFC 5952; IPv4-mapped addresses in its mixed notation (section 5). */
static size_t format_ip6(const warp_addr *addr, char *out, size_t room) {
  uint16_t groups[8];
  for (int i = 0; i < 8; i++) {
    groups[i] = (uint16_t)(addr->ip[2 * i] << 8 | addr->ip[2 * i + 1]);
  }
  size_t len = 0;
  if (wg_addr_unmap(addr).family == WARP_IP4) {
    len = (size_t)snprintf(out, room, "::ffff:%u.%u.%u.%u", addr->ip[12], addr->ip[13],
                           addr->ip[14], addr->ip[15]);
  } else {
    int run, run_len;
    find_zero_run(groups, &run, &run_len);
    for (int i = 0; i < 8; i++) {
      if (i == run) {
        len += (size_t)snprintf(out + len, room - len, "::");
        i += run_len - 1;
      } else {
        const char *colon = i == 0 || (run >= 0 && i == run + run_len) ? "" : ":";
        len += (size_t)snprintf(out + len, room - len, "%s%x", colon, groups[i]);
      }
    }
  }
  if (addr->scope_id != 0) {
    len += (size_t)snprintf(out + len, room - len, "%%%lu", (unsigned long)addr->scope_id);
  }
  return len;
}

const char *warp_addr_format(const warp_addr *addr, char buf[WARP_ADDR_STRLEN]) {
  static const warp_addr none = {0};
  char ip[WARP_ADDR_STRLEN - sizeof "[]:65535"] = "none";
  if (buf == NULL) {
    return "";
  }
  addr = addr != NULL ? addr : &none;
  if (addr->family == WARP_IP4) {
    snprintf(ip, sizeof ip, "%u.%u.%u.%u", addr->ip[0], addr->ip[1], addr->ip[2], addr->ip[3]);
  } else if (addr->family == WARP_IP6) {
    format_ip6(addr, ip, sizeof ip);
  }
  if (addr->port == 0 || wg_addr_ip_len(addr) == 0) {
    snprintf(buf, WARP_ADDR_STRLEN, "%s", ip);
  } else if (addr->family == WARP_IP4) {
    snprintf(buf, WARP_ADDR_STRLEN, "%s:%u", ip, addr->port);
  } else {
    snprintf(buf, WARP_ADDR_STRLEN, "[%s]:%u", ip, addr->port);
  }
  return buf;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Reads a decimal number of at most `max` without leading zeros; advances `*at`. */
static bool read_decimal(const char **at, const char *end, uint64_t max, uint64_t *out) {
  const char *c = *at;
  uint64_t value = 0;
  while (c < end && *c >= '0' && *c <= '9') {
    value = value * 10 + (uint64_t)(*c - '0');
    if (value > max || (c > *at && **at == '0')) {
      return false;
    }
    c++;
  }
  if (c == *at) {
    return false;
  }
  *at = c;
  *out = value;
  return true;
}

static bool parse_ip4(const char *text, const char *end, uint8_t out[4]) {
  for (int i = 0; i < 4; i++) {
    uint64_t octet;
    if (i > 0 && (text == end || *text++ != '.')) {
      return false;
    }
    if (!read_decimal(&text, end, 255, &octet)) {
      return false;
    }
    out[i] = (uint8_t)octet;
  }
  return text == end;
}

/* Reads one to four hexadecimal digits. */
static bool read_group(const char **at, const char *end, uint8_t out[2]) {
  unsigned value = 0;
  const char *c = *at;
  for (; c < end && c - *at < 4; c++) {
    unsigned digit;
    if (*c >= '0' && *c <= '9') {
      digit = (unsigned)(*c - '0');
    } else if ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'f') {
      digit = (unsigned)((*c | 0x20) - 'a') + 10;
    } else {
      break;
    }
    value = value << 4 | digit;
  }
  if (c == *at) {
    return false;
  }
  out[0] = (uint8_t)(value >> 8);
  out[1] = (uint8_t)value;
  *at = c;
  return true;
}

/* RFC 4291 section 2.2, all three forms. */
static bool parse_ip6_digits(const char *text, const char *end, uint8_t out[16]) {
  uint8_t bytes[16] = {0};
  size_t len = 0;
  size_t gap = SIZE_MAX; /* where "::" stands */
  if (end - text >= 2 && text[0] == ':' && text[1] == ':') {
    gap = 0;
    text += 2;
  }
  while (text < end) {
    const char *dot = memchr(text, '.', (size_t)(end - text));
    const char *colon = memchr(text, ':', (size_t)(end - text));
    if (dot != NULL && colon == NULL) {
      if (len > 12 || !parse_ip4(text, end, bytes + len)) {
        return false;
      }
      len += 4;
      break;
    }
    if (len == 16 || !read_group(&text, end, bytes + len)) {
      return false;
    }
    len += 2;
    if (text == end) {
      break;
    }
    if (*text++ != ':' || text == end) {
      return false;
    }
    if (*text == ':') {
      if (gap != SIZE_MAX) {
        return false;
      }
      gap = len;
      text++;
    }
  }
  if (gap == SIZE_MAX ? len != 16 : len > 14) {
    return false;
  }
  if (gap == SIZE_MAX) {
    gap = len;
  }
  memset(out, 0, 16);
  memcpy(out, bytes, gap);
  memcpy(out + 16 - (len - gap), bytes + gap, len - gap);
  return true;
}

static bool parse_ip6(const char *text, const char *end, warp_addr *out) {
  const char *percent = memchr(text, '%', (size_t)(end - text));
  const char *digits_end = percent != NULL ? percent : end;
  if (!parse_ip6_digits(text, digits_end, out->ip)) {
    return false;
  }
  if (percent != NULL) {
    uint64_t scope;
    const char *at = percent + 1;
    if (!read_decimal(&at, end, UINT32_MAX, &scope) || at != end) {
      return false;
    }
    out->scope_id = (uint32_t)scope;
  }
  return true;
}

/* Reads ":port" up to the end of the text, or nothing where the text ends. */
static bool parse_port(const char *text, const char *end, uint16_t *out) {
  uint64_t port = 0;
  if (text == end) {
    *out = 0;
    return true;
  }
  if (*text++ != ':' || !read_decimal(&text, end, UINT16_MAX, &port) || text != end) {
    return false;
  }
  *out = (uint16_t)port;
  return true;
}

int warp_addr_parse(const char *text, warp_addr *out) {
  if (text == NULL || out == NULL) {
    return WARP_INVALID;
  }
  warp_addr addr = {0};
  bool good;
  const char *end = text + strlen(text);
  const char *colon = strchr(text, ':');
  if (*text == '[') {
    const char *close = strchr(text, ']');
    addr.family = WARP_IP6;
    good = close != NULL && parse_ip6(text + 1, close, &addr) &&
           parse_port(close + 1, end, &addr.port);
  } else if (colon != NULL && strchr(colon + 1, ':') != NULL) {
    addr.family = WARP_IP6;
    good = parse_ip6(text, end, &addr);
  } else {
    const char *ip_end = colon != NULL ? colon : end;
    addr.family = WARP_IP4;
    good = parse_ip4(text, ip_end, addr.ip) && parse_port(ip_end, end, &addr.port);
  }
  if (!good) {
    return WARP_INVALID;
  }
  *out = addr;
  return WARP_OK;
}

/* Copies a part of a text when it fits with its NUL and all its bytes are printable ASCII. */
static bool take_part(const char *from, const char *end, char *out, size_t room) {
  size_t len = (size_t)(end - from);
  if (len == 0 || len >= room) {
    return false;
  }
  for (const char *c = from; c < end; c++) {
    if (*c <= ' ' || *c > '~') {
      return false;
    }
  }
  memcpy(out, from, len);
  out[len] = '\0';
  return true;
}

static bool host_text_ok(const char *host, bool bracketed) {
  const char *allowed = bracketed ? "0123456789abcdefABCDEF:.%"
                                  : "0123456789abcdefghijklmnopqrstuvwxyz"
                                    "ABCDEFGHIJKLMNOPQRSTUVWXYZ.-_";
  return host[strspn(host, allowed)] == '\0';
}

int wg_server_name_parse_usual(const char *text, uint16_t usual_port, wg_server_name *out) {
  wg_server_name name = {0};
  uint16_t port = usual_port;
  if (text == NULL || out == NULL) {
    return WARP_INVALID;
  }
  const char *end = text + strlen(text);
  const char *host = text;
  const char *at = strrchr(text, '@'); /* a password may contain one itself */
  if (at != NULL) {
    const char *colon = memchr(text, ':', (size_t)(at - text));
    if (colon == NULL || !take_part(text, colon, name.user, sizeof name.user) ||
        !take_part(colon + 1, at, name.password, sizeof name.password)) {
      return WARP_INVALID;
    }
    host = at + 1;
  }
  bool bracketed = *host == '[';
  const char *host_end = bracketed ? strchr(++host, ']') : host + strcspn(host, ":");
  if (host_end == NULL || !take_part(host, host_end, name.host, sizeof name.host) ||
      !host_text_ok(name.host, bracketed)) {
    return WARP_INVALID;
  }
  const char *colon = host_end + (bracketed ? 1 : 0);
  if ((colon != end && !parse_port(colon, end, &port)) || port == 0) {
    return WARP_INVALID;
  }
  name.port = port;
  *out = name;
  return WARP_OK;
}

int wg_server_name_parse(const char *text, wg_server_name *out) {
  return wg_server_name_parse_usual(text, 0, out);
}

int wg_relay_name_parse(const char *text, wg_relay_name *out) {
  static const struct {
    const char *query;
    unsigned transports;
    bool tls;
  } kinds[] = {{"", WARP_TCP | WARP_UDP, false},
               {"?transport=udp", WARP_UDP, false},
               {"?transport=tcp", WARP_TCP, false},
               {"?transport=tls", WARP_TCP, true}};
  enum { TEXT_MAX = 2 * WG_CREDENTIAL_LEN + WG_HOST_LEN + 16 };
  if (text == NULL || out == NULL)
    return WARP_INVALID;
  const char *at = strrchr(text, '@'); /* a password may have a question mark in it */
  const char *host = at != NULL ? at : text;
  size_t len = (size_t)(host - text) + strcspn(host, "?");
  char server[TEXT_MAX];
  if (len >= sizeof server)
    return WARP_INVALID;
  memcpy(server, text, len);
  server[len] = '\0';
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (strcmp(text + len, kinds[i].query) != 0)
      continue;
    wg_relay_name name = {.transports = kinds[i].transports, .tls = kinds[i].tls};
    int status = wg_server_name_parse(server, &name.server);
    if (status == WARP_OK)
      *out = name;
    return status;
  }
  return WARP_INVALID;
}

bool wg_host_is_loopback(const char *host) {
  warp_addr addr;
  if (warp_addr_parse(host, &addr) != WARP_OK) {
    return strcasecmp(host, "localhost") == 0;
  }
  addr = wg_addr_unmap(&addr);
  return wg_addr_get_scope(&addr) == WG_SCOPE_LOOPBACK;
}
