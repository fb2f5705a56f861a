/* Gates for tests, opened in the environments of two peers, and what became of them. */
#ifndef SIM_GATEKEEPER_H
#define SIM_GATEKEEPER_H

#include "gate/gate.h"
#include "peers.h"
#include "registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t second = 1000000;

typedef struct gatekeeper {
  peers *both;
  peer *on;
  warp_gate *gate;
  unsigned opened, closed, connected;
  int open_status, connect_status;
  warp_pipe *pipe;
} gatekeeper;

static inline void on_open(void *arg, warp_gate *gate, int status) {
  gatekeeper *self = arg;
  self->opened++;
  self->open_status = status;
  if (status == WARP_OK)
    assert_ptr_equal(gate, self->gate);
  else
    self->gate = NULL;
}

static inline void on_closed(void *arg) {
  gatekeeper *self = arg;
  assert_int_equal(self->opened, 1); /* what was pending came before */
  self->closed++;
}

static inline void run(gatekeeper *self, uint64_t us) {
  assert_int_equal(sim_run_for(self->both->net.world, us), WARP_OK);
}

static inline void open_gate(gatekeeper *self, peers *both, peer *on, const char *name) {
  *self = (gatekeeper){.both = both, .on = on};
  on->conf.name_servers = names;
  assert_int_equal(
      wg_gate_open(sim_host_env(on->host), name, &on->conf, on_open, self, &self->gate), WARP_OK);
  assert_int_equal(self->opened, 0);
}

static inline void close_gate(gatekeeper *self) {
  if (self->pipe != NULL)
    warp_pipe_close(self->pipe);
  warp_gate_close(self->gate, on_closed, self);
  run(self, 5 * second);
  assert_int_equal(self->closed, 1);
}

#endif
