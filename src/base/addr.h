/* What an address is good for. The type and its text form are public: <warpgate/warpgate.h>. */
#ifndef WG_BASE_ADDR_H
#define WG_BASE_ADDR_H

#include <stdbool.h>
#include <warpgate/warpgate.h>

/* Where an address can be reached from (RFC 6890, RFC 4291). An IPv6 address that carries an IPv4
 * address (IPv4-mapped, 6to4, NAT64) is judged by that one. Documentation ranges count as global.
 */
typedef enum wg_addr_scope {
  WG_SCOPE_INVALID, /* unspecified, multicast, broadcast, reserved (class E) or no address */
  WG_SCOPE_LOOPBACK,
  WG_SCOPE_LINK,    /* 169.254/16, fe80::/10 */
  WG_SCOPE_SHARED,  /* 100.64/10: behind a carrier NAT (RFC 6598) */
  WG_SCOPE_PRIVATE, /* RFC 1918, fc00::/7 */
  WG_SCOPE_GLOBAL,
} wg_addr_scope;

wg_addr_scope wg_addr_get_scope(const warp_addr *addr);
/* Length of the address in bytes: 4, 16, or 0. */
size_t wg_addr_ip_len(const warp_addr *addr);
bool wg_addr_equal(const warp_addr *a, const warp_addr *b);   /* address, port and scope */
bool wg_addr_same_ip(const warp_addr *a, const warp_addr *b); /* address only */
/* True when both lie in the same prefix of `bits` bits (same family). */
bool wg_addr_in_prefix(const warp_addr *a, const warp_addr *b, unsigned bits);
warp_addr wg_addr_with_port(const warp_addr *addr, uint16_t port);
/* The unspecified address of a family with a port. */
warp_addr wg_addr_any(int family, uint16_t port);
/* Loopback of a family with a port. */
warp_addr wg_addr_loopback(int family, uint16_t port);
/* Turns an IPv4-mapped IPv6 address (::ffff:a.b.c.d) into the IPv4 one, others unchanged. */
warp_addr wg_addr_unmap(const warp_addr *addr);
/* A well-mixed hash for tables. Not for adversarial keys without a secret: `salt` is it. */
uint64_t wg_addr_hash(const warp_addr *addr, uint64_t salt);

/* Splits "host:port" or "[v6]:port", both also with "user:password@" before it. The host is stored
 * without brackets. WARP_INVALID with no change when malformed, without a port, or longer than the
 * rooms: a host has 253 characters at most (RFC 1035), credentials as many as the TURN client
 * takes. */
enum { WG_HOST_LEN = 256, WG_CREDENTIAL_LEN = 128 };
typedef struct wg_server_name {
  char user[WG_CREDENTIAL_LEN], password[WG_CREDENTIAL_LEN]; /* empty without credentials */
  char host[WG_HOST_LEN];
  uint16_t port;
} wg_server_name;
int wg_server_name_parse(const char *text, wg_server_name *out);
/* The same, but without a port it is `usual_port`; 0: there must be one. */
int wg_server_name_parse_usual(const char *text, uint16_t usual_port, wg_server_name *out);

/* A TURN server: "user:password@host:port", where "?transport=udp", "tcp" or "tls" may follow (RFC
 * 7065 has the first two; tls is its scheme turns over TCP). Without it both UDP and TCP may be
 * tried. WARP_INVALID with no change when malformed. Credentials are not required here. */
typedef struct wg_relay_name {
  wg_server_name server;
  unsigned transports; /* bits of warp_transport */
  bool tls;
} wg_relay_name;
int wg_relay_name_parse(const char *text, wg_relay_name *out);

/* Does the host of a server's name stand for this machine itself: a loopback address or
 * "localhost"? Names under that should (RFC 6761 section 6.3), but systems ask DNS servers for
 * them. */
bool wg_host_is_loopback(const char *host);

#endif
