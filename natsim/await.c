#include "natsim/await.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static bool readable(int fd, int limit_ms) {
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  return poll(&wait, 1, limit_ms) == 1 && wait.revents & POLLIN;
}

/* A socket of the site, connected to ip:port; -1 when that fails. The server is in the same
 * namespace, so connecting does not block. */
static int connect_in(const ns_host *site, int type, const char *ip, unsigned port) {
  struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  bool four = inet_pton(AF_INET, ip, &to4.sin_addr) == 1;
  if ((!four && inet_pton(AF_INET6, ip, &to6.sin6_addr) != 1) || ns_enter(site))
    return -1;
  int fd = socket(four ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0);
  ns_leave();
  const struct sockaddr *to = four ? (struct sockaddr *)&to4 : (struct sockaddr *)&to6;
  if (fd >= 0 && connect(fd, to, four ? sizeof to4 : sizeof to6) < 0) {
    close(fd);
    fd = -1;
  }
  return fd;
}

/* Sends a request, and reads one answer into `answer`: its length, or 0. */
static size_t ask(int fd, const void *request, size_t request_len, void *answer, size_t size,
                  int limit_ms) {
  if (send(fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len ||
      !readable(fd, limit_ms))
    return 0;
  ssize_t got = recv(fd, answer, size, 0);
  return got > 0 ? (size_t)got : 0;
}

bool sim_answers_stun(const ns_host *site, const char *ip, unsigned port, int limit_ms) {
  /* Binding request, no attributes, magic cookie; then the transaction id (RFC 8489 5). */
  uint8_t request[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, answer[512];
  if (getrandom(request + 8, 12, 0) != 12)
    return false;
  int fd = connect_in(site, SOCK_DGRAM, ip, port);
  if (fd < 0)
    return false;
  size_t len = ask(fd, request, sizeof request, answer, sizeof answer, limit_ms);
  close(fd);
  static const uint8_t success[] = {0x01, 0x01};
  return len >= sizeof request && !memcmp(answer, success, sizeof success) &&
         !memcmp(answer + 4, request + 4, 16);
}

bool sim_answers_mqtt(const ns_host *site, const char *ip, unsigned port, int limit_ms) {
  /* CONNECT: protocol MQTT level 4, clean session, keep-alive 10 s, empty client id (3.1). */
  static const uint8_t request[] = {0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 10, 0, 0};
  static const uint8_t accepted[] = {0x20, 2, 0, 0};
  static const uint8_t disconnect[] = {0xe0, 0};
  uint8_t answer[16];
  int fd = connect_in(site, SOCK_STREAM, ip, port);
  if (fd < 0)
    return false;
  size_t len = ask(fd, request, sizeof request, answer, sizeof answer, limit_ms);
  bool ok = len == sizeof accepted && !memcmp(answer, accepted, sizeof accepted) &&
            send(fd, disconnect, sizeof disconnect, MSG_NOSIGNAL) == sizeof disconnect;
  close(fd);
  return ok;
}

bool sim_answers_ntp(const ns_host *site, const char *ip, unsigned port, int limit_ms) {
  /* Version 4, client; the transmit timestamp comes back as the origin. */
  enum { PACKET = 48, ORIGIN = 24, TRANSMIT = 40, MODE = 7, SERVER = 4, LEAP = 0xc0 };
  uint8_t request[PACKET] = {4 << 3 | 3}, answer[PACKET + 64];
  if (getrandom(request + TRANSMIT, 8, 0) != 8)
    return false;
  int fd = connect_in(site, SOCK_DGRAM, ip, port);
  if (fd < 0)
    return false;
  size_t len = ask(fd, request, sizeof request, answer, sizeof answer, limit_ms);
  close(fd);
  return len >= PACKET && (answer[0] & MODE) == SERVER && (answer[0] & LEAP) != LEAP &&
         answer[1] > 0 && !memcmp(answer + ORIGIN, request + TRANSMIT, 8);
}

bool sim_answers_ready(int fd, int limit_ms) {
  char line[256];
  if (!readable(fd, limit_ms))
    return false;
  ssize_t got = read(fd, line, sizeof line);
  return got >= 5 && !memcmp(line, "ready", 5);
}

bool sim_answers_natpmp(const ns_host *host, const char *ip, int limit_ms) {
  enum { PORT = 5351, ANSWER = 128 };
  static const uint8_t request[] = {0, 0};
  uint8_t answer[16];
  int fd = connect_in(host, SOCK_DGRAM, ip, PORT);
  if (fd < 0)
    return false;
  size_t len = ask(fd, request, sizeof request, answer, sizeof answer, limit_ms);
  close(fd);
  return len >= 12 && answer[0] == 0 && answer[1] == ANSWER && answer[2] == 0 && answer[3] == 0;
}
