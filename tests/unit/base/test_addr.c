/* Addresses as text and back, and what they are good for. */
#include "base/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static warp_addr parse(const char *text) {
  warp_addr addr;
  if (warp_addr_parse(text, &addr) != WARP_OK) {
    fail_msg("does not parse: %s", text);
  }
  return addr;
}

static void test_canonical_text(void **state) {
  (void)state;
  /* What is read, and what is written of it: RFC 5952 sections 4 and 5. */
  static const char *const pairs[][2] = {
      {"192.0.2.1", "192.0.2.1"},
      {"192.0.2.1:80", "192.0.2.1:80"},
      {"192.0.2.1:0", "192.0.2.1"},
      {"255.255.255.255:65535", "255.255.255.255:65535"},
      {"2001:db8::1", "2001:db8::1"},
      {"[2001:db8::1]:80", "[2001:db8::1]:80"},
      {"[2001:db8::1]", "2001:db8::1"},
      {"2001:0DB8:0:0:0:0:0:0001", "2001:db8::1"},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"}, /* one zero group is not shortened */
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},    /* the first of equal runs */
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},          /* the longest run */
      {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
      {"1:0:0:0:0:0:0:0", "1::"},
      {"::", "::"},
      {"::1", "::1"},
      {"[::]:1", "[::]:1"},
      {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
      {"::ffff:c000:0201", "::ffff:192.0.2.1"},
      {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
      {"fe80::1%3", "fe80::1%3"},
      {"[fe80::1%4294967295]:65535", "[fe80::1%4294967295]:65535"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
  };
  char text[WARP_ADDR_STRLEN];
  for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
    warp_addr addr = parse(pairs[i][0]);
    assert_string_equal(warp_addr_format(&addr, text), pairs[i][1]);
    warp_addr again = parse(text);
    assert_true(wg_addr_equal(&addr, &again));
  }
}

static void test_longest_text_fits(void **state) {
  (void)state;
  char text[WARP_ADDR_STRLEN];
  warp_addr addr = {.family = WARP_IP6, .port = 65535, .scope_id = UINT32_MAX};
  memset(addr.ip, 0xff, sizeof addr.ip);
  assert_string_equal(warp_addr_format(&addr, text),
                      "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
  warp_addr none = {.port = 5};
  assert_string_equal(warp_addr_format(&none, text), "none");
}

static void test_refused_text(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",
      "none",
      "1.2.3",
      "1.2.3.4.5",
      "1.2.3.256",
      "01.2.3.4",
      "1.2.3.4:",
      "1.2.3.4:65536",
      "1.2.3.4:080",
      "1.2.3.4:80 ",
      " 1.2.3.4",
      "1.2.3.4:-1",
      "1..3.4",
      "host:80",
      "0x1.2.3.4",
      "1:2:3",
      "1:2:3:4:5:6:7",
      ":1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:",
      "1:2:3:4:5:6:7:8:9",
      "1::2::3",
      ":::",
      "1:::2",
      "1::2:3:4:5:6:7:8",
      "12345::",
      "g::",
      "::1%",
      "::1%eth0",
      "::1%4294967296",
      "::1%01",
      "[::1",
      "::1]",
      "[::1]80",
      "[::1]:",
      "[1.2.3.4]:80",
      "1.2.3.4::1",
      "::1.2.3",
      "::1.2.3.4:5",
      "1:2:3:4:5:6:7:1.2.3.4",
      "[]:80",
      "::1.2.3.4.5",
  };
  warp_addr addr = {.port = 99};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    if (warp_addr_parse(bad[i], &addr) != WARP_INVALID) {
      fail_msg("taken for an address: %s", bad[i]);
    }
    assert_int_equal(addr.port, 99); /* untouched */
  }
  assert_int_equal(warp_addr_parse(NULL, &addr), WARP_INVALID);
}

static void test_scopes(void **state) {
  (void)state;
  static const struct {
    const char *text;
    wg_addr_scope scope;
  } rows[] = {
      {"0.0.0.0", WG_SCOPE_INVALID},
      {"0.1.2.3", WG_SCOPE_INVALID},
      {"127.0.0.1", WG_SCOPE_LOOPBACK},
      {"127.255.0.1", WG_SCOPE_LOOPBACK},
      {"126.255.255.255", WG_SCOPE_GLOBAL},
      {"128.0.0.1", WG_SCOPE_GLOBAL},
      {"169.254.0.1", WG_SCOPE_LINK},
      {"169.255.0.1", WG_SCOPE_GLOBAL},
      {"100.63.255.255", WG_SCOPE_GLOBAL},
      {"100.64.0.0", WG_SCOPE_SHARED},
      {"100.127.255.255", WG_SCOPE_SHARED},
      {"100.128.0.0", WG_SCOPE_GLOBAL},
      {"10.0.0.1", WG_SCOPE_PRIVATE},
      {"11.0.0.1", WG_SCOPE_GLOBAL},
      {"172.15.0.1", WG_SCOPE_GLOBAL},
      {"172.16.0.1", WG_SCOPE_PRIVATE},
      {"172.31.255.255", WG_SCOPE_PRIVATE},
      {"172.32.0.1", WG_SCOPE_GLOBAL},
      {"192.168.1.1", WG_SCOPE_PRIVATE},
      {"192.169.1.1", WG_SCOPE_GLOBAL},
      {"192.0.0.8", WG_SCOPE_PRIVATE},
      {"192.0.2.1", WG_SCOPE_GLOBAL},
      {"198.18.0.1", WG_SCOPE_PRIVATE},
      {"198.20.0.1", WG_SCOPE_GLOBAL},
      {"198.51.100.1", WG_SCOPE_GLOBAL},
      {"203.0.113.1", WG_SCOPE_GLOBAL},
      {"223.255.255.255", WG_SCOPE_GLOBAL},
      {"224.0.0.1", WG_SCOPE_INVALID},
      {"240.0.0.1", WG_SCOPE_INVALID},
      {"255.255.255.255", WG_SCOPE_INVALID},
      {"::", WG_SCOPE_INVALID},
      {"::1", WG_SCOPE_LOOPBACK},
      {"::2", WG_SCOPE_INVALID},
      {"::ffff:10.0.0.1", WG_SCOPE_PRIVATE},
      {"::ffff:127.0.0.1", WG_SCOPE_LOOPBACK},
      {"::ffff:1.2.3.4", WG_SCOPE_GLOBAL},
      {"::7f00:1", WG_SCOPE_INVALID},
      {"64:ff9b::127.0.0.1", WG_SCOPE_INVALID},
      {"64:ff9b::8.8.8.8", WG_SCOPE_GLOBAL},
      {"64:ff9b:1::1", WG_SCOPE_PRIVATE},
      {"2002:7f00:1::", WG_SCOPE_INVALID},
      {"2002:808:808::", WG_SCOPE_GLOBAL},
      {"fe80::1", WG_SCOPE_LINK},
      {"febf::1", WG_SCOPE_LINK},
      {"fec0::1", WG_SCOPE_PRIVATE},
      {"fc00::1", WG_SCOPE_PRIVATE},
      {"fdff::1", WG_SCOPE_PRIVATE},
      {"ff02::1", WG_SCOPE_INVALID},
      {"100::1", WG_SCOPE_INVALID},
      {"2001:db8::1", WG_SCOPE_GLOBAL},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    warp_addr addr = parse(rows[i].text);
    if (wg_addr_get_scope(&addr) != rows[i].scope) {
      fail_msg("%s has scope %d", rows[i].text, (int)wg_addr_get_scope(&addr));
    }
  }
  warp_addr none = {0};
  assert_int_equal(wg_addr_get_scope(&none), WG_SCOPE_INVALID);
}

static void test_comparisons(void **state) {
  (void)state;
  warp_addr a = parse("10.1.2.3:5"), b = parse("10.1.2.3:6"), c = parse("10.1.3.3:5");
  warp_addr v6 = parse("[a01:203::]:5");
  assert_true(wg_addr_same_ip(&a, &b));
  assert_false(wg_addr_equal(&a, &b));
  assert_true(wg_addr_in_prefix(&a, &c, 23));
  assert_false(wg_addr_in_prefix(&a, &c, 24));
  assert_true(wg_addr_in_prefix(&a, &b, 32));
  assert_true(wg_addr_in_prefix(&a, &b, 200)); /* no more bits than there are */
  assert_true(wg_addr_in_prefix(&a, &c, 0));
  assert_false(wg_addr_in_prefix(&a, &v6, 0));
  assert_false(wg_addr_same_ip(&a, &v6));
  warp_addr link = parse("fe80::1%1"), other_link = parse("fe80::1%2");
  assert_false(wg_addr_equal(&link, &other_link));
  warp_addr moved = wg_addr_with_port(&a, 6);
  assert_true(wg_addr_equal(&moved, &b));
}

static void test_makers(void **state) {
  (void)state;
  char text[WARP_ADDR_STRLEN];
  warp_addr addr = wg_addr_loopback(WARP_IP4, 7);
  assert_string_equal(warp_addr_format(&addr, text), "127.0.0.1:7");
  addr = wg_addr_loopback(WARP_IP6, 7);
  assert_string_equal(warp_addr_format(&addr, text), "[::1]:7");
  addr = wg_addr_any(WARP_IP6, 7);
  assert_string_equal(warp_addr_format(&addr, text), "[::]:7");
  warp_addr mapped = parse("[::ffff:1.2.3.4]:9");
  addr = wg_addr_unmap(&mapped);
  assert_string_equal(warp_addr_format(&addr, text), "1.2.3.4:9");
  assert_int_equal(wg_addr_ip_len(&addr), 4);
  addr = wg_addr_unmap(&addr);
  assert_int_equal(addr.family, WARP_IP4);
}

static void test_hash(void **state) {
  (void)state;
  warp_addr a = parse("10.1.2.3:5"), b = parse("10.1.2.3:6"), c = parse("10.1.2.4:5");
  assert_true(wg_addr_hash(&a, 1) == wg_addr_hash(&a, 1));
  assert_true(wg_addr_hash(&a, 1) != wg_addr_hash(&a, 2));
  assert_true(wg_addr_hash(&a, 1) != wg_addr_hash(&b, 1));
  assert_true(wg_addr_hash(&a, 1) != wg_addr_hash(&c, 1));
  /* Neighbours spread: 4096 ports fill most of 4096 buckets as random numbers would (63 %). */
  static bool used[4096];
  unsigned filled = 0;
  for (unsigned port = 0; port < 4096; port++) {
    warp_addr addr = wg_addr_with_port(&a, (uint16_t)(1024 + port));
    bool *bucket = &used[wg_addr_hash(&addr, 1) % 4096];
    filled += !*bucket;
    *bucket = true;
  }
  assert_in_range(filled, 2450, 2730);
}

static void test_server_names(void **state) {
  (void)state;
  wg_server_name name;
  assert_int_equal(wg_server_name_parse("stun.example.org:3478", &name), WARP_OK);
  assert_string_equal(name.host, "stun.example.org");
  assert_int_equal(name.port, 3478);
  assert_string_equal(name.user, "");
  assert_int_equal(wg_server_name_parse_usual("time.example.org", 123, &name), WARP_OK);
  assert_string_equal(name.host, "time.example.org");
  assert_int_equal(name.port, 123);
  assert_int_equal(wg_server_name_parse_usual("[2001:db8::1]", 123, &name), WARP_OK);
  assert_int_equal(name.port, 123);
  assert_int_equal(wg_server_name_parse_usual("time:124", 123, &name), WARP_OK);
  assert_int_equal(name.port, 124);
  assert_int_equal(wg_server_name_parse_usual("time:", 123, &name), WARP_INVALID);
  assert_int_equal(wg_server_name_parse_usual("time:0", 123, &name), WARP_INVALID);
  assert_int_equal(wg_server_name_parse_usual("2001:db8::1", 123, &name), WARP_INVALID);
  assert_int_equal(wg_server_name_parse_usual("time", 0, &name), WARP_INVALID);
  assert_int_equal(wg_server_name_parse("[2001:db8::1]:80", &name), WARP_OK);
  assert_string_equal(name.host, "2001:db8::1");
  assert_int_equal(wg_server_name_parse("user:p@ss:w/rd@192.0.2.1:3478", &name), WARP_OK);
  assert_string_equal(name.user, "user");
  assert_string_equal(name.password, "p@ss:w/rd");
  assert_string_equal(name.host, "192.0.2.1");

  static const char *const bad[] = {
      "",         "host",    "host:",   "host:0",     "host:65536", "host:80x", ":80",
      "ho st:80", "[::1]",   "[::1:80", "[]:80",      "[host]:80",  "::1:80",   "user@host:80",
      ":p@h:80",  "u:@h:80", "u:p@",    "host:80:81", "h\xc3:80",   "u:p@h",
  };
  name.port = 99;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    if (wg_server_name_parse(bad[i], &name) != WARP_INVALID) {
      fail_msg("taken for a server: %s", bad[i]);
    }
    assert_int_equal(name.port, 99);
  }
  char longest[WG_HOST_LEN + 8];
  memset(longest, 'h', sizeof longest);
  memcpy(longest + WG_HOST_LEN - 1, ":80", 4);
  assert_int_equal(wg_server_name_parse(longest, &name), WARP_OK);
  memcpy(longest + WG_HOST_LEN - 1, "h:80", 5);
  assert_int_equal(wg_server_name_parse(longest, &name), WARP_INVALID);
}

static void test_hosts_of_this_machine(void **state) {
  (void)state;
  static const char *const here[] = {"127.0.0.1",        "127.9.8.7", "::1",
                                     "::ffff:127.0.0.1", "localhost", "LocalHost"};
  static const char *const elsewhere[] = {"",
                                          "192.0.2.1",
                                          "::",
                                          "0.0.0.0",
                                          "2001:db8::1",
                                          "ocalhost",
                                          "mylocalhost",
                                          "localhost.example",
                                          "broker.localhost",
                                          "localhos",
                                          "localhost.",
                                          "127.0.0.1.example"};
  for (size_t i = 0; i < sizeof here / sizeof here[0]; i++) {
    if (!wg_host_is_loopback(here[i])) {
      fail_msg("not of this machine: %s", here[i]);
    }
  }
  for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++) {
    if (wg_host_is_loopback(elsewhere[i])) {
      fail_msg("of this machine: %s", elsewhere[i]);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_canonical_text),
      cmocka_unit_test(test_longest_text_fits),
      cmocka_unit_test(test_refused_text),
      cmocka_unit_test(test_scopes),
      cmocka_unit_test(test_comparisons),
      cmocka_unit_test(test_makers),
      cmocka_unit_test(test_hash),
      cmocka_unit_test(test_server_names),
      cmocka_unit_test(test_hosts_of_this_machine),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
