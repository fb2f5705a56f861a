#include "natsim/evidence.h"

#include "natsim/files.h"
#include "natsim/neighbours.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- captures -------------------------------------------------------------------------------- */

/* A ring is set up and taken down only when no processor can still be using it: that the kernel
 * takes a while to know. So all are set up side by side, and nobody waits for their end. */
typedef struct opening {
  pthread_t thread;
  const ns_host *host;
  ns_capture *capture;
  ns_error error;
  int status;
} opening;

static void *open_one(void *arg) {
  opening *o = arg;
  o->status = ns_capture_open(&o->capture, o->host, false, &o->error);
  return NULL;
}

static void *close_one(void *capture) {
  ns_capture_close(capture);
  return NULL;
}

/* Threads take no signals: they belong to the program. */
static int start_thread(pthread_t *thread, void *(*run)(void *), void *arg) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  int err = pthread_create(thread, NULL, run, arg);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return -err;
}

static int open_all(opening openings[], int count, ns_error *error) {
  int status = 0;
  for (int i = 0; i < count; i++)
    if (start_thread(&openings[i].thread, open_one, &openings[i]))
      openings[i].thread = 0, open_one(&openings[i]);
  for (int i = 0; i < count; i++) {
    if (openings[i].thread)
      pthread_join(openings[i].thread, NULL);
    if (openings[i].status && !status) {
      status = openings[i].status;
      if (error)
        *error = openings[i].error;
    }
  }
  return status;
}

static long length_of(const char *path) {
  struct stat info;
  return stat(path, &info) ? 0 : (long)info.st_size;
}

int sim_evidence_begin(sim_evidence *evidence, const sim_world *world, const sim_servers *servers,
                       ns_error *error) {
  *evidence = (sim_evidence){.count = 0};
  const sim_topology *t = &world->built.topology;
  opening openings[SIM_NODES_MAX] = {{.host = NULL}};
  for (int n = 0; n < t->node_count; n++) {
    if (sim_is_neighbour(&t->nodes[n]))
      continue;
    openings[evidence->count].host = &world->built.hosts[n];
    snprintf(evidence->names[evidence->count++], sizeof evidence->names[0], "%s", t->nodes[n].name);
  }
  for (size_t i = 0; i < servers->count; i++)
    evidence->log_begins[i] = length_of(servers->all[i].log_path);
  int status = open_all(openings, evidence->count, error);
  for (int i = 0; i < evidence->count; i++)
    evidence->captures[i] = openings[i].capture;
  return status;
}

void sim_evidence_end(sim_evidence *evidence) {
  for (int i = 0; i < evidence->count; i++) {
    pthread_t thread;
    if (evidence->captures[i] && !start_thread(&thread, close_one, evidence->captures[i]))
      pthread_detach(thread);
    else
      ns_capture_close(evidence->captures[i]);
  }
  evidence->count = 0;
}

/* ---- the folder ------------------------------------------------------------------------------ */

/* Profiles have no slash in their names; two long names may be longer together than a file's. */
void sim_evidence_folder(const sim_trial *trial, char out[SIM_FOLDER_STRLEN]) {
  enum { SHOWN = 100 };
  const char *a = trial->a->name, *b = trial->b->name;
  int len =
      snprintf(out, SIM_FOLDER_STRLEN, "trials/%u-%.*s-%.*s", trial->trial, SHOWN, a, SHOWN, b);
  if (strlen(a) > SHOWN || strlen(b) > SHOWN)
    snprintf(out + len, SIM_FOLDER_STRLEN - (size_t)len, "-%llx", (unsigned long long)trial->seed);
}

static int make_folder(int out_fd, const char *folder) {
  if ((mkdirat(out_fd, "trials", 0777) < 0 && errno != EEXIST) ||
      (mkdirat(out_fd, folder, 0777) < 0 && errno != EEXIST))
    return -errno;
  int fd = openat(out_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

/* A new file NAME.SUFFIX in the folder. */
static FILE *create(int folder_fd, const char *name, const char *suffix) {
  char file[64];
  snprintf(file, sizeof file, "%s.%s", name, suffix);
  int fd = openat(folder_fd, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
  if (fd >= 0 && !out)
    close(fd);
  return out;
}

static bool keep_capture(const sim_evidence *evidence, int i, int folder_fd) {
  FILE *out = create(folder_fd, evidence->names[i], "pcap");
  if (!out)
    return false;
  bool written = ns_capture_write(evidence->captures[i], out) >= 0;
  return !fclose(out) && written;
}

/* The log from `begin` on, of more than SIM_LOG_KEPT the end. One that cannot be read is one that
 * nobody wrote. */
static bool keep_log(const char *path, long begin, int folder_fd, const char *name) {
  FILE *in = fopen(path, "re");
  if (!in)
    return true;
  long end = length_of(path);
  fseek(in, end - begin > SIM_LOG_KEPT ? end - SIM_LOG_KEPT : begin, SEEK_SET);
  FILE *out = create(folder_fd, name, "log");
  bool ok = out != NULL;
  char part[4096];
  for (size_t got, left = SIM_LOG_KEPT; ok && left; left -= got) {
    got = fread(part, 1, left < sizeof part ? left : sizeof part, in);
    if (!got)
      break;
    ok = fwrite(part, 1, got, out) == got;
  }
  fclose(in);
  return out && !fclose(out) && ok;
}

int sim_evidence_keep(sim_evidence *evidence, int out_fd, const char *folder,
                      const sim_peer peers[SIM_SIDES], const sim_servers *servers,
                      ns_error *error) {
  int folder_fd = make_folder(out_fd, folder);
  if (folder_fd < 0)
    return sim_fail(error, folder_fd, "cannot make %s in the --out folder: %s", folder,
                    strerror(-folder_fd));
  bool ok = true;
  for (int i = 0; i < evidence->count; i++)
    ns_capture_stop(evidence->captures[i]);
  for (int i = 0; i < evidence->count; i++)
    ok &= keep_capture(evidence, i, folder_fd);
  for (int side = 0; side < SIM_SIDES; side++)
    ok &= keep_log(peers[side].log_path, 0, folder_fd, side == SIM_A ? "a" : "b");
  for (size_t i = 0; i < servers->count; i++)
    ok &= keep_log(servers->all[i].log_path, evidence->log_begins[i], folder_fd,
                   servers->all[i].name);
  close(folder_fd);
  return ok ? 0 : sim_fail(error, -EIO, "cannot write %s in the --out folder", folder);
}
