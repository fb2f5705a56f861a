#include "natsim/commands.h"

#include "natsim/profile.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void help(void) {
  fputs("natsim profiles [--json]\n"
        "Lists the NAT profiles and their axes. Any NAT can also be spelled out:\n"
        "  map=ei|ad|apd            what a mapping depends on (ei)\n"
        "  filter=ei|ad|apd         what its filter depends on (apd)\n"
        "  alloc=preserving|sequential[:STEP]|random\n"
        "  range=LO-HI              ports given out (1024-65535)\n"
        "  hairpin=on|off           between two hosts behind it (off)\n"
        "  unsolicited=drop|reset|icmp   the answer to a filtered packet (drop)\n"
        "  strays=drop|reject|accept     the answer where no mapping is (drop)\n"
        "  reuse=on|off             an answer keeps the mapping it came in by (on)\n"
        "  udp-lifetime=S, tcp-lifetime=S   (120, 7200)\n\n"
        "Examples:\n"
        "  natsim profiles\n"
        "  natsim profiles --json                 with the source of each modelled device\n"
        "  natsim run --a map=apd,filter=ad,alloc=sequential --b restricted\n",
        stdout);
}

static json_t *profile_json(const sim_profile *profile, const char *summary) {
  const sim_nat *nat = &profile->nat;
  char alloc[32];
  if (!profile->translated)
    return json_pack("{s:s, s:s, s:b, s:b}", "profile", profile->name, "summary", summary, "nat", 0,
                     "ipv6-only", profile->ip6_only);
  return json_pack(
      "{s:s, s:s, s:b, s:s, s:s, s:s, s:o, s:b, s:s, s:s, s:b, s:i, s:i, s:b, s:b, s:b, s:b}",
      "profile", profile->name, "summary", summary, "nat", 1, "map", sim_dependence_name(nat->map),
      "filter", sim_dependence_name(nat->filter), "alloc", sim_alloc_format(nat, alloc), "range",
      json_sprintf("%u-%u", nat->port_low, nat->port_high), "hairpin", nat->hairpin, "unsolicited",
      sim_unsolicited_name(nat->unsolicited), "strays", sim_strays_name(nat->strays), "reuse",
      nat->reuse, "udp-lifetime", (int)nat->udp_lifetime_s, "tcp-lifetime",
      (int)nat->tcp_lifetime_s, "carrier", profile->carrier, "udp-blocked",
      profile->filters & SIM_BLOCK_UDP, "web-only", profile->filters & SIM_WEB_ONLY, "upnp",
      profile->filters & SIM_UPNP);
}

static int print_json(const sim_profile *profile, const char *summary, const char *source) {
  json_t *object = profile_json(profile, summary);
  if (object && source)
    json_object_set_new(object, "source", json_string(source));
  int failed = !object || json_dumpf(object, stdout, JSON_COMPACT);
  json_decref(object);
  putchar('\n');
  return failed;
}

static void print_line(const sim_profile *profile, const char *summary) {
  const sim_nat *nat = &profile->nat;
  char alloc[32];
  if (profile->translated)
    printf("%-23s %-4s %-6s %-13s %s\n", profile->name, sim_dependence_name(nat->map),
           sim_dependence_name(nat->filter), sim_alloc_format(nat, alloc), summary);
  else
    printf("%-23s %-4s %-6s %-13s %s\n", profile->name, "-", "-", "-", summary);
}

int sim_cmd_profiles(int argc, char **argv) {
  bool json = argc == 1 && !strcmp(argv[0], "--json");
  if (argc == 1 && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))) {
    help();
    return SIM_EXIT_OK;
  }
  if (argc > json) {
    fprintf(stderr, "natsim profiles: unknown argument '%s': it takes --json\n", argv[json]);
    return SIM_EXIT_USAGE;
  }
  if (!json)
    printf("%-23s %-4s %-6s %-13s\n", "PROFILE", "MAP", "FILTER", "ALLOC");
  int failed = 0;
  const char *summary;
  for (size_t i = 0; sim_profile_name(i, &summary); i++) {
    sim_profile profile;
    failed |= sim_profile_parse(sim_profile_name(i, &summary), NULL, &profile, NULL);
    if (json)
      failed |= print_json(&profile, summary, sim_profile_source(i));
    else
      print_line(&profile, summary);
  }
  return failed ? SIM_EXIT_FAILED : SIM_EXIT_OK;
}
