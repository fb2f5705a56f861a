#include "natsim/commands.h"

#include "natsim/place.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void help(void) {
  fputs("natsim places [--json]\n"
        "Lists the places: how two hosts lie to each other, as --place takes it. A place is data,\n"
        "a few lines, and --place also takes a file of them (its name must have a / in it):\n"
        "  carrier NAME [AXES]           a NAT on the internet, and the network of its customers\n"
        "  site HOSTS on NET [WORD...]   a router on a network (internet or a carrier's), its LAN\n"
        "HOSTS: a, b, a,b (two hosts on one LAN) or a+b (both peers on one host)\n"
        "WORDs: dual-stack ipv6-only isolated hairpin udp-blocked web-only upnp "
        "second-uplink[=AXES]\n"
        "What else a site's router does comes from --a and --b.\n\n"
        "Examples:\n"
        "  natsim places\n"
        "  natsim run --a port-restricted --b port-restricted --place one-carrier\n"
        "  natsim run --a symmetric --b symmetric --place ./mine.place\n",
        stdout);
}

static int print_json(const char *name, const char *lines, const char *summary) {
  json_t *object = json_pack("{s:s, s:s, s:s}", "place", name, "lines", lines, "summary", summary);
  int failed = !object || json_dumpf(object, stdout, JSON_COMPACT);
  json_decref(object);
  putchar('\n');
  return failed;
}

int sim_cmd_places(int argc, char **argv) {
  bool json = argc == 1 && !strcmp(argv[0], "--json");
  if (argc == 1 && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))) {
    help();
    return SIM_EXIT_OK;
  }
  if (argc > json) {
    fprintf(stderr, "natsim places: unknown argument '%s': it takes --json\n", argv[json]);
    return SIM_EXIT_USAGE;
  }
  int failed = 0;
  const char *name, *lines, *summary;
  for (size_t i = 0; (name = sim_place_name(i, &lines, &summary)); i++)
    if (json)
      failed |= print_json(name, lines, summary);
    else
      printf("%-16s %s\n%-16s   %s\n", name, summary, "", lines);
  return failed ? SIM_EXIT_FAILED : SIM_EXIT_OK;
}
