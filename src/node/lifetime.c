#include "node/lifetime.h"

#include "base/addr.h"
#include "wire/stun.h"
#include <stdlib.h>

enum {
  ASK_SENDS = 4,     /* with one packet in ten lost each way, all are lost in 0.13 % */
  ASK_SENDS_MAX = 8, /* while the server has not answered at all */
  ASK_SPACING_MS = 500,
  ANSWER_MS = 2000, /* after the last send: a slow path is no dead mapping */
  REQUEST_LEN = 32,
};

/* RFC 4787 REQ-5 asks for 120 s at least, and recommends 300; common NATs have 30 to 180. Below 30
 * it goes down. */
static const unsigned longer_s[] = {30, 60, 120, 300}, shorter_s[] = {15, 8};
enum { LONGER = sizeof longer_s / sizeof longer_s[0] };
enum { SHORTER = sizeof shorter_s / sizeof shorter_s[0] };

typedef enum lifetime_state {
  LIFETIME_OPENING, /* the mapping is asked for */
  LIFETIME_SILENT,
  LIFETIME_ASKING, /* for an answer to the mapping, and for one to the asking socket */
} lifetime_state;

typedef struct end_socket {
  wg_lifetime *lifetime;
  wg_udp *udp;
} end_socket;

struct wg_lifetime {
  wg_env *env;
  warp_addr server;
  lifetime_state state;
  end_socket silent, asking;
  unsigned step; /* of longer_s, then of shorter_s */
  bool going_down;
  unsigned lived_s, died_s;
  uint16_t port; /* external, of the silent socket */
  unsigned sent;
  bool server_answers;
  wg_stun_txid to_silent, to_asking; /* what an answer is known by, at which socket */
  wg_timer timer;
  wg_lifetime_cb cb;
  void *arg;
};

static void on_timer(void *arg);

static void wait_ms(wg_lifetime *self, uint64_t ms) {
  wg_timer_start(self->env, &self->timer, ms * 1000, on_timer, self);
}

unsigned wg_lifetime_known_s(unsigned lived_s, unsigned died_s) {
  return lived_s != 0 ? lived_s : died_s / 2;
}

void wg_lifetime_close(wg_lifetime *self) {
  wg_timer_stop(self->env, &self->timer);
  if (self->silent.udp != NULL)
    self->env->ops->udp_close(self->silent.udp);
  if (self->asking.udp != NULL)
    self->env->ops->udp_close(self->asking.udp);
  free(self);
}

static void end(wg_lifetime *self) {
  wg_lifetime_cb cb = self->cb;
  void *arg = self->arg;
  unsigned lived_s = self->lived_s, died_s = self->died_s;
  wg_lifetime_close(self);
  cb(arg, lived_s, died_s, true);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void send_request(wg_lifetime *self, end_socket *from, const wg_stun_txid *txid,
                         uint16_t response_port) {
  uint8_t bytes[REQUEST_LEN];
  wg_writer writer = wg_writer_init(bytes, sizeof bytes);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, txid);
  if (response_port != 0) /* RFC 5780 section 7.5: the port, and two bytes of padding */
    wg_stun_attr_u32(&writer, WG_STUN_RESPONSE_PORT, (uint32_t)response_port << 16);
  int len = wg_stun_end(&writer);
  (void)self->env->ops->udp_send(from->udp, &self->server, bytes, (size_t)len);
}

static bool draw(wg_lifetime *self) {
  const wg_env_ops *ops = self->env->ops;
  self->sent = 0;
  self->server_answers = false;
  return ops->random(self->env, &self->to_silent, sizeof self->to_silent) == WARP_OK &&
         ops->random(self->env, &self->to_asking, sizeof self->to_asking) == WARP_OK;
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* The silence is over: goes on with the next one, or ends. */
static void step_done(wg_lifetime *self, bool lives) {
  unsigned silence_s = self->going_down ? shorter_s[self->step] : longer_s[self->step];
  if (lives)
    self->lived_s = silence_s;
  else
    self->died_s = silence_s;
  bool first = !self->going_down && self->step == 0;
  bool over = false;
  if (lives)
    over = self->going_down || ++self->step == LONGER;
  else if (first)
    self->going_down = true; /* its first step is number 0 too */
  else
    over = !self->going_down || ++self->step == SHORTER;
  if (over) {
    end(self);
    return;
  }
  self->state = LIFETIME_OPENING;
  if (!draw(self)) {
    end(self);
    return;
  }
  wait_ms(self, 0); /* before the callback, which may close this */
  self->cb(self->arg, self->lived_s, self->died_s, false);
}

/* Sends again, or, after the last time, judges the silence. */
static void ask(wg_lifetime *self) {
  if (self->sent >= ASK_SENDS && (self->server_answers || self->sent == ASK_SENDS_MAX)) {
    if (self->server_answers)
      step_done(self, false);
    else
      end(self);
    return;
  }
  self->sent++;
  send_request(self, &self->asking, &self->to_silent, self->port);
  send_request(self, &self->asking, &self->to_asking, 0);
  wait_ms(self, self->sent < ASK_SENDS ? ASK_SPACING_MS : ANSWER_MS);
}

static void on_timer(void *arg) {
  wg_lifetime *self = arg;
  switch (self->state) {
  case LIFETIME_OPENING:
    if (self->sent == ASK_SENDS) {
      end(self);
      return;
    }
    self->sent++;
    send_request(self, &self->silent, &self->to_silent, 0);
    wait_ms(self, self->sent < ASK_SENDS ? ASK_SPACING_MS : ANSWER_MS);
    return;
  case LIFETIME_SILENT:
    self->state = LIFETIME_ASKING;
    if (!draw(self)) {
      end(self);
      return;
    }
    ask(self);
    return;
  case LIFETIME_ASKING:
    ask(self);
    return;
  }
}

/* ---- answers --------------------------------------------------------------------------------- */

static bool is_answer_to(const wg_stun_message *message, const wg_stun_txid *txid) {
  return wg_bytes_equal_ct(message->txid.bytes, txid->bytes, WG_STUN_TXID_LEN);
}

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  end_socket *at = arg;
  wg_lifetime *self = at->lifetime;
  wg_stun_message message;
  warp_addr mapped;
  if (!wg_addr_equal(from, &self->server) || wg_stun_decode(data, len, &message) != WARP_OK ||
      message.method != WG_STUN_BINDING)
    return;
  bool success = message.class == WG_STUN_SUCCESS;
  bool to_silent = is_answer_to(&message, &self->to_silent);
  if (self->state == LIFETIME_OPENING) {
    if (at == &self->silent && to_silent && success && wg_stun_find_mapped(&message, &mapped)) {
      self->port = mapped.port;
      self->state = LIFETIME_SILENT;
      wait_ms(self,
              (self->going_down ? shorter_s[self->step] : longer_s[self->step]) * UINT64_C(1000));
    }
  } else if (self->state == LIFETIME_ASKING && to_silent) {
    if (at == &self->silent)
      step_done(self, true);
    else
      end(self); /* refused (420), or the attribute was passed over: this server cannot */
  } else if (self->state == LIFETIME_ASKING && at == &self->asking &&
             is_answer_to(&message, &self->to_asking)) {
    self->server_answers = true;
  }
}

/* ---- beginning ------------------------------------------------------------------------------- */

static int open_socket(wg_lifetime *self, const warp_addr *local, end_socket *out) {
  warp_addr any_port = wg_addr_with_port(local, 0);
  out->lifetime = self;
  int status = self->env->ops->udp_open(self->env, &any_port, 0, on_datagram, out, &out->udp);
  if (status != WARP_OK)
    out->udp = NULL;
  return status;
}

static void on_begin(void *arg) {
  wg_lifetime *self = arg;
  self->state = LIFETIME_OPENING;
  if (draw(self))
    on_timer(self);
  else
    end(self);
}

int wg_lifetime_start(wg_env *env, const warp_addr *local, const warp_addr *server,
                      uint32_t delay_ms, wg_lifetime_cb cb, void *arg, wg_lifetime **out) {
  wg_lifetime *self = calloc(1, sizeof *self);
  if (self == NULL)
    return WARP_NOMEM;
  self->env = env;
  self->server = *server;
  self->cb = cb;
  self->arg = arg;
  int status = open_socket(self, local, &self->silent);
  if (status == WARP_OK)
    status = open_socket(self, local, &self->asking);
  if (status != WARP_OK) {
    wg_lifetime_close(self);
    return status;
  }
  wg_timer_start(env, &self->timer, (uint64_t)delay_ms * 1000, on_begin, self);
  *out = self;
  return WARP_OK;
}
