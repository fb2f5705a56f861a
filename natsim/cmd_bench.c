#include "natsim/commands.h"

#include "natsim/limits.h"
#include "natsim/measure.h"

#include <stdio.h>
#include <string.h>

static void help(void) {
  fputs(
      "natsim bench labs|link [options]\n"
      "Measures the laboratory itself, and prints what it found.\n"
      "  labs  how long a two-NAT lab takes to build, and many at once; each is proven by packets\n"
      "  link  one-way delays asked for and got; loss, duplicates, reordering, jitter, rate\n\n",
      stdout);
  sim_options_help(SIM_BENCH);
  printf("\nExamples:\n"
         "  natsim bench labs                                  two symmetric NATs, 200 labs\n"
         "  natsim bench labs --a cgnat --b upnp --labs 50\n"
         "  natsim bench link\n"
         "  natsim bench link --link netem\n\n"
         "Exit status: 1 a goal is missed (a lab in %.0f ms, a median delay within %.1f ms),\n"
         "3 the laboratory could not be built.\n",
         SIM_GOAL_BUILD_MS, SIM_GOAL_DELAY_MS);
}

static int complain(int status, const ns_error *error) {
  fprintf(stderr, "natsim bench: %s\n", error->text);
  return status;
}

/* Two symmetric NATs unless told otherwise: the profile with the most rules. */
static int read_profiles(sim_measure *measure, ns_error *error) {
  const sim_options *o = measure->options;
  int status = sim_profile_parse(o->a ? o->a : "symmetric", NULL, &measure->a, error);
  return status ? status : sim_profile_parse(o->b ? o->b : "symmetric", NULL, &measure->b, error);
}

static int run(int (*lab)(void *arg), sim_measure *measure) {
  ns_error error;
  int status = ns_sandbox_run(lab, measure, &error);
  return status < 0 ? complain(SIM_EXIT_NO_LAB, &error) : status;
}

int sim_cmd_bench(int argc, char **argv) {
  sim_options options;
  ns_error error;
  const char *what = argc > 0 ? argv[0] : "";
  bool labs = !strcmp(what, "labs"), named = labs || !strcmp(what, "link");
  if (sim_options_parse(SIM_BENCH, argc - named, argv + named, &options, &error))
    return complain(SIM_EXIT_USAGE, &error);
  if (options.help) {
    help();
    return SIM_EXIT_OK;
  }
  if (!named)
    return complain(SIM_EXIT_USAGE, &(ns_error){"which? labs or link: see natsim bench --help"});
  sim_measure measure = {.options = &options};
  if (read_profiles(&measure, &error))
    return complain(SIM_EXIT_USAGE, &error);
  sim_room room;
  sim_room_read(&room);
  if (labs && sim_room_check(&room, &sim_need_lab, options.labs, "--labs", &error))
    return complain(SIM_EXIT_NO_LAB, &error);
  return run(labs ? sim_measure_labs : sim_measure_link, &measure);
}
