#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

typedef struct lane {
  int fd;
  bool busy;
  load_job job;
  double begun_ms, sent_ms;
  bool has_cookie;
  uint8_t cookie[WG_NAME_COOKIE_LEN];
  uint8_t nonce[WG_NAME_NONCE_LEN];
  size_t len;
  uint8_t request[WG_NAME_REQUEST_MAX];
} lane;

typedef struct running {
  load *load;
  lane lanes[LOAD_LANES_MAX];
  struct pollfd polls[LOAD_LANES_MAX];
  size_t busy;
  bool gone;
} running;

double load_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void must(bool good, const char *what) {
  if (!good) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
  }
}

void load_open(load *self) {
  must(self->lanes <= LOAD_LANES_MAX, "too many lanes");
  must(wg_identity_generate(&self->identity) == WARP_OK, "no key");
  int64_t now_ms = (int64_t)time(NULL) * 1000;
  for (uint64_t sequence = 1; sequence <= LOAD_SEQUENCES; sequence++) {
    wg_record record = {.key = *wg_identity_key(self->identity),
                        .sequence = sequence,
                        .issued_ms = now_ms,
                        .expires_ms = now_ms + 86400000};
    load_record *out = &self->records[sequence];
    int len = wg_record_sign(self->identity, &record, out->bytes, sizeof out->bytes);
    must(len > 0, "no record");
    out->len = (size_t)len;
  }
}

void load_close(load *self) {
  wg_identity_free(self->identity);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void send_request(running *all, lane *at) {
  at->sent_ms = load_now_ms();
  if (send(at->fd, at->request, at->len, 0) < 0) {
    all->gone |= errno == ECONNREFUSED;
  }
}

static void write_request(running *all, lane *at) {
  const load *self = all->load;
  const load_record *record = &self->records[at->job.sequence];
  bool changes = at->job.op != WG_NAME_LOOKUP;
  wg_name_request request = {.op = (uint8_t)at->job.op,
                             .has_cookie = at->has_cookie && changes,
                             .lifetime_s = 7200,
                             .record = record->bytes,
                             .record_len = record->len,
                             .key = *wg_identity_key(self->identity),
                             .sequence = at->job.sequence};
  uint8_t signature[WG_SIGNATURE_LEN];
  must(getrandom(at->nonce, sizeof at->nonce, 0) == sizeof at->nonce, "no randomness");
  memcpy(request.nonce, at->nonce, sizeof at->nonce);
  memcpy(request.cookie, at->cookie, sizeof at->cookie);
  memcpy(request.name, at->job.name, sizeof at->job.name);
  int len = wg_name_request_encode(&request, at->request, sizeof at->request);
  if (len > 0 && changes) {
    must(wg_identity_sign(self->identity, WG_NAME_CONTEXT, at->request, (size_t)len, signature) ==
             WARP_OK,
         "no signature");
    len = wg_name_request_attach(at->request, (size_t)len, sizeof at->request, signature);
  }
  must(len > 0, "no request");
  at->len = (size_t)len;
  send_request(all, at);
}

static void begin_next(running *all, lane *at) {
  size_t index = (size_t)(at - all->lanes);
  at->busy = all->load->next(all->load->arg, index, &at->job);
  all->busy += at->busy;
  if (at->busy) {
    at->begun_ms = load_now_ms();
    write_request(all, at);
  }
}

/* ---- replies --------------------------------------------------------------------------------- */

static void take_reply(running *all, lane *at, const wg_name_reply *reply) {
  if (reply->has_cookie) {
    memcpy(at->cookie, reply->cookie, sizeof at->cookie);
    at->has_cookie = true;
  }
  if (reply->status == WG_NAME_COOKIE) {
    write_request(all, at);
  } else if (reply->status != WG_NAME_BUSY) { /* then it is sent again */
    all->busy--;
    all->load->done(all->load->arg, (size_t)(at - all->lanes), &at->job, reply,
                    load_now_ms() - at->begun_ms);
    begin_next(all, at);
  }
}

static void read_replies(running *all, lane *at) {
  uint8_t bytes[2048];
  wg_name_reply reply;
  while (!all->gone) {
    ssize_t len = recv(at->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (len < 0) {
      all->gone |= errno == ECONNREFUSED;
      return;
    }
    if (at->busy && wg_name_reply_decode(bytes, (size_t)len, &reply) == WARP_OK &&
        memcmp(reply.nonce, at->nonce, sizeof at->nonce) == 0) {
      take_reply(all, at, &reply);
    }
  }
}

static void resend_late(running *all) {
  double now_ms = load_now_ms();
  for (size_t i = 0; i < all->load->lanes; i++) {
    lane *at = &all->lanes[i];
    if (at->busy && now_ms - at->sent_ms > LOAD_RESEND_MS) {
      all->gone |= now_ms - at->begun_ms > LOAD_SILENCE_MS;
      send_request(all, at);
    }
  }
}

/* ---- running --------------------------------------------------------------------------------- */

static void open_lane(running *all, size_t index) {
  enum { PER_NETWORK = 250 };
  struct sockaddr_in own = {.sin_family = AF_INET};
  own.sin_addr.s_addr =
      htonl(0x7f010001 + (uint32_t)(index / PER_NETWORK << 8 | index % PER_NETWORK));
  lane *at = &all->lanes[index];
  at->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  must(at->fd >= 0 && bind(at->fd, (struct sockaddr *)&own, sizeof own) == 0 &&
           connect(at->fd, (struct sockaddr *)&all->load->server, sizeof all->load->server) == 0,
       "no socket");
  all->polls[index] = (struct pollfd){.fd = at->fd, .events = POLLIN};
}

bool load_run(load *self) {
  running *all = calloc(1, sizeof *all);
  must(all != NULL, "no memory");
  all->load = self;
  for (size_t i = 0; i < self->lanes; i++) {
    open_lane(all, i);
    begin_next(all, &all->lanes[i]);
  }
  while (all->busy > 0 && !all->gone) {
    must(poll(all->polls, (nfds_t)self->lanes, LOAD_RESEND_MS / 2) >= 0, "poll");
    for (size_t i = 0; i < self->lanes; i++) {
      if (all->polls[i].revents != 0) {
        read_replies(all, &all->lanes[i]);
      }
    }
    resend_late(all);
  }
  bool good = !all->gone;
  for (size_t i = 0; i < self->lanes; i++) {
    close(all->lanes[i].fd);
  }
  free(all);
  return good;
}
