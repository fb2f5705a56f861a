/*
 * A peer for natsim: plain UDP hole punching, without a library. It learns its outside address from
 * a STUN server, tells it, and sends to the other's until it hears that the other hears it; answers
 * go to wherever packets come from. What it reaches is what two NATs alone allow. docs/peers.md has
 * the rules it follows.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { STEP_MS = 30, GIVE_UP_MS = 4000, STUN_TRIES = 20, STUN_WAIT_MS = 250, COOKIE = 0x2112a442 };

static int fd;
static struct sockaddr_in peer; /* where to send: as told, then where it was heard from */
static bool heard;
static const char *session, *role;
static char mapped[32], body[17]; /* outside address; what is echoed */

static const char *env(const char *name) {
  return getenv(name) ? getenv(name) : "";
}

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool parse(const char *text, struct sockaddr_in *out) {
  char ip[16];
  unsigned short port;
  *out = (struct sockaddr_in){.sin_family = AF_INET};
  return sscanf(text, "%15[0-9.]:%hu", ip, &port) == 2 && (out->sin_port = htons(port)) &&
         inet_pton(AF_INET, ip, &out->sin_addr) == 1;
}

static void format(const struct sockaddr_in *at, char out[32]) {
  snprintf(out, 32, "%s:%u", inet_ntoa(at->sin_addr), ntohs(at->sin_port));
}

/* A binding request, and the XOR-MAPPED-ADDRESS of its answer (RFC 8489 5, 14.2). What is sent
 * again is the same transaction, so that a late answer to the first one will do (RFC 8489 6.2.1).
 */
static bool ask_stun(const struct sockaddr_in *server) {
  uint8_t request[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, answer[512];
  struct sockaddr_in outside = {.sin_family = AF_INET};
  if (getrandom(request + 8, 12, 0) != 12)
    return false;
  for (int i = 0; i < STUN_TRIES; i++) {
    sendto(fd, request, sizeof request, 0, (const struct sockaddr *)server, sizeof *server);
    if (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, STUN_WAIT_MS) != 1)
      continue;
    ssize_t len = recv(fd, answer, sizeof answer, 0), at = 20;
    if (len < 20 || memcmp(answer + 4, request + 4, 16) != 0)
      continue;
    while (at + 12 <= len && (answer[at] != 0 || answer[at + 1] != 0x20))
      at += 4 + (((answer[at + 2] << 8 | answer[at + 3]) + 3) & ~3);
    if (at + 12 > len || answer[at + 5] != 1)
      continue;
    memcpy(&outside.sin_port, answer + at + 6, 2);
    memcpy(&outside.sin_addr, answer + at + 8, 4);
    outside.sin_port ^= htons(COOKIE >> 16);
    outside.sin_addr.s_addr ^= htonl(COOKIE);
    format(&outside, mapped);
    return true;
  }
  return false;
}

/* Packets are the session, our role, a word (hello, k: I hear you, echo, reply) and its body. */
static void send_word(char word) {
  char packet[128];
  int len = snprintf(packet, sizeof packet, "%s%s%c%s", session, role, word, body);
  sendto(fd, packet, (size_t)len, 0, (struct sockaddr *)&peer, sizeof peer);
}

/* The other's word, or 0 for a packet that is not of this session. b echoes the body that a sent.
 */
static char take_word(void) {
  char packet[128] = "", *text = packet + strlen(session);
  struct sockaddr_in from;
  socklen_t size = sizeof from;
  ssize_t len = recvfrom(fd, packet, sizeof packet - 1, 0, (struct sockaddr *)&from, &size);
  if (len < text + 2 - packet || strncmp(packet, session, strlen(session)) || *text == *role)
    return 0;
  peer = from;
  heard = true;
  if (text[1] == 'e')
    snprintf(body, sizeof body, "%s", text + 2);
  return text[1] == 'r' && strcmp(body, text + 2) != 0 ? 0 : text[1];
}

/* Sends `word` at every step, and answers, until `wanted` comes. False when the time is up, or
 * natsim says that it is over by closing stdin. */
static bool until(char wanted, char word, long limit_ms) {
  struct pollfd waits[] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
  for (long next = now_ms(), end = next + limit_ms; now_ms() < end && !waits[1].revents;) {
    if (now_ms() >= next) {
      send_word(word);
      next = now_ms() + STEP_MS;
    }
    if (poll(waits, 2, STEP_MS) < 1 || !waits[0].revents)
      continue;
    char got = take_word();
    if (got == 'h' || got == 'e')
      send_word(got == 'h' ? 'k' : 'r');
    if (got && got == wanted)
      return true;
  }
  return false;
}

/* Prints an event, with a report on how the NATs looked from here. */
static void say(const char *event) {
  char from[32] = "";
  if (heard)
    format(&peer, from);
  printf("{\"event\":%s,\"report\":[{\"plugin\":\"plain_punch\",\"mapped\":\"%s\","
         "\"heard_from\":\"%s\"}]}\n",
         event, mapped, from);
  fflush(stdout);
}

static int connect_and_echo(long limit_ms) {
  uint64_t bits;
  if (!until('k', 'h', limit_ms))
    return say("\"failed\",\"reason\":\"no answer from the peer\""), 0;
  say("\"connected\",\"path\":\"direct\",\"transport\":\"udp\",\"family\":4,"
      "\"winner\":\"plain_punch\"");
  if (getrandom(&bits, sizeof bits, 0) != sizeof bits)
    return 1;
  snprintf(body, sizeof body, "%016llx", (unsigned long long)bits);
  say(until('r', 'e', limit_ms) ? "\"echo\",\"ok\":true" : "\"echo\",\"ok\":false");
  return 0;
}

int main(void) {
  struct sockaddr_in server, own = {.sin_family = AF_INET};
  char word[512];
  session = env("NATSIM_SESSION");
  role = env("NATSIM_ROLE");
  own.sin_port = htons((uint16_t)(20000 + strtoull(env("NATSIM_SEED"), NULL, 10) % 40000));
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own) < 0)
    return perror("no socket"), 1;
  if (!parse(env("NATSIM_STUN"), &server) || !ask_stun(&server))
    return fputs("no answer from the STUN server\n", stderr), 1;
  printf("{\"event\":\"ready\",\"address\":\"%s\"}\n", mapped);
  fflush(stdout);
  const char *told = fgets(word, sizeof word, stdin) ? strstr(word, "\"peer\":") : NULL;
  if (!told || !parse(told + strcspn(told, "0123456789"), &peer))
    return fputs("no peer was told\n", stderr), 1;
  long limit_ms = strtol(env("NATSIM_TIMEOUT_S"), NULL, 10) * 1000;
  if (*role == 'a')
    return connect_and_echo(limit_ms < GIVE_UP_MS ? limit_ms : GIVE_UP_MS);
  until(0, 'h', limit_ms * 2);
  say("\"listened\"");
  return 0;
}
