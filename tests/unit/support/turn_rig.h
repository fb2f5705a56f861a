/* A TURN client against a small TURN server in memory, in virtual time. */
#ifndef WG_TEST_TURN_RIG_H
#define WG_TEST_TURN_RIG_H

#include "machine/turn_client.h"

enum { RIG_SECOND = 1000000, RIG_EVENTS = 32 };

/* What the server is to do, and what it has seen. */
typedef struct rig_server {
  char nonce[16];
  bool open;      /* asks for no credentials */
  unsigned error; /* answered to authenticated requests of `error_method` */
  uint16_t error_method;
  bool error_unsigned;
  bool forge; /* signs with a wrong key */
  bool silent;
  unsigned stale; /* that many requests in a row find their nonce stale */
  uint32_t granted_s;
  bool allocated;
  unsigned requests[16]; /* by method */
  uint32_t last_lifetime_s;
  warp_addr last_peer;
  uint16_t last_channel;
  uint8_t answer[1024];
  size_t answer_len;
} rig_server;

typedef struct turn_rig {
  wg_turn_client client;
  rig_server server;
  uint64_t now_us;
  unsigned drawn; /* transaction ids so far: they are numbers */
  wg_turn_event events[RIG_EVENTS];
  char reasons[RIG_EVENTS][WG_TURN_REASON_LEN];
  size_t event_count;
} turn_rig;

extern turn_rig rig;

/* A started client and an idle server, as a CMocka setup function. */
int rig_setup(void **state);
wg_turn_options rig_options(const char *password);
int rig_draw(void *arg, void *out, size_t len);
int rig_no_entropy(void *arg, void *out, size_t len);
warp_addr rig_addr(const char *text);
warp_addr rig_server_addr(void);

/* Answers one request into server.answer. */
void rig_serve(const uint8_t *bytes, size_t len);
/* Sends what is due and gives back the answers, until nothing more is due now; notes events. */
void rig_pump(void);
void rig_collect_events(void);
void rig_run_for(uint64_t seconds);
/* Pumps until the allocation is there, and forgets the events. */
void rig_allocate(void);
/* Gives the client a packet of the server. */
int rig_give(const uint8_t *bytes, int len, warp_addr *peer, const uint8_t **data,
             size_t *data_len);
void rig_check_event(size_t index, wg_turn_event_type type, int status, unsigned code);

#endif
