/* warpgate plugins: lists the techniques, and what can be set of them. */
#include "cli/cli.h"
#include "cli/say.h"

#include "connect/plugin_set.h"
#include "env/loop.h"
#include <inttypes.h>
#include <stdio.h>

typedef struct listing {
  wg_plugin_set set;
  bool json, refused;
} listing;

static void on_refused(void *arg, const char *what, int status, const char *why) {
  listing *self = arg;
  char clean[WG_PLUGIN_WHY_LEN];
  (void)status;
  self->refused = true;
  (void)cli_error(CLI_FAILED, "%s is left out: %s", what, cli_clean(why, clean, sizeof clean));
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Both transports, or the one, or none. */
static const char *transports_of(const warp_plugin *plugin) {
  static const char *const words[] = {"messages only", "tcp", "udp", "tcp and udp"};
  return words[plugin->transports & (unsigned)(WARP_TCP | WARP_UDP)];
}

static const char *phase_of(const warp_plugin *plugin) {
  return plugin->phase == WARP_PHASE_NONE ? "-" : warp_phase_name(plugin->phase);
}

static void print_settings(const warp_plugin *plugin) {
  char clean[WG_PLUGIN_WHY_LEN];
  for (const warp_setting *setting = plugin->settings; setting != NULL && setting->name != NULL;
       setting++) {
    printf("    %s.%s=%" PRIu64 "  (%" PRIu64 " to %" PRIu64 ") %s\n", plugin->name, setting->name,
           setting->fallback, setting->least, setting->most,
           cli_clean(setting->help, clean, sizeof clean));
  }
}

static void print_all(const listing *self) {
  for (size_t i = 0; i < self->set.count; i++) {
    const warp_plugin *plugin = self->set.list[i];
    printf("%-24s %-8s %s%s\n", plugin->name, phase_of(plugin), transports_of(plugin),
           i >= self->set.built_in ? ", from outside" : "");
    print_settings(plugin);
  }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *describe_settings(const warp_plugin *plugin) {
  json_t *list = json_array();
  char clean[WG_PLUGIN_WHY_LEN];
  for (const warp_setting *setting = plugin->settings; setting != NULL && setting->name != NULL;
       setting++) {
    json_array_append_new(list,
                          json_pack("{s:s, s:I, s:I, s:I, s:s}", "name", setting->name, "fallback",
                                    (json_int_t)setting->fallback, "least",
                                    (json_int_t)setting->least, "most", (json_int_t)setting->most,
                                    "help", cli_clean(setting->help, clean, sizeof clean)));
  }
  return list;
}

static json_t *describe_transports(const warp_plugin *plugin) {
  json_t *list = json_array();
  for (unsigned transport = WARP_TCP; transport <= WARP_UDP; transport++) {
    if ((plugin->transports & transport) != 0) {
      json_array_append_new(list, json_string(warp_transport_name((warp_transport)transport)));
    }
  }
  return list;
}

/* One object a line. */
static int print_json(const listing *self) {
  for (size_t i = 0; i < self->set.count; i++) {
    const warp_plugin *plugin = self->set.list[i];
    char *line =
        cli_json_line(json_pack("{s:s, s:s?, s:o, s:b, s:o}", "plugin", plugin->name, "phase",
                                plugin->phase != WARP_PHASE_NONE ? phase_of(plugin) : NULL,
                                "transports", describe_transports(plugin), "built_in",
                                i < self->set.built_in, "settings", describe_settings(plugin)));
    if (line == NULL) {
      return WARP_NOMEM;
    }
    printf("%s\n", line);
    free(line);
  }
  return WARP_OK;
}

/* ---- the command ----------------------------------------------------------------------------- */

/* -1, or an exit status (said why). */
static int load(listing *self, const char *dir) {
  warp_loop *loop = warp_loop_new();
  if (loop == NULL) {
    return cli_error(CLI_FAILED, "out of memory or descriptors");
  }
  int status = wg_plugin_set_load(&self->set, warp_loop_env(loop), dir, on_refused, self);
  (void)warp_loop_close(loop);
  return status == WARP_OK ? -1 : cli_error(CLI_FAILED, "%s: %s", dir, warp_strerror(status));
}

static int run_plugins(const cli_options *options) {
  listing self = {.json = options->json};
  const char *dir = options->settings.plugin_dir;
  wg_plugin_set_init(&self.set);
  int status = dir[0] != '\0' ? load(&self, dir) : -1;
  if (status >= 0) {
    return status;
  }
  int printed = WARP_OK;
  if (self.json) {
    printed = print_json(&self);
  } else {
    print_all(&self);
  }
  if (printed != WARP_OK) {
    return cli_error(CLI_FAILED, "out of memory");
  }
  if (fflush(stdout) != 0) {
    return cli_error(CLI_FAILED, "cannot write to standard output");
  }
  return self.refused ? CLI_FAILED : CLI_OK;
}

const cli_command cli_plugins = {
    .name = "plugins",
    .arguments = "",
    .summary = "lists the techniques and what can be set of them",
    .help = "Prints each plugin with its phase (- for what is none of the race's techniques), its\n"
            "transports and its settings: the value unless it is set, the range, what it means.\n"
            "With --json one object a line.\n"
            "\n"
            "Examples:\n"
            "  warpgate plugins                            the built-in ones\n"
            "  warpgate plugins --plugin-dir ~/plugins     and those of a folder\n"
            "  warpgate connect alice --set random_probe.rate=50\n",
    .options = CLI_GROUP_ALL,
    .run = run_plugins,
};
