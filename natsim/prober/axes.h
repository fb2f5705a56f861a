/* The axes of a NAT as packets show them (RFC 4787, 5382), in the manner of RFC 5780: one transport
 * at a time. */
#ifndef NATSIM_PROBER_AXES_H
#define NATSIM_PROBER_AXES_H

#include "natsim/prober/bench.h"

enum { SIM_MEASURED_LEN = 48, SIM_FINDINGS_MAX = 32 };

/* One axis and the word for what was seen. Words beside those of the text form of a NAT:
 * `none` no translation, or no filter; `hidden` such a NAT shows this to nobody (see the manual
 * page); `answered` strays get an answer, and whether they also take a port away cannot be seen;
 * everything else is a fault. */
typedef struct sim_finding {
  const char *transport; /* "udp", "tcp" */
  const char *axis;
  char measured[SIM_MEASURED_LEN];
} sim_finding;

typedef struct sim_findings {
  sim_finding all[SIM_FINDINGS_MAX];
  size_t count;
} sim_findings;

/* Appends one. */
void sim_find(sim_findings *findings, const char *transport, const char *axis, const char *format,
              ...) __attribute__((format(printf, 4, 5)));

/* Measures all but lifetimes, by UDP or TCP (`type` SOCK_DGRAM, SOCK_STREAM):
 *   outbound    passes, or blocked: then nothing else is found
 *   map         ei, ad, apd, none, or mixed
 *   filter      ei, ad, apd, none, or mixed
 *   unsolicited drop, reset, icmp: the answer to what the filter refused
 *   reuse       on, off: whether the answer to what came in keeps the mapping
 *   alloc       preserving, sequential:STEP, random
 *   range       LO-HI: the outside ports seen
 *   parity      kept, or free: whether even ports stay even (RFC 4787 4.2.2)
 *   clash       separate: two hosts with one inside port both get through, on two outside ports
 *   hairpin     on, off; internal where the inside address shows (RFC 4787 REQ-9)
 *   strays      drop, reject, accept
 * An untranslated way has no axes below `unsolicited`. One thread at a time. */
void sim_measure(sim_bench *bench, int type, sim_findings *out);

#endif
