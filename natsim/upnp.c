#include "natsim/upnp.h"

#include "natsim/await.h"
#include "natsim/conf_templates.h"
#include "natsim/files.h"
#include "natsim/firewall.h"
#include "natsim/programs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { START_LIMIT_TRIES = 1200, TRY_MS = 50, STOP_GRACE_MS = 100 };

static int write_conf(const sim_upnp *upnp, const sim_node *node, const char *path,
                      ns_error *error) {
  const sim_link *lan = &node->links[1];
  char inside[SIM_IP_STRLEN + 4];
  snprintf(inside, sizeof inside, "%s/%d", lan->ip4, lan->len4);
  const sim_fill fills[] = {{"{wan}", node->links[0].name},
                            {"{lan}", lan->name},
                            {"{inside}", inside},
                            {"{table}", SIM_UPNP_TABLE},
                            {"{folder}", upnp->folder}};
  return sim_write_template(path, sim_miniupnpd_conf, fills, sizeof fills / sizeof *fills, error);
}

static int launch(sim_upnp *upnp, const ns_host *router, const char *conf, ns_error *error) {
  sim_programs programs = {.libraries = ""};
  char program[PATH_MAX], pid[PATH_MAX], log[PATH_MAX];
  if (sim_programs_find_server("miniupnpd", "miniupnpd-nftables", program, &programs, error))
    return -ENOENT;
  snprintf(pid, sizeof pid, "%s/pid", upnp->folder);
  snprintf(log, sizeof log, "%s/log", upnp->folder);
  int log_fd = sim_open_log(log);
  if (log_fd < 0)
    return sim_fail(error, log_fd, "cannot write %s", log);
  const char *argv[] = {program, "-d", "-f", conf, "-P", pid, NULL};
  const char *envp[] = {*programs.libraries ? programs.libraries : NULL, NULL};
  ns_spawn_options options = {.host = router, .argv = argv, .envp = envp, .log_fd = log_fd};
  int status = ns_spawn(&upnp->process, &options, error);
  close(log_fd);
  return status;
}

/* It opens its NAT-PMP port last. */
static int await(const sim_upnp *upnp, const ns_host *inside, const char *ip, ns_error *error) {
  for (int i = 0; i < START_LIMIT_TRIES; i++) {
    if (sim_answers_natpmp(inside, ip, TRY_MS))
      return 0;
    if (ns_ended(&upnp->process))
      break;
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  }
  char log[PATH_MAX], tail[512], line[256];
  snprintf(log, sizeof log, "%s/log", upnp->folder);
  sim_last_line(sim_file_tail(log, tail, sizeof tail), line, sizeof line);
  return sim_fail(error, -ETIMEDOUT, "miniupnpd does not answer: %s",
                  *line ? line : "it wrote nothing");
}

int sim_upnp_start(sim_upnp *upnp, const ns_host *router, const sim_node *node,
                   const ns_host *inside, ns_error *error) {
  *upnp = (sim_upnp){.folder = "/run/natsim-upnp-XXXXXX"};
  if (!mkdtemp(upnp->folder)) {
    int err = errno;
    upnp->folder[0] = 0;
    return sim_fail(error, -err, "cannot make a folder in /run: %s", strerror(err));
  }
  char conf[PATH_MAX];
  snprintf(conf, sizeof conf, "%s/conf", upnp->folder);
  int status = write_conf(upnp, node, conf, error);
  if (!status)
    status = launch(upnp, router, conf, error);
  return status ? status : await(upnp, inside, node->links[1].ip4, error);
}

void sim_upnp_stop(sim_upnp *upnp) {
  if (upnp->process.pid > 0)
    ns_stop(&upnp->process, STOP_GRACE_MS);
  if (*upnp->folder)
    sim_remove_folder(upnp->folder);
  *upnp = (sim_upnp){.folder = ""};
}
