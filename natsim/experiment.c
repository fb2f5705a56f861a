#include "natsim/experiment.h"

#include "natsim/files.h"
#include "natsim/limits.h"
#include "natsim/supervisor.h"
#include "natsim/techniques.h"
#include "natsim_commit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

static int complain(int status, const ns_error *error) {
  fprintf(stderr, "natsim: %s\n", error->text);
  return status;
}

/* ---- the folder of results ------------------------------------------------------------------- */

/* The rows or columns of the plan, in its order. */
static json_t *profile_names(const sim_profile *profiles, size_t count) {
  json_t *names = json_array();
  for (size_t i = 0; i < count; i++)
    json_array_append_new(names, json_string(profiles[i].name));
  return names;
}

/* All pairs of the plan as [a, b], in its order, whatever the shard. */
static json_t *pair_names(const sim_plan *plan) {
  json_t *pairs = json_array();
  for (size_t i = 0; i < plan->a_count * plan->b_count; i++) {
    const sim_profile *a = &plan->a_profiles[i / plan->b_count];
    const sim_profile *b = &plan->b_profiles[i % plan->b_count];
    if (sim_plan_has(plan, a, b))
      json_array_append_new(pairs, json_pack("[s, s]", a->name, b->name));
  }
  return pairs;
}

static json_t *describe_run(enum sim_command command, const sim_options *options,
                            const sim_plan *plan) {
  struct utsname system;
  uname(&system);
  char started[32];
  time_t now = time(NULL);
  struct tm utc;
  strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o}", "version",
                   WARPGATE_VERSION, "commit", NATSIM_COMMIT, "kernel", system.release, "command",
                   command == SIM_RUN ? "run" : "matrix", "started", started, "seed",
                   (json_int_t)options->seed, "trials", (json_int_t)plan->count, "a",
                   profile_names(plan->a_profiles, plan->a_count), "b",
                   profile_names(plan->b_profiles, plan->b_count), "pairs", pair_names(plan),
                   "options", sim_options_json(command, options));
}

static int join(char out[PATH_MAX], const char *folder, const char *name, ns_error *error) {
  if (snprintf(out, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
    return sim_fail(error, -1, "--out is too long");
  return 0;
}

/* Makes the folder with run.json and an empty trials.jsonl; results of an earlier run are replaced.
 */
static int open_results(enum sim_command command, const sim_options *options, const sim_plan *plan,
                        FILE **trials_out, ns_error *error) {
  char path[PATH_MAX];
  if (sim_make_folder(options->out, error) || join(path, options->out, "run.json", error))
    return -1;
  json_t *run = describe_run(command, options, plan);
  int failed = !run || json_dump_file(run, path, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
  json_decref(run);
  if (failed)
    return sim_fail(error, -1, "cannot write %s", path);
  if (join(path, options->out, "trials.jsonl", error))
    return -1;
  *trials_out = fopen(path, "we");
  return *trials_out ? 0 : sim_fail(error, -1, "cannot write %s: %s", path, strerror(errno));
}

/* ---- the run --------------------------------------------------------------------------------- */

static int run_lab(sim_supervision *setup) {
  ns_error error;
  int status = ns_sandbox_run(sim_supervise, setup, &error);
  return status < 0 ? complain(SIM_EXIT_NO_LAB, &error) : status;
}

static int run_plan(enum sim_command command, const sim_options *options, const sim_plan *plan,
                    const sim_expectations *expectations) {
  ns_error error;
  static sim_programs programs;
  if (sim_programs_find(options, &programs, &error))
    return complain(SIM_EXIT_NO_LAB, &error);
  if (sim_techniques_check(options, &programs, &error))
    return complain(SIM_EXIT_USAGE, &error);
  sim_supervision setup = {.work = {options, plan, &programs, -1}, .expectations = expectations};
  sim_room room;
  sim_room_read(&room);
  if (sim_room_check(&room, &sim_need_job, sim_jobs(&setup.work), "--jobs", &error))
    return complain(SIM_EXIT_NO_LAB, &error);
  if (options->out && open_results(command, options, plan, &setup.trials_out, &error))
    return complain(SIM_EXIT_NO_LAB, &error);
  /* Before the sandbox: what the host has under /run cannot be opened inside. */
  if (options->out)
    setup.work.out_fd = open(options->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int status = run_lab(&setup);
  if (setup.trials_out)
    fclose(setup.trials_out);
  return status;
}

int sim_experiment(enum sim_command command, const sim_options *options) {
  ns_error error;
  sim_plan plan;
  sim_expectations expectations = {.count = 0};
  if (sim_plan_make(options, &plan, &error))
    return complain(SIM_EXIT_USAGE, &error);
  if (options->expect && sim_expect_load(options->expect, &expectations, &error)) {
    sim_plan_free(&plan);
    return complain(SIM_EXIT_USAGE, &error);
  }
  int status = run_plan(command, options, &plan, options->expect ? &expectations : NULL);
  sim_expect_free(&expectations);
  sim_plan_free(&plan);
  return status;
}
