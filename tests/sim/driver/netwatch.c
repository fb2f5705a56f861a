/* wg_netwatch: who is told when the addresses of a host change. */
#include "internal.h"

enum { TOLD_AFTER_US = 100 };

struct wg_netwatch {
  wg_list item;
  sim_host *host;
  bool closed;
  wg_timer event;
  wg_netwatch_cb cb;
  void *arg;
};

static void tell(void *arg) {
  wg_netwatch *watch = arg;
  watch->cb(watch->arg);
}

void sim_netwatches_tell(sim_host *host) {
  for (wg_list *item = host->netwatches.next; item != &host->netwatches; item = item->next) {
    wg_netwatch *watch = WG_CONTAINER(item, wg_netwatch, item);
    sim_event_start(host->world, &watch->event, TOLD_AFTER_US, tell, watch);
  }
}

int sim_netwatch_open(wg_env *env, wg_netwatch_cb cb, void *arg, wg_netwatch **out) {
  sim_host *host = SIM_HOST(env);
  wg_netwatch *watch = sim_alloc(sizeof *watch);
  *watch = (wg_netwatch){.host = host, .cb = cb, .arg = arg};
  wg_list_push(&host->netwatches, &watch->item);
  *out = watch;
  return WARP_OK;
}

void sim_netwatch_close(wg_netwatch *watch) {
  if (watch->closed) {
    sim_fail("close of a closed watch of %s", watch->host->name);
  }
  watch->closed = true;
  wg_timers_stop(&watch->host->world->events, &watch->event);
  wg_list_remove(&watch->item);
  sim_bury(watch->host->world, watch);
}

void sim_netwatches_free(sim_host *host) {
  while (!wg_list_empty(&host->netwatches)) {
    sim_netwatch_close(WG_CONTAINER(host->netwatches.next, wg_netwatch, item));
  }
}
