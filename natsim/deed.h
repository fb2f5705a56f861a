/* Doing to a running laboratory what an event says. */
#ifndef NATSIM_DEED_H
#define NATSIM_DEED_H

#include "natsim/event.h"
#include "natsim/servers.h"
#include "natsim/world.h"

#include <pthread.h>

/* Whether it can be done in a laboratory of this topology. 0, or -1 with the line. */
int sim_deed_check(const sim_event *event, const sim_topology *topology, ns_error *error);

/* Does it. A deed that was done already is no error. 0, or a negative errno with the line. */
int sim_deed_do(const sim_event *event, sim_world *world, sim_servers *servers, ns_error *error);

/* The same without waiting: loading rules takes the kernel milliseconds in which a trial must not
 * keep its peers waiting. One deed is done at a time. */
typedef struct sim_doing {
  const sim_event *event;
  sim_world *world;
  sim_servers *servers;
  pthread_t thread;
  bool running;
  int status;
  ns_error error;
} sim_doing;

/* Begins it, after the one begun before. 0, or a negative errno with the line, also that of the one
 * before. A zeroed `doing` is an idle one. */
int sim_deed_begin(sim_doing *doing, const sim_event *event, sim_world *world, sim_servers *servers,
                   ns_error *error);
/* Waits until what was begun is done. 0, or its negative errno with the line. */
int sim_deed_finish(sim_doing *doing, ns_error *error);

#endif
