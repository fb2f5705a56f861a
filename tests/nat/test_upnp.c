/*
 * The UPnP router in the kernel, with miniupnpd on it: what the inside asks for is opened, over
 * NAT-PMP (RFC 6886) and UPnP IGD, for UDP and TCP, and nothing else is.
 */
#include "natsim/world.h"

#include "tests/nat/sockets.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUTER "192.168.1.1"
#define HOST   "192.168.1.2"
#define WAN    "45.0.0.101" /* miniupnpd takes no documentation address for one of the internet */

enum { PMP_PORT = 5351, SSDP_PORT = 1900, ANSWER_MS = COMES_MS, SERVICE_PORT = 7000 };
enum { PMP_UDP = 1, PMP_TCP = 2 };

typedef struct bench {
  sim_world world;
  sim_site sites[SIM_SIDES];
} bench;

static void build(bench *b, const char *place_text, const char *profile) {
  ns_error error = {.text = ""};
  sim_options options = {.seed = 1};
  sim_profile a, open;
  sim_place place;
  if (sim_profile_parse(profile, NULL, &a, &error) ||
      sim_profile_parse("port-restricted", NULL, &open, &error) ||
      sim_place_load(place_text, &place, &error) || sim_world_open(&b->world, &options, &error))
    fail_msg("%s", error.text);
  sim_trial trial = {.a = &a, .b = &open, .place = &place, .trial = 1, .seed = 7};
  if (sim_sites_open(&b->world, &trial, b->sites, &error))
    fail_msg("%s", error.text);
}

static void tear_down(bench *b) {
  sim_sites_close(b->sites);
  sim_world_close(&b->world);
}

static const ns_host *host(const bench *b) {
  return &b->sites[SIM_A].host;
}

/* ---- NAT-PMP --------------------------------------------------------------------------------- */

/* Sends a request and reads the answer to it; returns its length. */
static size_t ask_pmp(const bench *b, const unsigned char *request, size_t len,
                      unsigned char answer[32]) {
  int fd = socket_at(host(b), SOCK_DGRAM, HOST, 0);
  assert_int_equal(connect_tcp(fd, ROUTER, PMP_PORT, 0), 0);
  assert_int_equal(send(fd, request, len, 0), len);
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  assert_int_equal(poll(&wait, 1, ANSWER_MS), 1);
  ssize_t got = recv(fd, answer, 32, 0);
  close(fd);
  assert_true(got >= 4);
  assert_int_equal(answer[1], request[1] + 128);
  return (size_t)got;
}

/* Opens an outside port for an inside one; returns the result code (RFC 6886 3.5). */
static unsigned open_pmp(const bench *b, int opcode, unsigned inside, unsigned *outside) {
  unsigned char request[12] = {0,
                               (unsigned char)opcode,
                               0,
                               0,
                               (unsigned char)(inside >> 8),
                               (unsigned char)inside,
                               (unsigned char)(inside >> 8),
                               (unsigned char)inside,
                               0,
                               0,
                               0x0e,
                               0x10};
  unsigned char answer[32];
  size_t len = ask_pmp(b, request, sizeof request, answer);
  *outside = len >= 16 ? (unsigned)answer[10] << 8 | answer[11] : 0;
  return (unsigned)answer[2] << 8 | answer[3];
}

static void nat_pmp_tells_the_outside_address(void **state) {
  (void)state;
  bench b;
  build(&b, "two-sites", "upnp");
  unsigned char answer[32];
  assert_int_equal(ask_pmp(&b, (const unsigned char[]){0, 0}, 2, answer), 12);
  static const unsigned char wan[] = {45, 0, 0, 101};
  assert_memory_equal(answer + 8, wan, sizeof wan);
  tear_down(&b);
}

static void nat_pmp_opens_udp(void **state) {
  (void)state;
  bench b;
  build(&b, "two-sites", "upnp");
  int fd = socket_at(host(&b), SOCK_DGRAM, HOST, SERVICE_PORT);
  int other = socket_at(host(&b), SOCK_DGRAM, HOST, SERVICE_PORT + 1);
  int stranger = socket_at(&b.world.server, SOCK_DGRAM, SIM_SERVER_1, 6000);
  send_udp(stranger, WAN, SERVICE_PORT, "before");
  assert_false(arrives(fd, "before", false));
  unsigned outside;
  assert_int_equal(open_pmp(&b, PMP_UDP, SERVICE_PORT, &outside), 0);
  send_udp(stranger, WAN, outside, "asked for");
  assert_true(arrives(fd, "asked for", true));
  send_udp(fd, SIM_SERVER_1, 6000, "answer");
  source from = hear(stranger, "answer", COMES_MS);
  assert_string_equal(from.ip, WAN);
  assert_int_equal(from.port, outside);
  /* The filter holds for all other ports. */
  send_udp(other, SIM_SERVER_2, 6001, "elsewhere");
  send_udp(stranger, WAN, SERVICE_PORT + 1, "not asked for");
  assert_false(arrives(other, "not asked for", false));
  close(stranger);
  close(other);
  close(fd);
  tear_down(&b);
}

static void nat_pmp_opens_tcp(void **state) {
  (void)state;
  bench b;
  build(&b, "upnp", "full-cone");
  int listener = listen_at(host(&b), HOST, SERVICE_PORT);
  unsigned outside;
  assert_int_equal(open_pmp(&b, PMP_TCP, SERVICE_PORT, &outside), 0);
  int stranger = socket_at(&b.world.server, SOCK_STREAM, SIM_SERVER_1, 0);
  assert_int_equal(connect_tcp(stranger, WAN, outside, COMES_MS), 0);
  source from;
  close(accept_one(listener, &from));
  assert_string_equal(from.ip, SIM_SERVER_1);
  close(stranger);
  close(listener);
  tear_down(&b);
}

/* ---- UPnP ------------------------------------------------------------------------------------ */

/* One HTTP exchange with the router. `answer` is what came until it closed. */
static void http(const bench *b, unsigned port, const char *request, char *answer, size_t size) {
  int fd = socket_at(host(b), SOCK_STREAM, HOST, 0);
  assert_int_equal(connect_tcp(fd, ROUTER, port, ANSWER_MS), 0);
  assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
  size_t len = 0;
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  while (len < size - 1 && poll(&wait, 1, ANSWER_MS) == 1) {
    ssize_t got = recv(fd, answer + len, size - 1 - len, 0);
    if (got <= 0)
      break;
    len += (size_t)got;
  }
  answer[len] = 0;
  close(fd);
}

/* Finds the router by multicast: the port and path of its description. */
static unsigned discover(const bench *b, char path[64]) {
  static const char search[] = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"
                               "MAN: \"ssdp:discover\"\r\nMX: 1\r\n"
                               "ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n";
  int fd = socket_at(host(b), SOCK_DGRAM, HOST, 0);
  send_udp(fd, "239.255.255.250", SSDP_PORT, search);
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  assert_int_equal(poll(&wait, 1, ANSWER_MS), 1);
  char answer[1024] = "";
  ssize_t got = recv(fd, answer, sizeof answer - 1, 0);
  close(fd);
  assert_true(got > 0);
  const char *location = strstr(answer, "http://" ROUTER ":");
  assert_non_null(location);
  unsigned port = 0;
  assert_int_equal(sscanf(location, "http://" ROUTER ":%u%63s", &port, path), 2);
  return port;
}

/* Where the description says that WANIPConnection is controlled. */
static void find_control(const bench *b, unsigned port, const char *path, char control[128]) {
  char request[256];
  static char answer[32768];
  snprintf(request, sizeof request,
           "GET %s HTTP/1.1\r\nHost: " ROUTER ":%u\r\nConnection: close\r\n\r\n", path, port);
  http(b, port, request, answer, sizeof answer);
  const char *service = strstr(answer, "service:WANIPConnection:2");
  assert_non_null(service);
  const char *url = strstr(service, "<controlURL>");
  assert_non_null(url);
  assert_int_equal(sscanf(url, "<controlURL>%127[^<]", control), 1);
}

/* Asks for outside port -> client:port; returns the HTTP status. */
static int add_mapping(const bench *b, unsigned port, const char *control, const char *protocol,
                       const char *client, unsigned number) {
  char body[1024], request[2048], answer[4096];
  snprintf(body, sizeof body,
           "<?xml version=\"1.0\"?><s:Envelope "
           "xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" "
           "s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>"
           "<u:AddPortMapping xmlns:u=\"urn:schemas-upnp-org:service:WANIPConnection:2\">"
           "<NewRemoteHost></NewRemoteHost><NewExternalPort>%u</NewExternalPort>"
           "<NewProtocol>%s</NewProtocol><NewInternalPort>%u</NewInternalPort>"
           "<NewInternalClient>%s</NewInternalClient><NewEnabled>1</NewEnabled>"
           "<NewPortMappingDescription>test</NewPortMappingDescription>"
           "<NewLeaseDuration>0</NewLeaseDuration></u:AddPortMapping></s:Body></s:Envelope>",
           number, protocol, number, client);
  snprintf(request, sizeof request,
           "POST %s HTTP/1.1\r\nHost: " ROUTER ":%u\r\nContent-Type: text/xml\r\n"
           "SOAPAction: \"urn:schemas-upnp-org:service:WANIPConnection:2#AddPortMapping\"\r\n"
           "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
           control, port, strlen(body), body);
  http(b, port, request, answer, sizeof answer);
  int status = 0;
  assert_int_equal(sscanf(answer, "HTTP/1.1 %d", &status), 1);
  return status;
}

static void upnp_opens_udp_and_tcp(void **state) {
  (void)state;
  bench b;
  build(&b, "two-sites", "upnp");
  char path[64], control[128];
  unsigned port = discover(&b, path);
  find_control(&b, port, path, control);
  assert_int_equal(add_mapping(&b, port, control, "UDP", HOST, SERVICE_PORT), 200);
  assert_int_equal(add_mapping(&b, port, control, "TCP", HOST, SERVICE_PORT), 200);
  int fd = socket_at(host(&b), SOCK_DGRAM, HOST, SERVICE_PORT);
  int listener = listen_at(host(&b), HOST, SERVICE_PORT);
  int stranger = socket_at(&b.world.server, SOCK_DGRAM, SIM_SERVER_2, 6000);
  send_udp(stranger, WAN, SERVICE_PORT, "hello");
  assert_true(arrives(fd, "hello", true));
  int tcp = socket_at(&b.world.server, SOCK_STREAM, SIM_SERVER_2, 0);
  assert_int_equal(connect_tcp(tcp, WAN, SERVICE_PORT, COMES_MS), 0);
  close(accept_one(listener, NULL));
  /* Only for the asker itself. */
  assert_int_not_equal(add_mapping(&b, port, control, "UDP", "192.168.1.77", SERVICE_PORT + 1),
                       200);
  close(tcp);
  close(stranger);
  close(listener);
  close(fd);
  tear_down(&b);
}

/* ---- a program that asks by itself ----------------------------------------------------------- */

/* A connection that is dropped is told by its silence; then the port is looked at anew. */
enum { TRY_MS = 100, TRIES = COMES_MS / TRY_MS, GRACE_MS = COMES_MS };

/* Does a stranger's connection to the outside port come to be `open` in time? */
static bool comes_to_be(const bench *b, bool open) {
  for (int i = 0; i < TRIES; i++) {
    int fd = socket_at(&b->world.server, SOCK_STREAM, SIM_SERVER_1, 0);
    int error = connect_tcp(fd, WAN, SERVICE_PORT, TRY_MS);
    close(fd);
    if ((error == 0) == open)
      return true;
    if (error != ETIMEDOUT) /* an answer came at once, but not yet the one that is awaited */
      poll(NULL, 0, TRY_MS);
  }
  return false;
}

/* `warpgate listen` is reached from outside, and nothing is left on the router when it has ended.
 */
static void opened_and_closed(bool natpmp) {
  bench b;
  build(&b, "two-sites", "upnp");
  ns_error error = {.text = ""};
  if (!natpmp && ns_nft(&b.sites[SIM_A].router,
                        "table inet silent { chain input { type filter hook input priority -50;"
                        " udp dport 5351 drop; }; }\n",
                        &error))
    fail_msg("%s", error.text);
  const char *const argv[] = {NATSIM_TEST_WARPGATE, "listen", "--port", "7000",
                              "--broker",           "none",   "-vv",    NULL};
  ns_spawn_options options = {.host = host(&b), .argv = argv, .log_fd = -1};
  ns_process process;
  if (ns_spawn(&process, &options, &error))
    fail_msg("%s", error.text);
  assert_true(comes_to_be(&b, true));
  ns_stop(&process, GRACE_MS);
  /* Who listens in its place is not reached. */
  int listener = listen_at(host(&b), HOST, SERVICE_PORT);
  assert_true(comes_to_be(&b, false));
  close(listener);
  tear_down(&b);
}

static void warpgate_opens_by_nat_pmp(void **state) {
  (void)state;
  opened_and_closed(true);
}

static void warpgate_opens_by_upnp(void **state) {
  (void)state;
  opened_and_closed(false);
}

static int upnp_tests(void *arg) {
  (void)arg;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nat_pmp_tells_the_outside_address),
      cmocka_unit_test(nat_pmp_opens_udp),
      cmocka_unit_test(nat_pmp_opens_tcp),
      cmocka_unit_test(upnp_opens_udp_and_tcp),
      cmocka_unit_test(warpgate_opens_by_nat_pmp),
      cmocka_unit_test(warpgate_opens_by_upnp),
  };
  return cmocka_run_group_tests_name("upnp", tests, NULL, NULL);
}

int main(void) {
  ns_error error;
  setenv("NATSIM_FIXTURES", NATSIM_TEST_FIXTURES, 0); /* unless the caller has others */
  int status = ns_sandbox_run(upnp_tests, NULL, &error);
  if (status < 0)
    fprintf(stderr, "%s\n", error.text);
  return status != 0;
}
