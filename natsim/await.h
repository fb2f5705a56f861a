/* Asking a server until it answers. */
#ifndef NATSIM_AWAIT_H
#define NATSIM_AWAIT_H

#include "natsim/fail.h"

/* One try each, over sockets of the site; `limit_ms` bounds the wait for the answer. True when the
 * right answer came. */

/* A STUN binding request to ip:port over UDP gets a success response (RFC 8489). */
bool sim_answers_stun(const ns_host *site, const char *ip, unsigned port, int limit_ms);
/* An MQTT 3.1.1 CONNECT to ip:port is accepted. */
bool sim_answers_mqtt(const ns_host *site, const char *ip, unsigned port, int limit_ms);
/* An NTP request to ip:port over UDP gets the time of a synchronized server (RFC 5905). */
bool sim_answers_ntp(const ns_host *site, const char *ip, unsigned port, int limit_ms);
/* A line that begins with "ready" comes from the descriptor. */
bool sim_answers_ready(int fd, int limit_ms);

/* The same for NAT-PMP (RFC 6886 3.2: the request for the outside address). */
bool sim_answers_natpmp(const ns_host *host, const char *ip, int limit_ms);

#endif
