/*
 * The course of one trial, as a pure state machine: fed with the lines the two peers print, their
 * ends and the time, it says when to give the word and when it is over, and fills the result.
 * No processes and no clock here.
 *
 * The peers' part of it is the contract of `natsim --endpoint`:
 *   {"event":"ready","address":"...","name":"..."}        when it can be reached; an object `start`
 *                                                         in it, about how it came so far, is kept
 *   {"event":"connected","path":"direct","transport":"udp","winner":"...","family":4}
 *   {"event":"echo","ok":true}                            from the peer that began
 *   {"event":"failed","reason":"..."}
 *   {"event":"pipes","count":1}                           when it ends, with --cross
 * An array `report` in any event tells of the peer's attempts; unknown events are passed over.
 */
#ifndef NATSIM_COURSE_H
#define NATSIM_COURSE_H

#include "natsim/results.h"

enum sim_state {
  SIM_STARTING,   /* until both are ready */
  SIM_CONNECTING, /* the word is given, until a is connected */
  SIM_ECHOING,    /* until the bytes came back to a */
  SIM_ENDING,     /* decided; what the peers still report is collected */
};

/* Time limits. A peer keeps its own time while connecting; the margin is for a peer that hangs. */
enum { SIM_READY_LIMIT_MS = 30000, SIM_MARGIN_MS = 5000, SIM_ECHO_LIMIT_MS = 10000 };

typedef struct sim_course_options {
  bool by_name; /* a is told b's name instead of its address */
  bool cross;   /* b connects to a too; both must come to the same pipe */
} sim_course_options;

typedef struct sim_course {
  enum sim_state state;
  sim_course_options how;
  unsigned timeout_ms;
  double deadline_ms; /* of the present state */
  double go_ms;       /* when the word was given */
  bool ready[SIM_SIDES];
  bool echoed[SIM_SIDES];
  json_t *address[SIM_SIDES]; /* what the other side is told; owned */
  sim_result result;
} sim_course;

/* Times are milliseconds of any steady clock. Free with sim_course_free, which leaves the result
 * to its own free. */
void sim_course_init(sim_course *course, sim_course_options how, unsigned timeout_s, double now_ms);
void sim_course_free(sim_course *course);

/* A line that a side printed. Malformed ones end the trial as an error. */
void sim_course_line(sim_course *course, int side, const char *line, double now_ms);
/* A side ended before it was told to; `how` is as "exit status 1", `last_words` may be empty. */
void sim_course_ended(sim_course *course, int side, const char *how, const char *last_words);
/* The time now: past the deadline the trial is over. */
void sim_course_time(sim_course *course, double now_ms);
/* The laboratory itself failed: the trial ends as an error with this reason. */
void sim_course_broken(sim_course *course, const char *reason);

/* The line that gives `side` the word (it ends with a newline), allocated, or NULL when out of
 * memory. From SIM_CONNECTING on. */
char *sim_course_word(const sim_course *course, int side);

#endif
