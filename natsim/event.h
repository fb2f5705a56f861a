/*
 * Things that happen in the middle of a trial (`--event WHEN:WHAT`), as data: reading them, and
 * knowing when each is due. Doing them is natsim/deed.h. Nothing here touches the kernel.
 *
 * WHEN: milliseconds after the word to connect, or a moment of the trial (go, ready, connected), or
 * a moment and milliseconds after it (connected+250).
 * WHAT: reboot-a, expire-a, uplink-down-a, uplink-up-a, address-a, readdress-a,
 * block-udp-a (and -b), or stop-SERVER, start-SERVER.
 */
#ifndef NATSIM_EVENT_H
#define NATSIM_EVENT_H

#include "natsim/fail.h"

#include <jansson.h>

/* Servers of the lab, as bits. */
enum sim_server_bit { SIM_BROKER = 1, SIM_TURN = 2, SIM_NAMES = 4, SIM_STUN = 8, SIM_NTP = 16 };
/* The i-th server's bit and name ("broker"), 0 past the end. */
unsigned sim_server_bit(size_t i, const char **name);

enum sim_moment {
  SIM_AT_READY,     /* both peers are ready, just before the word */
  SIM_AT_GO,        /* the word is given */
  SIM_AT_CONNECTED, /* a is connected */
  SIM_MOMENTS
};

enum sim_deed {
  SIM_REBOOT,      /* the router forgets every mapping, filter and connection */
  SIM_EXPIRE,      /* mappings and filters expire; the next ports go on where they were */
  SIM_UPLINK_DOWN, /* nothing passes between router and outside */
  SIM_UPLINK_UP,
  SIM_ADDRESS,   /* the router gets another outside address, and loses its mappings */
  SIM_READDRESS, /* the host gets another address in its network */
  SIM_BLOCK,     /* UDP passes the router no more */
  SIM_STOP,      /* a server is killed */
  SIM_START      /* a stopped server is started */
};

enum { SIM_EVENTS_MAX = 16, SIM_EVENT_STRLEN = 48 };

typedef struct sim_event {
  char text[SIM_EVENT_STRLEN]; /* as the user wrote it; WHAT begins behind the colon */
  enum sim_moment moment;
  double after_ms;
  enum sim_deed deed;
  int side;        /* of a router's deed */
  unsigned server; /* of SIM_STOP and SIM_START: enum sim_server_bit */
} sim_event;

/* Reads WHEN:WHAT. -1 with the line. */
int sim_event_parse(const char *text, sim_event *out, ns_error *error);
/* WHAT as the user wrote it. */
const char *sim_event_what(const sim_event *event);

/* Which events of a trial have happened, and which are due. Times are milliseconds of any steady
 * clock. */
typedef struct sim_schedule {
  const sim_event *events; /* as long as the schedule is used */
  unsigned count;
  bool reached[SIM_MOMENTS];
  double reached_ms[SIM_MOMENTS];
  bool happened[SIM_EVENTS_MAX];
  double happened_ms[SIM_EVENTS_MAX];
} sim_schedule;

sim_schedule sim_schedule_new(const sim_event *events, unsigned count);
/* A moment has come; only its first time counts. */
void sim_schedule_reach(sim_schedule *schedule, enum sim_moment moment, double now_ms);
/* When the next event is due, as far as is known: INFINITY if none is. */
double sim_schedule_next_ms(const sim_schedule *schedule);
/* The event due next, which is then taken to happen now, or NULL. Of two due at the same time the
 * one written first comes first. */
const sim_event *sim_schedule_due(sim_schedule *schedule, double now_ms);
/* An array for the record of the trial: {"what":..., "when":..., "at_ms":...} for each event,
 * `at_ms` after the word, null when the trial was over before it. */
json_t *sim_schedule_json(const sim_schedule *schedule);

#endif
