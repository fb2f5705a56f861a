#include "natsim/plan.h"

#include "natsim/deed.h"
#include "natsim/seed.h"

#include <stdlib.h>
#include <string.h>

static const char default_profiles[] = "open,full-cone,restricted,port-restricted,symmetric";
static const char grid_profiles[] = "ei-ei,ei-ad,ei-apd,ad-ei,ad-ad,ad-apd,apd-ei,apd-ad,apd-apd";

/* A list of profiles is separated by commas, and so are the axes of a spelled-out NAT: an item
 * with `=` right after another with `=` belongs to the same NAT, unless the axis was given already
 * (`map=ei,map=ad` are two NATs). */
static bool continues(const char *nat, size_t nat_len, const char *item, size_t item_len) {
  const char *equals = memchr(item, '=', item_len);
  if (!equals || !memchr(nat, '=', nat_len))
    return false;
  size_t key_len = (size_t)(equals - item) + 1;
  for (const char *p = nat; p + key_len <= nat + nat_len; p++)
    if ((p == nat || p[-1] == ',') && !strncmp(p, item, key_len))
      return false;
  return true;
}

/* The length of the first profile of a list. */
static size_t first_profile(const char *list) {
  size_t len = strcspn(list, ",");
  while (list[len]) {
    size_t item_len = strcspn(list + len + 1, ",");
    if (!continues(list, len, list + len + 1, item_len))
      break;
    len += 1 + item_len;
  }
  return len;
}

static int parse_list(const char *list, const sim_profile_changes *changes, sim_profile **out,
                      size_t *count, ns_error *error) {
  size_t most = 1;
  for (const char *p = list; *p; p++)
    most += *p == ',';
  *out = calloc(most, sizeof **out);
  if (!*out)
    return sim_fail(error, -1, "out of memory");
  for (const char *p = list;;) {
    size_t len = first_profile(p);
    char *text = strndup(p, len);
    int status = text ? sim_profile_parse(text, changes, &(*out)[(*count)++], error)
                      : sim_fail(error, -1, "out of memory");
    free(text);
    if (status || !p[len])
      return status;
    p += len + 1;
  }
}

/* What --alloc and --nat say must make sense also where no profile takes it. */
static int check_changes(const sim_profile_changes *changes, ns_error *error) {
  sim_profile scratch;
  return sim_profile_parse("apd-apd", changes, &scratch, error);
}

static int parse_profiles(const sim_options *options, sim_plan *plan, ns_error *error) {
  sim_profile_changes changes = {.grid_alloc = options->alloc, .nat = options->nat};
  if (check_changes(&changes, error))
    return -1;
  if (options->a) {
    plan->a_profiles = calloc(1, sizeof *plan->a_profiles);
    plan->b_profiles = calloc(1, sizeof *plan->b_profiles);
    if (!plan->a_profiles || !plan->b_profiles)
      return sim_fail(error, -1, "out of memory");
    plan->a_count = plan->b_count = 1;
    int status = sim_profile_parse(options->a, &changes, plan->a_profiles, error);
    return status ? status : sim_profile_parse(options->b, &changes, plan->b_profiles, error);
  }
  const char *list = options->grid       ? grid_profiles
                     : options->profiles ? options->profiles
                                         : default_profiles;
  int status = parse_list(list, &changes, &plan->a_profiles, &plan->a_count, error);
  return status ? status : parse_list(list, &changes, &plan->b_profiles, &plan->b_count, error);
}

bool sim_plan_has(const sim_plan *plan, const sim_profile *a, const sim_profile *b) {
  return !sim_place_shared(plan->place) || !strcmp(a->name, b->name);
}

/* The topology of a pair can be, and what is to happen can happen in it. */
static int check_pair(const sim_options *options, const sim_plan *plan, const sim_profile *a,
                      const sim_profile *b, ns_error *error) {
  sim_topology topology;
  int status = sim_topology_make(plan->place, a, b, &topology, error);
  for (unsigned i = 0; !status && i < options->event_count; i++)
    status = sim_deed_check(&options->events[i], &topology, error);
  return status;
}

/* A place that cannot be is named before anything runs. In a matrix the pairs that a place has not
 * are left out; a pair that was asked for is told. */
static int load_place(const sim_options *options, sim_plan *plan, ns_error *error) {
  plan->place = calloc(1, sizeof *plan->place);
  if (!plan->place)
    return sim_fail(error, -1, "out of memory");
  int status = sim_place_load(options->place, plan->place, error);
  for (size_t pair = 0; !status && pair < plan->a_count * plan->b_count; pair++) {
    const sim_profile *a = &plan->a_profiles[pair / plan->b_count];
    const sim_profile *b = &plan->b_profiles[pair % plan->b_count];
    if (options->a || sim_plan_has(plan, a, b))
      status = check_pair(options, plan, a, b, error);
  }
  return status;
}

static int fill(const sim_options *options, sim_plan *plan, ns_error *error) {
  size_t pairs = plan->a_count * plan->b_count;
  unsigned first = options->only ? options->only : 1;
  unsigned last = options->only ? options->only : options->trials;
  plan->trials = calloc(pairs * (last - first + 1), sizeof *plan->trials);
  if (!plan->trials)
    return sim_fail(error, -1, "out of memory");
  size_t index = 0;
  for (unsigned trial = first; trial <= last; trial++)
    for (size_t pair = 0; pair < pairs; pair++) {
      const sim_profile *a = &plan->a_profiles[pair / plan->b_count];
      const sim_profile *b = &plan->b_profiles[pair % plan->b_count];
      if (!sim_plan_has(plan, a, b) || index++ % options->shards != options->shard - 1)
        continue;
      plan->trials[plan->count++] = (sim_trial){
          .a = a,
          .b = b,
          .place = plan->place,
          .trial = trial,
          .seed = sim_trial_seed(options->seed, a->name, b->name, options->plugin, trial)};
    }
  return 0;
}

int sim_plan_make(const sim_options *options, sim_plan *out, ns_error *error) {
  *out = (sim_plan){.count = 0};
  int status = parse_profiles(options, out, error);
  if (!status)
    status = load_place(options, out, error);
  if (!status)
    status = fill(options, out, error);
  if (status)
    sim_plan_free(out);
  return status;
}

void sim_plan_free(sim_plan *plan) {
  free(plan->a_profiles);
  free(plan->b_profiles);
  free(plan->trials);
  free(plan->place);
  *plan = (sim_plan){.count = 0};
}
