/* The options of `natsim run` and `natsim matrix`, read from the command line by one table. */
#ifndef NATSIM_OPTIONS_H
#define NATSIM_OPTIONS_H

#include "natsim/event.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* What a peer is told of, of the two brokers that there are, and of an address without one: a digit
 * each, in the order in which they are told. */
enum { SIM_BROKERS_TOLD = 3 };
#define SIM_BROKER_DEAD   '0'
#define SIM_BROKER_FIRST  '1'
#define SIM_BROKER_SECOND '2'

typedef struct sim_options {
  const char *a, *b;     /* run: the two profiles */
  const char *profiles;  /* matrix: a comma separated list */
  const char *grid;      /* matrix: "rfc4787", or NULL */
  const char *plugin;    /* "auto", or names separated by commas */
  const char *transport; /* "any", "udp", "tcp" */
  bool no_relay, strict, by_name, cross;
  const char *alloc; /* of the MAP-FILTER names */
  const char *nat;   /* `key=value,...` added to every NAT, or NULL */
  const char *place; /* a name or a file, or NULL: two sites */
  unsigned trials;
  uint64_t seed;
  double rtt_ms, jitter_ms;
  double loss_pct, duplicate_pct, reorder_pct; /* 0..100 */
  double rate_mbit;                            /* 0: unlimited */
  unsigned jobs;                               /* 0: as many as cores */
  unsigned timeout_s;
  const char *out;                       /* a folder for results, or NULL */
  unsigned shard, shards;                /* 1-based */
  unsigned only;                         /* this trial alone; 0: all */
  const char *expect;                    /* a table of outcomes, or NULL */
  char set[1024];                        /* PLUGIN.KEY=VALUE,... */
  const char *endpoint;                  /* a command, or NULL for our own */
  unsigned without;                      /* servers that are not started: enum sim_server_bit */
  char brokers[2][SIM_BROKERS_TOLD + 1]; /* that a and b are told of */
  sim_event events[SIM_EVENTS_MAX];
  unsigned event_count;
  unsigned neighbour_flows; /* of the neighbours behind each router, in all */
  double neighbour_rate;    /* or every second */
  double clock_skew_ms[2];  /* of the wall clocks of a and b */
  double wrong_ntp_ms;      /* of the third NTP server */
  bool pcap;                /* keep the packets of every trial */
  const char *pcap_folder;  /* lab: write packets there, or NULL */
  const char *name;         /* lab: of the laboratory */
  const char *link;         /* "builtin" or "netem": who delays and loses packets */
  unsigned labs, packets;   /* bench: labs at once, packets of each measurement */
  bool json;
  bool help;
} sim_options;

enum sim_command { SIM_RUN = 1, SIM_MATRIX = 2, SIM_LAB = 4, SIM_BENCH = 8 };

/* Reads the arguments after the subcommand. Strings point into `argv`. Returns 0, or -1 with the
 * line. With --help only `help` means anything. */
int sim_options_parse(enum sim_command command, int argc, char **argv, sim_options *out,
                      ns_error *error);
/* Prints one line for each option of the command. */
void sim_options_help(enum sim_command command);
/* All options of the command with their values, for run.json. NULL when out of memory. */
json_t *sim_options_json(enum sim_command command, const sim_options *options);

#endif
