#include "cli/ask.h"

#include "base/addr.h"
#include "machine/turn_client.h"
#include "wire/names.h"
#include "wire/ntp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  RESEND_MS = 500, /* a request that got no answer is sent again */
  REQUEST_MAX = WG_NAME_REQUEST_MAX,
};

typedef struct ask {
  cli_asks *all;
  cli_answer *answer;
  wg_server_name name;
  bool open; /* not ended yet */
  wg_resolve *resolve;
  warp_addr addr;
  uint64_t begun_us;
  wg_udp *udp;
  wg_tcp *tcp;
  wg_broker *broker;
  wg_timer timer;
  wg_turn_client turn;
  uint8_t
      nonce[WG_NAME_NONCE_LEN]; /* what an answer is known by: its first bytes, as many as fit */
  uint8_t request[REQUEST_MAX];
  size_t request_len;
} ask;

struct cli_asks {
  wg_env *env;
  void (*done)(void *arg);
  void *arg;
  size_t count, open;
  wg_timer limit;
  cli_answer answers[CLI_ASKS];
  ask asks[CLI_ASKS];
};

/* ---- the end of one -------------------------------------------------------------------------- */

static double since_ms(const ask *one) {
  return (double)(wg_now_us(one->all->env) - one->begun_us) / 1000;
}

static void close_ask(ask *one) {
  const wg_env_ops *ops = one->all->env->ops;
  wg_timer_stop(one->all->env, &one->timer);
  if (one->resolve != NULL) {
    ops->resolve_cancel(one->resolve);
  }
  if (one->udp != NULL) {
    ops->udp_close(one->udp);
  }
  if (one->tcp != NULL) {
    ops->tcp_reset(one->tcp);
  }
  if (one->broker != NULL) {
    ops->broker_close(one->broker);
  }
  one->resolve = NULL;
  one->udp = NULL;
  one->tcp = NULL;
  one->broker = NULL;
}

static void on_limit(void *arg);

static void end(ask *one, int status) {
  if (!one->open) {
    return;
  }
  one->open = false;
  one->answer->status = status;
  if (status == WARP_OK) {
    one->answer->ms = since_ms(one);
  }
  close_ask(one);
  if (--one->all->open == 0) { /* told by the loop, also when all ended at once */
    wg_timer_start(one->all->env, &one->all->limit, 0, on_limit, one->all);
  }
}

static void on_limit(void *arg) {
  cli_asks *all = arg;
  for (size_t i = 0; i < all->count; i++) {
    ask *one = &all->asks[i];
    if (one->open) {
      one->open = false;
      one->answer->status = WARP_TIMEOUT;
      close_ask(one);
    }
  }
  all->open = 0;
  all->done(all->arg);
}

/* ---- relays: an allocation with the credentials, given back at once ---------------------------
 */

static int draw(void *arg, void *out, size_t len) {
  wg_env *env = arg;
  return env->ops->random(env, out, len);
}

static void pump_turn(void *arg) {
  ask *one = arg;
  wg_env *env = one->all->env;
  const uint8_t *bytes;
  size_t len;
  wg_turn_event event;
  while (wg_turn_client_output(&one->turn, wg_now_us(env), &bytes, &len)) {
    (void)env->ops->udp_send(one->udp, &one->addr, bytes, len);
  }
  while (wg_turn_client_event(&one->turn, &event)) {
    if (event.type == WG_TURN_EVENT_ALLOCATED) {
      wg_turn_client_close(&one->turn, wg_now_us(env));
      while (wg_turn_client_output(&one->turn, wg_now_us(env), &bytes, &len)) {
        (void)env->ops->udp_send(one->udp, &one->addr, bytes, len);
      }
      end(one, WARP_OK);
      return;
    }
    if (event.type == WG_TURN_EVENT_ENDED) {
      if (event.status != WARP_TIMEOUT) {
        end(one, event.status);
      }
      return; /* silence is told by the limit: TCP may still answer */
    }
  }
  uint64_t now = wg_now_us(env), deadline = wg_turn_client_deadline(&one->turn);
  wg_timer_start(env, &one->timer, deadline > now ? deadline - now : 0, pump_turn, one);
}

static void start_turn(ask *one) {
  wg_env *env = one->all->env;
  wg_turn_options options = {.server = one->addr,
                             .user = one->name.user,
                             .password = one->name.password,
                             .timing = {.rto_ms = RESEND_MS, .sends = 4, .rm = 4},
                             .random = draw,
                             .random_arg = env};
  int status = wg_turn_client_start(&one->turn, &options, wg_now_us(env));
  if (status != WARP_OK) {
    end(one, status);
    return;
  }
  pump_turn(one);
}

/* ---- one request, one answer ----------------------------------------------------------------- */

static void make_stun(ask *one) {
  wg_stun_txid txid;
  memcpy(txid.bytes, one->nonce, WG_STUN_TXID_LEN);
  wg_writer writer = wg_writer_init(one->request, REQUEST_MAX);
  wg_stun_begin(&writer, WG_STUN_REQUEST, WG_STUN_BINDING, &txid);
  one->request_len = (size_t)wg_stun_end(&writer);
}

static void make_names(ask *one) {
  wg_name_request request = {.op = WG_NAME_LOOKUP, .name = "n"};
  memcpy(request.nonce, one->nonce, sizeof request.nonce);
  int len = wg_name_request_encode(&request, one->request, REQUEST_MAX);
  one->request_len = len > 0 ? (size_t)len : 0;
}

static void make_ntp(ask *one) {
  wg_ntp_packet packet = {.version = WG_NTP_VERSION, .mode = WG_NTP_CLIENT};
  memcpy(&packet.transmit, one->nonce, sizeof packet.transmit);
  wg_ntp_encode(&packet, one->request);
  one->request_len = WG_NTP_LEN;
}

static bool is_answer(const ask *one, const uint8_t *data, size_t len) {
  wg_stun_message stun;
  wg_name_reply name;
  wg_ntp_packet ntp;
  switch (one->answer->kind) {
  case CLI_STUN:
    return wg_stun_decode(data, len, &stun) == WARP_OK && stun.class == WG_STUN_SUCCESS &&
           memcmp(stun.txid.bytes, one->nonce, WG_STUN_TXID_LEN) == 0;
  case CLI_NAMES:
    return wg_name_reply_decode(data, len, &name) == WARP_OK &&
           memcmp(name.nonce, one->nonce, sizeof name.nonce) == 0;
  default:
    return wg_ntp_decode(data, len, &ntp) == WARP_OK && ntp.mode == WG_NTP_SERVER &&
           memcmp(&ntp.origin, one->nonce, sizeof ntp.origin) == 0;
  }
}

static void send_request(void *arg) {
  ask *one = arg;
  (void)one->all->env->ops->udp_send(one->udp, &one->addr, one->request, one->request_len);
  wg_timer_start(one->all->env, &one->timer, RESEND_MS * UINT64_C(1000), send_request, one);
}

static void on_datagram(void *arg, const uint8_t *data, size_t len, const warp_addr *from) {
  ask *one = arg;
  warp_addr peer;
  const uint8_t *relayed;
  size_t relayed_len;
  if (one->answer->kind == CLI_TURN) {
    (void)wg_turn_client_input(&one->turn, data, len, from, wg_now_us(one->all->env), &peer,
                               &relayed, &relayed_len);
    pump_turn(one);
  } else if (wg_addr_equal(from, &one->addr) && is_answer(one, data, len)) {
    end(one, WARP_OK);
  }
}

/* ---- TCP, for sites that let no UDP out -------------------------------------------------------
 */

static void on_tcp_open(void *arg, int status) {
  ask *one = arg;
  if (status == WARP_OK) {
    one->answer->tcp_ms = since_ms(one);
  }
  one->all->env->ops->tcp_reset(one->tcp);
  one->tcp = NULL;
}

static void ignore_data(void *arg, const uint8_t *data, size_t len) {
  (void)arg;
  (void)data;
  (void)len;
}

static void ignore_end(void *arg, int status) {
  (void)arg;
  (void)status;
}

static void start_packets(ask *one) {
  static const wg_tcp_handlers handlers = {
      .on_open = on_tcp_open, .on_data = ignore_data, .on_end = ignore_end};
  wg_env *env = one->all->env;
  warp_addr any = wg_addr_any(one->addr.family, 0);
  int status = env->ops->udp_open(env, &any, 0, on_datagram, one, &one->udp);
  if (status != WARP_OK) {
    one->udp = NULL;
    end(one, status);
    return;
  }
  cli_kind kind = one->answer->kind;
  if (kind != CLI_NTP &&
      env->ops->tcp_connect(env, NULL, &one->addr, 0, &handlers, one, &one->tcp) != WARP_OK) {
    one->tcp = NULL;
  }
  if (kind == CLI_TURN) {
    start_turn(one);
    return;
  }
  (kind == CLI_STUN ? make_stun : kind == CLI_NAMES ? make_names : make_ntp)(one);
  send_request(one);
}

/* ---- names and brokers ----------------------------------------------------------------------- */

static void on_resolved(void *arg, int status, const warp_addr *addrs, size_t count) {
  ask *one = arg;
  one->resolve = NULL;
  if (status != WARP_OK || count == 0) {
    end(one, status != WARP_OK ? status : WARP_NOT_FOUND);
    return;
  }
  one->addr = one->answer->addr = addrs[0];
  one->begun_us = wg_now_us(one->all->env);
  start_packets(one);
}

static void on_broker_state(void *arg, int status) {
  end(arg, status);
}

static void on_broker_message(void *arg, const uint8_t *data, size_t len) {
  ignore_data(arg, data, len);
}

static int start_broker(ask *one, const char *text) {
  static const wg_broker_handlers handlers = {.on_state = on_broker_state,
                                              .on_message = on_broker_message};
  char topic[WG_TOPIC_LEN];
  snprintf(topic, sizeof topic, "warp/check/%02x%02x%02x%02x", one->nonce[0], one->nonce[1],
           one->nonce[2], one->nonce[3]);
  wg_broker_options options = {.server = text, .client_id = topic + 5, .topic = topic};
  return one->all->env->ops->broker_open(one->all->env, &options, &handlers, one, &one->broker);
}

static void start(cli_asks *all, cli_kind kind, const char *text) {
  ask *one = &all->asks[all->count];
  wg_env *env = all->env;
  uint16_t usual = kind == CLI_NTP ? WG_NTP_PORT : 0;
  *one = (ask){.all = all, .answer = &all->answers[all->count], .open = true};
  *one->answer = (cli_answer){.kind = kind, .ms = -1, .tcp_ms = -1};
  one->begun_us = wg_now_us(env);
  all->count++;
  all->open++;
  if (wg_broker_hint(text, one->answer->server) != WARP_OK) {
    snprintf(one->answer->server, sizeof one->answer->server, "%s",
             strchr(text, '@') == NULL && strlen(text) < WG_HINT_LEN ? text : "a long name");
  }
  int status = env->ops->random(env, one->nonce, sizeof one->nonce);
  if (status == WARP_OK && kind == CLI_BROKER) {
    status = start_broker(one, text);
  } else if (status == WARP_OK) {
    status = wg_server_name_parse_usual(text, usual, &one->name);
    if (status == WARP_OK) {
      status = env->ops->resolve(env, one->name.host, one->name.port, 0, on_resolved, one,
                                 &one->resolve);
    }
  }
  if (status != WARP_OK) {
    end(one, status);
  }
}

/* ---- all ------------------------------------------------------------------------------------- */

cli_asks *cli_asks_start(wg_env *env, const cli_settings *settings, void (*done)(void *arg),
                         void *arg) {
  cli_asks *all = calloc(1, sizeof *all);
  if (all == NULL) {
    return NULL;
  }
  all->env = env;
  all->done = done;
  all->arg = arg;
  for (cli_kind kind = 0; kind < CLI_KINDS; kind++) {
    for (size_t i = 0; i < settings->servers[kind].count; i++) {
      start(all, kind, settings->servers[kind].text[i]);
    }
  }
  wg_timer_start(env, &all->limit, all->open > 0 ? CLI_ASK_MS * UINT64_C(1000) : 0, on_limit, all);
  return all;
}

const cli_answer *cli_asks_answers(const cli_asks *asks, size_t *count) {
  *count = asks != NULL ? asks->count : 0;
  return asks != NULL ? asks->answers : NULL;
}

void cli_asks_free(cli_asks *asks) {
  if (asks == NULL) {
    return;
  }
  wg_timer_stop(asks->env, &asks->limit);
  for (size_t i = 0; i < asks->count; i++) {
    close_ask(&asks->asks[i]);
  }
  free(asks);
}
