#include "natsim/lab.h"

#include "natsim/files.h"
#include "natsim/guest.h"
#include "natsim/neighbours.h"
#include "natsim/picture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* The private tmpfs of the sandbox is on /run. */
#define FOLDER "/run/natsim/lab"

/* What is written of one host's packets. */
typedef struct film {
  ns_capture *capture; /* NULL: no more */
  FILE *out;
} film;

enum { FILMS_MAX = SIM_NODES_MAX + 1 };

typedef struct lab {
  const sim_lab_setup *setup;
  sim_world world;
  sim_servers servers;
  sim_site sites[SIM_SIDES];
  sim_told told[SIM_SIDES];
  sim_neighbours *neighbours;
  sim_inn inn;
  sim_guest guests[SIM_GUESTS_MAX];
  film films[FILMS_MAX];
  int film_count;
  int signal_fd;
} lab;

/* ---- packets --------------------------------------------------------------------------------- */

static int begin_film(lab *l, const ns_host *host, const char *name, ns_error *error) {
  char file[64];
  snprintf(file, sizeof file, "%s.pcap", name);
  film *f = &l->films[l->film_count++];
  int fd = openat(l->setup->pcap_fd, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  f->out = fd < 0 ? NULL : fdopen(fd, "w");
  if (!f->out)
    return sim_fail(error, -errno, "cannot write %s in the --pcap folder: %s", file,
                    strerror(errno));
  return ns_capture_open(&f->capture, host, true, error);
}

static int begin_films(lab *l, ns_error *error) {
  if (l->setup->pcap_fd < 0)
    return 0;
  const sim_built *built = &l->world.built;
  int status = begin_film(l, &l->world.server, "server", error);
  for (int n = 0; !status && n < built->topology.node_count; n++)
    status = begin_film(l, &built->hosts[n], built->topology.nodes[n].name, error);
  return status;
}

static void end_film(film *f) {
  if (f->capture) {
    ns_capture_stop(f->capture);
    ns_capture_write(f->capture, f->out);
    ns_capture_close(f->capture);
  }
  if (f->out)
    fclose(f->out);
  *f = (film){.out = NULL};
}

/* Writes what came, so that it can be read while the laboratory stands. */
static void go_on(film *f) {
  long written = ns_capture_write(f->capture, f->out);
  if (written >= 0 && !fflush(f->out) && ftell(f->out) < SIM_LAB_PCAP_BYTES)
    return;
  fprintf(stderr, "natsim lab: a file of packets %s: it ends here\n",
          written < 0 ? "cannot be written" : "has grown to 256 MiB");
  end_film(f);
}

/* ---- building it ----------------------------------------------------------------------------- */

static int catch_signals(void) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

/* Guests find our own programs: they lie beside this one. */
static void extend_path(void) {
  char self[PATH_MAX], all[2 * PATH_MAX];
  const char *path = getenv("PATH");
  ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
  if (len <= 0)
    return;
  self[len] = 0;
  *strrchr(self, '/') = 0;
  if (snprintf(all, sizeof all, "%s:%s", self, path ? path : "/usr/bin:/bin") < (int)sizeof all)
    setenv("PATH", all, 1);
}

static int build(lab *l, ns_error *error) {
  const sim_lab_setup *s = l->setup;
  int status = sim_make_folder(FOLDER "/servers", error);
  if (!status)
    status = sim_world_open(&l->world, s->options, error);
  if (!status)
    status = sim_servers_start(&l->servers, &l->world.server, s->options, s->programs,
                               FOLDER "/servers", error);
  if (!status)
    status = sim_sites_open(&l->world, s->trial, l->sites, error);
  if (!status)
    status = begin_films(l, error);
  if (!status && l->world.neighbours)
    status = sim_neighbours_open(&l->neighbours, &l->world, s->options, s->trial->seed, error);
  if (!status && l->neighbours)
    status = sim_neighbours_start(l->neighbours, error);
  for (int side = 0; !status && side < SIM_SIDES; side++)
    sim_servers_tell(&l->servers, &l->world.built.topology, side, &l->told[side]);
  l->inn = (sim_inn){&l->world, l->told, FOLDER};
  return status;
}

static void take_down(lab *l) {
  for (int i = 0; i < SIM_GUESTS_MAX; i++)
    sim_guest_leave(&l->guests[i]);
  sim_neighbours_close(l->neighbours, NULL);
  for (int i = 0; i < l->film_count; i++)
    end_film(&l->films[i]);
  sim_sites_close(l->sites);
  sim_servers_stop(&l->servers);
  sim_world_close(&l->world);
}

/* ---- standing -------------------------------------------------------------------------------- */

/* Whether the terminal can show more than ASCII, by the rules of setlocale. */
static bool is_utf8(void) {
  static const char *const variables[] = {"LC_ALL", "LC_CTYPE", "LANG"};
  for (size_t i = 0; i < 3; i++) {
    const char *value = getenv(variables[i]);
    if (value && *value)
      return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
  }
  return false;
}

static void show(const lab *l) {
  const sim_lab_setup *s = l->setup;
  sim_picture picture = {.name = s->options->name,
                         .options = s->options,
                         .programs = s->programs,
                         .topology = &l->world.built.topology,
                         .told = l->told,
                         .ascii = !is_utf8()};
  sim_picture_draw(&picture, stdout);
  sim_picture_commands(&picture, stdout);
  fflush(stdout);
}

static void open_door(lab *l) {
  int fd = accept4(l->setup->door_fd, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0)
    return;
  for (int i = 0; i < SIM_GUESTS_MAX; i++)
    if (l->guests[i].fd <= 0) {
      sim_guest_enter(&l->guests[i], fd, &l->inn);
      return;
    }
  close(fd);
}

enum { SIGNAL, DOOR, FIRST_GUEST, FIRST_FILM = FIRST_GUEST + 2 * SIM_GUESTS_MAX };

static void fill_waits(const lab *l, struct pollfd waits[FIRST_FILM + FILMS_MAX]) {
  waits[SIGNAL] = (struct pollfd){.fd = l->signal_fd, .events = POLLIN};
  waits[DOOR] = (struct pollfd){.fd = l->setup->door_fd, .events = POLLIN};
  for (int i = 0; i < SIM_GUESTS_MAX; i++) {
    const sim_guest *guest = &l->guests[i];
    struct pollfd *wait = &waits[FIRST_GUEST + 2 * i];
    wait[0] = (struct pollfd){.fd = guest->fd > 0 ? guest->fd : -1, .events = POLLIN};
    wait[1] = (struct pollfd){.fd = guest->fd > 0 ? guest->pidfd : -1, .events = POLLIN};
  }
  for (int i = 0; i < FILMS_MAX; i++) {
    const film *f = &l->films[i];
    waits[FIRST_FILM + i] =
        (struct pollfd){.fd = f->capture ? ns_capture_fd(f->capture) : -1, .events = POLLIN};
  }
}

static void stand(lab *l) {
  struct pollfd waits[FIRST_FILM + FILMS_MAX];
  for (;;) {
    fill_waits(l, waits);
    if (poll(waits, FIRST_FILM + FILMS_MAX, -1) < 0)
      continue;
    if (waits[SIGNAL].revents)
      return;
    for (int i = 0; i < SIM_GUESTS_MAX; i++) {
      const struct pollfd *wait = &waits[FIRST_GUEST + 2 * i];
      if (wait[1].revents)
        sim_guest_leave(&l->guests[i]);
      else if (wait[0].revents)
        sim_guest_hear(&l->guests[i]);
    }
    for (int i = 0; i < l->film_count; i++)
      if (waits[FIRST_FILM + i].revents)
        go_on(&l->films[i]);
    if (waits[DOOR].revents)
      open_door(l);
  }
}

int sim_lab_stand(void *arg) {
  ns_error error = {.text = ""};
  lab *l = calloc(1, sizeof *l);
  if (!l)
    return SIM_EXIT_NO_LAB;
  l->setup = arg;
  l->signal_fd = catch_signals();
  extend_path();
  int status = build(l, &error);
  if (status) {
    fprintf(stderr, "natsim lab: %s\n", error.text);
  } else {
    show(l);
    stand(l);
  }
  take_down(l);
  free(l);
  return status ? SIM_EXIT_NO_LAB : SIM_EXIT_OK;
}
