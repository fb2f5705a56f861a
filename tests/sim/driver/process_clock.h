/* The system's clock, as libraries that do not ask the environment see it. */
#ifndef TESTS_SIM_DRIVER_PROCESS_CLOCK_H
#define TESTS_SIM_DRIVER_PROCESS_CLOCK_H

#include <stdint.h>

/* From now on it is what `now_us` points to, until that is forgotten. */
void sim_process_clock(const uint64_t *now_us);
void sim_process_clock_forget(const uint64_t *now_us);

#endif
