/* The address filter, as a table. */
#include "base/addr.h"
#include "signal/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* One interface of a record; "" for an unknown external address. */
typedef struct side {
  const char *nic;
  unsigned prefix_bits;
  const char *external;
  uint8_t translation;
  uint8_t machine;
} side;

typedef struct contact_case {
  const char *why;
  side own, peer;
  bool loopback_only;
  const char *to;
  bool allowed;
} contact_case;

enum {
  UNKNOWN = WARP_TRANSLATION_UNKNOWN,
  NONE = WARP_TRANSLATION_NONE,
  NAT = WARP_TRANSLATION_NAT,
};

#define HOME                                                                                       \
  { "192.168.1.2:30000", 24, "203.0.113.1:30000", NAT, 1 }
#define NEIGHBOUR                                                                                  \
  { "192.168.1.9:31000", 24, "203.0.113.1:31000", NAT, 2 }
#define STRANGER                                                                                   \
  { "192.168.1.9:31000", 24, "198.51.100.1:31000", NAT, 2 }
#define UNMEASURED                                                                                 \
  { "192.168.1.9:31000", 24, "", UNKNOWN, 2 }
#define OPEN                                                                                       \
  { "203.0.113.40:30000", 24, "203.0.113.40:30000", NONE, 1 }
#define SAME                                                                                       \
  { "192.168.1.2:32000", 24, "", UNKNOWN, 1 }
#define LAB_A                                                                                      \
  { "10.1.0.2:30000", 16, "", NONE, 1 }
#define LAB_B                                                                                      \
  { "10.1.7.3:30000", 16, "", NONE, 2 }
#define LAB_OTHER_PREFIX                                                                           \
  { "10.1.7.3:30000", 24, "", NONE, 2 }
#define V6_HOME                                                                                    \
  { "[fd00:1::2]:30000", 64, "[2001:db8::2]:30000", NAT, 1 }
#define V6_NEIGHBOUR                                                                               \
  { "[fd00:1::9]:30000", 64, "[2001:db8::2]:31000", NAT, 2 }

static const contact_case cases[] = {
    {"a global address", HOME, STRANGER, false, "198.51.100.1:31000", true},
    {"documentation ranges are the lab's internet", HOME, STRANGER, false, "192.0.2.7:31000", true},
    {"a global address that the record does not name", HOME, STRANGER, false, "8.8.8.8:5000", true},
    {"IPv6", HOME, STRANGER, false, "[2001:db8::1]:5000", true},
    {"port 0", HOME, STRANGER, false, "198.51.100.1", false},
    {"the domain name system", HOME, STRANGER, false, "198.51.100.1:53", false},
    {"the last port of systems", HOME, STRANGER, false, "198.51.100.1:1023", false},
    {"the first port of programs", HOME, STRANGER, false, "198.51.100.1:1024", true},
    {"http", HOME, STRANGER, false, "198.51.100.1:80", true},
    {"https", HOME, STRANGER, false, "198.51.100.1:443", true},
    {"unspecified", HOME, STRANGER, false, "0.0.0.0:5000", false},
    {"unspecified IPv6", HOME, STRANGER, false, "[::]:5000", false},
    {"broadcast", HOME, STRANGER, false, "255.255.255.255:5000", false},
    {"multicast", HOME, STRANGER, false, "224.0.0.251:5353", false},
    {"multicast IPv6", HOME, STRANGER, false, "[ff02::fb]:5353", false},
    {"our own broadcast", OPEN, STRANGER, false, "203.0.113.255:5000", false},
    {"broadcast of our own private network", HOME, NEIGHBOUR, false, "192.168.1.255:5000", false},
    {"the broadcast of somebody else is an address", HOME, STRANGER, false, "203.0.113.255:5000",
     true},

    {"loopback of another machine", HOME, STRANGER, false, "127.0.0.1:5000", false},
    {"loopback by its other names", HOME, STRANGER, false, "127.8.8.8:5000", false},
    {"loopback in IPv6 clothes", HOME, STRANGER, false, "[::ffff:127.0.0.1]:5000", false},
    {"loopback IPv6", HOME, STRANGER, false, "[::1]:5000", false},
    {"loopback of the same machine", HOME, SAME, false, "127.0.0.1:5000", true},
    {"loopback IPv6 of the same machine", HOME, SAME, false, "[::1]:5000", true},
    {"a low port of the same machine", HOME, SAME, false, "127.0.0.1:25", false},
    {"loopback only", HOME, STRANGER, true, "127.0.0.1:5000", true},
    {"loopback only: nothing else", HOME, STRANGER, true, "198.51.100.1:5000", false},
    {"loopback only: no neighbour", HOME, NEIGHBOUR, true, "192.168.1.9:5000", false},

    {"our own interface for the same machine", HOME, SAME, false, "192.168.1.2:32000", true},
    {"our router for the same machine", HOME, SAME, false, "192.168.1.1:32000", false},

    {"behind the same NAT", HOME, NEIGHBOUR, false, "192.168.1.9:31000", true},
    {"behind the same NAT, another port", HOME, NEIGHBOUR, false, "192.168.1.9:40000", true},
    {"behind the same NAT, in IPv6 clothes", HOME, NEIGHBOUR, false, "[::ffff:192.168.1.9]:31000",
     true},
    {"our router", HOME, NEIGHBOUR, false, "192.168.1.1:8080", false},
    {"another network's host", HOME, NEIGHBOUR, false, "192.168.2.9:31000", false},
    {"behind another NAT", HOME, STRANGER, false, "192.168.1.9:31000", false},
    {"nobody knows behind which NAT", HOME, UNMEASURED, false, "192.168.1.9:31000", false},
    {"an open host has no private neighbours", OPEN, STRANGER, false, "192.168.1.9:31000", false},
    {"link-local", HOME, NEIGHBOUR, false, "169.254.169.254:5000", false},
    {"link-local IPv6", V6_HOME, V6_NEIGHBOUR, false, "[fe80::1]:5000", false},
    {"carrier", HOME, NEIGHBOUR, false, "100.64.0.1:5000", false},
    {"unique local, the same outside", V6_HOME, V6_NEIGHBOUR, false, "[fd00:1::9]:30000", true},
    {"unique local, not the peer's", V6_HOME, V6_NEIGHBOUR, false, "[fd00:1::8]:30000", false},

    {"one network without a NAT", LAB_A, LAB_B, false, "10.1.7.3:30000", true},
    {"one network without a NAT, not the peer's", LAB_A, LAB_B, false, "10.1.7.4:30000", false},
    {"networks of other sizes", LAB_A, LAB_OTHER_PREFIX, false, "10.1.7.3:30000", false},
};

static wg_record record_of(const side *from) {
  wg_record record = {.endpoint_count = 1};
  uint8_t machine[WG_MACHINE_ID_LEN];
  memset(machine, from->machine, sizeof machine);
  memset(record.key.bytes, from->machine + 1, sizeof record.key.bytes);
  wg_machine_tag(machine, &record.key, record.machine);
  warp_endpoint *endpoint = &record.endpoints[0];
  assert_int_equal(warp_addr_parse(from->nic, &endpoint->nic), WARP_OK);
  endpoint->family = endpoint->nic.family;
  endpoint->prefix_bits = (uint8_t)from->prefix_bits;
  endpoint->udp.translation = from->translation;
  if (from->external[0] != '\0') {
    assert_int_equal(warp_addr_parse(from->external, &endpoint->external_udp), WARP_OK);
  }
  return record;
}

static wg_contact_self self_of(const wg_record *record, int machine, bool loopback_only) {
  wg_contact_self self = {.record = record, .loopback_only = loopback_only};
  memset(self.machine, machine, sizeof self.machine);
  return self;
}

static void test_table(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    wg_record own = record_of(&cases[i].own), peer = record_of(&cases[i].peer);
    warp_addr to;
    assert_int_equal(warp_addr_parse(cases[i].to, &to), WARP_OK);
    wg_contact_self self = self_of(&own, cases[i].own.machine, cases[i].loopback_only);
    int status = wg_may_contact(&self, &peer, WARP_UDP, &to);
    if (status != (cases[i].allowed ? WARP_OK : WARP_UNTRUSTED)) {
      fail_msg("%s: %s", cases[i].why, warp_err_name(status));
    }
  }
}

static void test_empty_records(void **state) {
  (void)state;
  wg_record own = {.machine = {1}}, peer = {.machine = {2}};
  warp_addr none = {0}, to;
  wg_contact_self self = self_of(&own, 1, false);
  assert_int_equal(wg_may_contact(&self, &peer, WARP_UDP, &none), WARP_UNTRUSTED);
  assert_int_equal(warp_addr_parse("192.168.1.9:31000", &to), WARP_OK);
  assert_int_equal(wg_may_contact(&self, &peer, WARP_UDP, &to), WARP_UNTRUSTED);
  assert_int_equal(warp_addr_parse("198.51.100.1:31000", &to), WARP_OK);
  assert_int_equal(wg_may_contact(&self, &peer, WARP_UDP, &to), WARP_OK);
}

/* The TCP mapping shows the same outside as well as the UDP one. */
static void test_outside_by_tcp(void **state) {
  (void)state;
  static const side home = HOME, neighbour = NEIGHBOUR;
  wg_record own = record_of(&home), peer = record_of(&neighbour);
  wg_contact_self self = self_of(&own, home.machine, false);
  warp_addr to;
  assert_int_equal(warp_addr_parse("192.168.1.9:31000", &to), WARP_OK);
  own.endpoints[0].external_tcp = own.endpoints[0].external_udp;
  own.endpoints[0].external_udp = (warp_addr){0};
  assert_int_equal(wg_may_contact(&self, &peer, WARP_UDP, &to), WARP_UNTRUSTED);
  peer.endpoints[0].external_tcp = peer.endpoints[0].external_udp;
  assert_int_equal(wg_may_contact(&self, &peer, WARP_UDP, &to), WARP_OK);
}

/* A stranger who copies the machine tag out of one of our records, or knows some other machine's
 * id, proves nothing. */
static void test_a_copied_tag_is_no_proof(void **state) {
  (void)state;
  static const side home = HOME;
  wg_record own = record_of(&home), peer = own;
  wg_contact_self self = self_of(&own, home.machine, false);
  warp_addr loopback;
  assert_int_equal(warp_addr_parse("127.0.0.1:30000", &loopback), WARP_OK);
  assert_int_equal(wg_may_contact(&self, &peer, WARP_UDP, &loopback), WARP_OK);
  peer.key.bytes[5] ^= 1; /* the tag is our record's, the key is not */
  assert_int_equal(wg_may_contact(&self, &peer, WARP_UDP, &loopback), WARP_UNTRUSTED);
  memcpy(peer.machine, self.machine, sizeof peer.machine); /* nor is the bare id taken */
  assert_int_equal(wg_may_contact(&self, &peer, WARP_UDP, &loopback), WARP_UNTRUSTED);
}

/* A neighbour by its own word only may be probed, never dialled: a refusal would tell a stranger
 * what our network holds.
 */
static void test_tcp_needs_proof(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    wg_record own = record_of(&cases[i].own), peer = record_of(&cases[i].peer);
    wg_contact_self self = self_of(&own, cases[i].own.machine, cases[i].loopback_only);
    warp_addr to;
    assert_int_equal(warp_addr_parse(cases[i].to, &to), WARP_OK);
    bool proven = cases[i].own.machine == cases[i].peer.machine || cases[i].loopback_only;
    warp_addr plain = wg_addr_unmap(&to);
    bool claimed = wg_addr_get_scope(&plain) != WG_SCOPE_GLOBAL && !proven;
    int status = wg_may_contact(&self, &peer, WARP_TCP, &to);
    if (status != (cases[i].allowed && !claimed ? WARP_OK : WARP_UNTRUSTED))
      fail_msg("%s: %s", cases[i].why, warp_err_name(status));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_table),           cmocka_unit_test(test_empty_records),
      cmocka_unit_test(test_outside_by_tcp),  cmocka_unit_test(test_a_copied_tag_is_no_proof),
      cmocka_unit_test(test_tcp_needs_proof),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
