#include "natsim/measure.h"
int sim_measure_link(void *arg) {
  (void)arg;
  return 0;
}
