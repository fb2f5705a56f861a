#include "natsim/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* Measured (natsim bench labs; a matrix of eight jobs), and half as much again. */
const sim_need sim_need_lab = {.namespaces = 8, .descriptors = 40, .mebibytes = 8};
const sim_need sim_need_nat = {.namespaces = 8, .mebibytes = 8};
const sim_need sim_need_job = {.namespaces = 12, .mebibytes = 96};

/* Files that natsim has open beside its labs'; netns keeps its own above 1100. */
enum { OTHER_DESCRIPTORS = 1200 };

/* What each process has to be allowed: the prober keeps up to 512 sockets (SIM_BENCH_FDS), a server
 * one for each peer and relay. With fewer a NAT looks as if it dropped what no socket sent. */
enum { PROCESS_DESCRIPTORS = 640 };

/* The number in a file of one number, UINT64_MAX if there is none ("max"). */
static uint64_t read_number(const char *path) {
  FILE *in = fopen(path, "re");
  uint64_t value;
  if (!in)
    return UINT64_MAX;
  if (fscanf(in, "%" SCNu64, &value) != 1)
    value = UINT64_MAX;
  fclose(in);
  return value;
}

static uint64_t read_available_kib(void) {
  FILE *in = fopen("/proc/meminfo", "re");
  uint64_t kib = UINT64_MAX;
  char line[128];
  while (in && kib == UINT64_MAX && fgets(line, sizeof line, in))
    if (sscanf(line, "MemAvailable: %" SCNu64, &kib) != 1)
      kib = UINT64_MAX;
  if (in)
    fclose(in);
  return kib;
}

/* What the control group leaves, as a container sees it. */
static uint64_t read_group_bytes(void) {
  uint64_t most = read_number("/sys/fs/cgroup/memory.max");
  uint64_t used = read_number("/sys/fs/cgroup/memory.current");
  if (most == UINT64_MAX || used == UINT64_MAX)
    return UINT64_MAX;
  return most > used ? most - used : 0;
}

void sim_room_read(sim_room *room) {
  struct rlimit files;
  bool known = !getrlimit(RLIMIT_NOFILE, &files) && files.rlim_max != RLIM_INFINITY;
  uint64_t kib = read_available_kib(), bytes = read_group_bytes();
  *room = (sim_room){.namespaces = read_number("/proc/sys/user/max_net_namespaces"),
                     .descriptors = known ? files.rlim_max : UINT64_MAX,
                     .mebibytes = kib == UINT64_MAX ? kib : kib / 1024};
  if (bytes != UINT64_MAX && bytes / 1048576 < room->mebibytes)
    room->mebibytes = bytes / 1048576;
}

int sim_room_check(const sim_room *room, const sim_need *need, unsigned labs, const char *option,
                   ns_error *error) {
  uint64_t files =
      room->descriptors > OTHER_DESCRIPTORS ? room->descriptors - OTHER_DESCRIPTORS : 0;
  const struct {
    uint64_t each, have;
    const char *what, *cure;
  } kinds[] = {
      {need->namespaces, room->namespaces, "network namespaces",
       "raise user.max_net_namespaces with sysctl"},
      {need->descriptors, files, "open files", "raise the limit of open files (ulimit -Hn)"},
      {need->mebibytes, room->mebibytes, "MiB of memory", "free some"},
  };
  if (room->descriptors < PROCESS_DESCRIPTORS)
    return sim_fail(error, -1,
                    "a program of the lab may need %d open files and there are %" PRIu64 ": %s",
                    PROCESS_DESCRIPTORS, room->descriptors, kinds[1].cure);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    uint64_t wanted = kinds[i].each * labs;
    if (wanted > kinds[i].have)
      return sim_fail(error, -1,
                      "%u labs take %" PRIu64 " %s and there are %" PRIu64 ", enough for %" PRIu64
                      ": %s, or ask for fewer with %s",
                      labs, wanted, kinds[i].what, kinds[i].have, kinds[i].have / kinds[i].each,
                      kinds[i].cure, option);
  }
  return 0;
}
