/* One request of the caller, to all servers at once. */
#include "nickname/internal.h"

#include <stdlib.h>
#include <string.h>

/* What is told when servers say different things, the first of these that any of them said: a
 * server that has an answer counts more than one that has none or a wrong one. */
static const int ranking[] = {
    WARP_OK,      WARP_NAME_TAKEN, WARP_QUOTA,         WARP_NOT_FOUND, WARP_REPLAY,
    WARP_EXPIRED, WARP_UNTRUSTED,  WARP_BAD_SIGNATURE, WARP_MALFORMED, WARP_VERSION,
    WARP_IO,      WARP_LIMIT,      WARP_TIMEOUT,       WARP_NO_SERVER, WARP_CANCELED,
};
enum { RANKS = sizeof ranking / sizeof ranking[0] };

static size_t rank_of(int status) {
  for (size_t i = 0; i < RANKS; i++) {
    if (ranking[i] == status) {
      return i;
    }
  }
  return RANKS;
}

/* ---- where a job stands ---------------------------------------------------------------------- */

typedef struct outcome {
  int status;          /* the best so far */
  size_t pending;      /* exchanges under way */
  size_t awaited;      /* of these, the ones that are worth waiting for */
  size_t good;         /* exchanges that ended with WARP_OK */
  bool silent;         /* one could not be heard */
  uint32_t lifetime_s; /* the shortest that was granted */
} outcome;

static bool is_silence(int status) {
  return status == WARP_TIMEOUT || status == WARP_NO_SERVER || status == WARP_LIMIT ||
         status == WARP_IO;
}

static outcome outcome_of(const wg_name_job *job) {
  outcome sum = {.status = WARP_NO_SERVER};
  bool any = false;
  for (size_t i = 0; i < job->exchange_count; i++) {
    const wg_exchange *exchange = &job->exchanges[i];
    if (exchange->state != WG_EXCHANGE_DONE) {
      sum.pending++;
      sum.awaited += !exchange->server->silent;
      continue;
    }
    if (!any || rank_of(exchange->status) < rank_of(sum.status)) {
      sum.status = exchange->status;
      any = true;
    }
    sum.silent |= is_silence(exchange->status);
    if (exchange->status == WARP_OK) {
      bool shorter = sum.good == 0 || exchange->lifetime_s < sum.lifetime_s;
      sum.lifetime_s = shorter ? exchange->lifetime_s : sum.lifetime_s;
      sum.good++;
    }
  }
  return sum;
}

/* A registration stands as soon as one server has it. A look-up waits a little for the others: a
 * server that lies may be the quickest. */
static bool answers(const wg_name_job *job, const outcome *sum) {
  if (sum->pending == 0 || job->op == WG_NAME_DELETE) {
    return sum->pending == 0;
  }
  return sum->good > 0 && (job->op == WG_NAME_REGISTER || sum->awaited == 0 || job->grace_over);
}

/* Every server shall hear of a registration or a deletion. */
static bool over(const wg_name_job *job, const outcome *sum) {
  return sum->pending == 0 || (job->op == WG_NAME_LOOKUP && answers(job, sum));
}

static bool has_record(const wg_exchange *exchange) {
  return exchange->state == WG_EXCHANGE_DONE && exchange->status == WARP_OK;
}

static size_t count_key(const wg_name_job *job, const warp_key *key) {
  size_t count = 0;
  for (size_t i = 0; i < job->exchange_count; i++) {
    const wg_exchange *exchange = &job->exchanges[i];
    count += has_record(exchange) && wg_key_equal(&exchange->key, key);
  }
  return count;
}

/* Which of the records that were found to believe: the newest one of the key that most servers
 * name; NULL when two keys have as many. So one server alone can neither hand the name to somebody
 * else nor bring back an address that its owner has left. */
static const wg_exchange *choose(const wg_name_job *job) {
  const wg_exchange *best = NULL;
  size_t best_count = 0;
  bool tied = false;
  for (size_t i = 0; i < job->exchange_count; i++) {
    const wg_exchange *exchange = &job->exchanges[i];
    size_t count = has_record(exchange) ? count_key(job, &exchange->key) : 0;
    if (count == 0) {
      continue;
    }
    bool same = best != NULL && wg_key_equal(&best->key, &exchange->key);
    if (count > best_count || (same && exchange->sequence > best->sequence)) {
      tied = tied && same;
      best = exchange;
      best_count = count;
    } else if (count == best_count && !same) {
      tied = true;
    }
  }
  return tied ? NULL : best;
}

static void free_job(wg_name_job *job) {
  wg_env *env = job->names->env;
  for (size_t i = 0; i < job->exchange_count; i++) {
    wg_exchange_stop(&job->exchanges[i], WARP_CANCELED);
  }
  wg_timer_stop(env, &job->begin);
  wg_timer_stop(env, &job->deadline);
  wg_timer_stop(env, &job->grace);
  wg_list_remove(&job->link);
  job->names->job_count--;
  free(job);
}

/* What a look-up found, into `record`; returns its length, 0 with the reason in `*status`. */
static size_t take_chosen(const wg_name_job *job, int *status, uint8_t record[WARP_RECORD_MAX]) {
  if (job->op != WG_NAME_LOOKUP || *status != WARP_OK) {
    return 0;
  }
  const wg_exchange *chosen = choose(job);
  if (chosen == NULL) {
    *status = WARP_UNTRUSTED;
    return 0;
  }
  memcpy(record, chosen->record, chosen->record_len);
  return chosen->record_len;
}

static void on_grace(void *arg) {
  wg_name_job *job = arg;
  job->grace_over = true;
  for (size_t i = 0; i < job->exchange_count; i++) {
    wg_exchange *exchange = &job->exchanges[i];
    exchange->server->silent |= exchange->state != WG_EXCHANGE_DONE;
  }
  wg_job_progress(job);
}

void wg_job_progress(wg_name_job *job) {
  outcome sum = outcome_of(job);
  wg_names_cb cb = NULL;
  void *arg = job->arg;
  uint8_t record[WARP_RECORD_MAX];
  size_t len = 0;
  if (answers(job, &sum)) {
    cb = job->cb;
    job->cb = NULL;
    len = take_chosen(job, &sum.status, record);
  } else if (job->op == WG_NAME_LOOKUP && sum.good > 0 && !job->in_grace) {
    job->in_grace = true;
    wg_timer_start(job->names->env, &job->grace, WG_NAME_GRACE_MS * UINT64_C(1000), on_grace, job);
  }
  if (over(job, &sum)) {
    if (job->op == WG_NAME_REGISTER) {
      wg_keep_result(job->names, job->name, sum.status, sum.lifetime_s, sum.silent);
    }
    free_job(job);
  }
  if (cb != NULL) { /* last: it may close the client */
    cb(arg, sum.status, len > 0 ? record : NULL, len);
  }
}

/* ---- beginning and ending -------------------------------------------------------------------- */

void wg_job_cancel(wg_name_job *job) {
  wg_names_cb cb = job->cb;
  void *arg = job->arg;
  free_job(job);
  if (cb != NULL) {
    cb(arg, WARP_CANCELED, NULL, 0);
  }
}

static void on_deadline(void *arg) {
  wg_name_job *job = arg;
  for (size_t i = 0; i < job->exchange_count; i++) {
    wg_exchange *exchange = &job->exchanges[i];
    if (exchange->state != WG_EXCHANGE_DONE) {
      exchange->server->stale = exchange->server->silent = true;
      wg_exchange_stop(exchange, exchange->status);
    }
  }
  wg_job_progress(job);
}

/* From the loop, so that nothing ends from inside the call that began it. */
static void on_begin(void *arg) {
  wg_name_job *job = arg;
  wg_names *names = job->names;
  size_t count = job->exchange_count;
  wg_timer_start(names->env, &job->deadline, names->timeout_ms * UINT64_C(1000), on_deadline, job);
  if (count == 0) {
    wg_job_progress(job);
    return;
  }
  for (size_t i = 0; i < count; i++) {
    wg_exchange_start(&job->exchanges[i]); /* the last one, failing at once, frees the job */
  }
}

int wg_job_start(wg_names *names, uint8_t op, const char *name, const uint8_t *record, size_t len,
                 uint64_t sequence, wg_names_cb cb, void *arg) {
  if (names->closing) {
    return WARP_STATE;
  }
  if (names->job_count >= WG_NAME_REQUESTS) {
    return WARP_LIMIT;
  }
  wg_name_job *job = calloc(1, sizeof *job);
  if (job == NULL) {
    return WARP_NOMEM;
  }
  job->names = names;
  job->op = op;
  memcpy(job->name, name, strlen(name) + 1);
  if (record != NULL) {
    memcpy(job->record, record, len);
    job->record_len = len;
  }
  job->sequence = sequence;
  job->cb = cb;
  job->arg = arg;
  for (size_t i = 0; i < names->server_count; i++) {
    job->exchanges[i] = (wg_exchange){.job = job, .server = &names->servers[i]};
  }
  job->exchange_count = names->server_count;
  wg_list_push(&names->jobs, &job->link);
  names->job_count++;
  wg_timer_start(names->env, &job->begin, 0, on_begin, job);
  return WARP_OK;
}
