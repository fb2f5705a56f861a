#include "natsim/place.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A file with more than this is no description of a place. */
enum { PLACE_FILE_MAX = 8192, LINE_WORDS_MAX = 16 };

typedef struct place_row {
  const char *name, *lines, *summary;
} place_row;

static const place_row places[] = {
    {"two-sites", "site a on internet; site b on internet",
     "two homes, each behind its own router"},
    {"same-lan", "site a,b on internet", "two hosts on one LAN, behind one router"},
    {"same-lan6", "site a,b on internet ipv6-only",
     "the same with IPv6 only: for the profiles firewall6 and open"},
    {"same-host", "site a+b on internet", "both peers on one host, behind one router"},
    {"one-nat", "site a,b on internet isolated",
     "two LANs behind one NAT, with no way between them inside"},
    {"one-nat-hairpin", "site a,b on internet isolated hairpin",
     "the same, and the NAT turns packets to its own address back"},
    {"one-carrier", "carrier isp; site a on isp; site b on isp",
     "two homes, both customers of one carrier that has a NAT of its own"},
    {"two-carriers", "carrier isp-a; carrier isp-b; site a on isp-a; site b on isp-b",
     "two homes, customers of two such carriers"},
    {"dual-stack", "site a on internet dual-stack; site b on internet dual-stack",
     "IPv4 by the NATs, IPv6 behind stateful firewalls"},
    {"ipv6-only", "site a on internet ipv6-only; site b on internet ipv6-only",
     "no IPv4 at all: for the profiles firewall6 and open"},
    {"two-uplinks", "site a on internet second-uplink; site b on internet",
     "a has a second interface, with a router of its own"},
    {"better-uplink", "site a on internet second-uplink=map=ei,filter=ei; site b on internet",
     "a has a second interface behind a full-cone NAT, whatever the first one's is"},
    {"udp-blocked", "site a on internet udp-blocked; site b on internet udp-blocked",
     "neither router passes UDP"},
    {"web-only", "site a on internet web-only; site b on internet web-only",
     "only TCP to ports 80 and 443 gets out of either site"},
    {"upnp", "site a on internet upnp; site b on internet upnp",
     "both routers open ports by UPnP and NAT-PMP"},
};

const char *sim_place_name(size_t i, const char **lines, const char **summary) {
  if (i >= COUNT(places))
    return NULL;
  *lines = places[i].lines;
  *summary = places[i].summary;
  return places[i].name;
}

bool sim_place_shared(const sim_place *place) {
  return place->site_count == 1;
}

/* ---- one line -------------------------------------------------------------------------------- */

typedef struct reader {
  sim_place *place;
  ns_error *error;
  char *words[LINE_WORDS_MAX];
  size_t count;
} reader;

static int refuse(const reader *r, const char *what, const char *word) {
  return sim_fail(r->error, -1, "place %s: %s '%s'", r->place->name, what, word);
}

static int find_carrier(const sim_place *place, const char *name) {
  for (int i = 0; i < place->carrier_count; i++)
    if (!strcmp(place->carriers[i].name, name))
      return i;
  return -1;
}

/* Names become names of namespaces and interfaces. */
static bool plain_name(const char *name) {
  size_t len = strlen(name);
  return len > 0 && len < 12 && len == strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
}

static int read_carrier(reader *r) {
  sim_place *place = r->place;
  if (r->count < 2 || r->count > 3)
    return refuse(r, "it is: carrier NAME [AXES], not", r->words[0]);
  const char *name = r->words[1];
  if (!plain_name(name) || !strcmp(name, "internet") || find_carrier(place, name) >= 0)
    return refuse(r, "a carrier needs a short plain name of its own, not", name);
  if (place->carrier_count == SIM_CARRIERS_MAX)
    return refuse(r, "there is room for two carriers, not for", name);
  sim_place_carrier *carrier = &place->carriers[place->carrier_count++];
  snprintf(carrier->name, sizeof carrier->name, "%s", name);
  return sim_carrier_axes(&carrier->nat, r->count == 3 ? r->words[2] : NULL, r->error);
}

static bool read_site_word(sim_place_site *site, const char *word) {
  static const struct {
    const char *word;
    size_t flag; /* a bool of the site, or 0 */
    unsigned filter;
  } words[] = {{"dual-stack", offsetof(sim_place_site, ip6), 0},
               {"ipv6-only", offsetof(sim_place_site, no_ip4), 0},
               {"isolated", offsetof(sim_place_site, isolated), 0},
               {"hairpin", offsetof(sim_place_site, hairpin), 0},
               {"second-uplink", offsetof(sim_place_site, second_uplink), 0},
               {"udp-blocked", 0, SIM_BLOCK_UDP},
               {"web-only", 0, SIM_WEB_ONLY},
               {"upnp", 0, SIM_UPNP}};
  for (size_t i = 0; i < COUNT(words); i++) {
    if (strcmp(word, words[i].word) != 0)
      continue;
    if (words[i].flag)
      *(bool *)((char *)site + words[i].flag) = true;
    site->filters |= words[i].filter;
    return true;
  }
  return false;
}

/* "second-uplink=AXES": 1, 0 for another word, or -1 with the line. */
static int read_second_uplink(const reader *r, sim_place_site *site, const char *word) {
  static const char key[] = "second-uplink=";
  if (strncmp(word, key, sizeof key - 1) != 0)
    return 0;
  site->second_uplink = site->own_second_nat = true;
  return sim_carrier_axes(&site->second_nat, word + sizeof key - 1, r->error) ? -1 : 1;
}

static int read_site(reader *r) {
  static const char *const hosts[] = {"a", "b", "a,b", "a+b"};
  sim_place *place = r->place;
  if (r->count < 4 || strcmp(r->words[2], "on") != 0)
    return refuse(r, "it is: site HOSTS on NET [WORD...], not", r->words[0]);
  if (place->site_count == SIM_PLACE_SITES)
    return refuse(r, "there is no third site:", r->words[1]);
  sim_place_site *site = &place->sites[place->site_count++];
  *site = (sim_place_site){.carrier = -1};
  size_t who = 0;
  while (who < COUNT(hosts) && strcmp(r->words[1], hosts[who]) != 0)
    who++;
  if (who == COUNT(hosts))
    return refuse(r, "hosts of a site are a, b, a,b or a+b, not", r->words[1]);
  site->hosts = (enum sim_hosts)who;
  if (strcmp(r->words[3], "internet") != 0 &&
      (site->carrier = find_carrier(place, r->words[3])) < 0)
    return refuse(r, "there is no network", r->words[3]);
  for (size_t i = 4; i < r->count; i++) {
    int second = read_second_uplink(r, site, r->words[i]);
    if (second < 0)
      return -1;
    if (second == 0 && !read_site_word(site, r->words[i]))
      return refuse(r, "unknown word", r->words[i]);
  }
  return 0;
}

static int read_line(reader *r, char *line) {
  r->count = 0;
  char *state = NULL;
  for (char *word = strtok_r(line, " \t\r", &state); word; word = strtok_r(NULL, " \t\r", &state)) {
    if (r->count == LINE_WORDS_MAX)
      return refuse(r, "a line has too many words at", word);
    r->words[r->count++] = word;
  }
  if (!r->count)
    return 0;
  if (!strcmp(r->words[0], "carrier"))
    return read_carrier(r);
  if (!strcmp(r->words[0], "site"))
    return read_site(r);
  return refuse(r, "lines begin with carrier or site, not", r->words[0]);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int check_site(const sim_place *place, const sim_place_site *site, ns_error *error) {
  const char *why = NULL;
  if (site->isolated && site->hosts != SIM_ONE_LAN)
    why = "isolated is for two hosts behind one router: site a,b";
  else if (site->second_uplink && site->hosts > SIM_ONLY_B)
    why = "second-uplink is for a host that is alone in its site";
  else if (site->second_uplink && site->carrier >= 0)
    why = "second-uplink leads to the internet, not to a carrier";
  else if (site->no_ip4 && site->ip6)
    why = "dual-stack and ipv6-only exclude each other";
  else if (site->no_ip4 && (site->hairpin || site->filters & SIM_UPNP))
    why = "hairpin and upnp are of IPv4, which ipv6-only takes away";
  else if (site->no_ip4 && site->carrier >= 0)
    why = "ipv6-only has nothing for a carrier's NAT to translate";
  else if (site->filters & SIM_UPNP && site->carrier >= 0)
    why = "upnp behind a carrier announces an address that is not on the internet: a router "
          "refuses that";
  return why ? sim_fail(error, -1, "place %s: %s", place->name, why) : 0;
}

static int check_place(const sim_place *place, ns_error *error) {
  int seen[2] = {0, 0};
  for (int i = 0; i < place->site_count; i++) {
    const sim_place_site *site = &place->sites[i];
    seen[0] += site->hosts != SIM_ONLY_B;
    seen[1] += site->hosts != SIM_ONLY_A;
    if (check_site(place, site, error))
      return -1;
  }
  for (int side = 0; side < 2; side++)
    if (seen[side] != 1)
      return sim_fail(error, -1, "place %s: host %c is in %s", place->name, "ab"[side],
                      seen[side] ? "two sites" : "no site");
  for (int c = 0; c < place->carrier_count; c++) {
    int customers = 0;
    for (int i = 0; i < place->site_count; i++)
      customers += place->sites[i].carrier == c;
    if (!customers)
      return sim_fail(error, -1, "place %s: carrier %s has no customer", place->name,
                      place->carriers[c].name);
  }
  return 0;
}

int sim_place_parse(const char *name, const char *lines, sim_place *out, ns_error *error) {
  *out = (sim_place){.site_count = 0};
  snprintf(out->name, sizeof out->name, "%s", name);
  reader r = {.place = out, .error = error};
  char *copy = strdup(lines), *rest = copy;
  if (!copy)
    return sim_fail(error, -1, "out of memory");
  int status = 0;
  for (char *line; !status && (line = strsep(&rest, "\n"));) {
    line[strcspn(line, "#")] = 0;
    for (char *part; !status && (part = strsep(&line, ";"));)
      status = read_line(&r, part);
  }
  free(copy);
  return status ? status : check_place(out, error);
}

static int load_file(const char *path, sim_place *out, ns_error *error) {
  FILE *in = fopen(path, "re");
  if (!in)
    return sim_fail(error, -1, "cannot read the place %s: %s", path, strerror(errno));
  char text[PLACE_FILE_MAX];
  size_t len = fread(text, 1, sizeof text, in);
  bool bad = ferror(in) || len == sizeof text || memchr(text, 0, len);
  fclose(in);
  if (bad)
    return sim_fail(error, -1, "%s is no description of a place: a text of less than %d bytes",
                    path, PLACE_FILE_MAX);
  text[len] = 0;
  const char *slash = strrchr(path, '/');
  return sim_place_parse(slash + 1, text, out, error);
}

int sim_place_load(const char *text, sim_place *out, ns_error *error) {
  if (!text)
    text = places[0].name;
  for (size_t i = 0; i < COUNT(places); i++)
    if (!strcmp(text, places[i].name))
      return sim_place_parse(text, places[i].lines, out, error);
  if (strchr(text, '/'))
    return load_file(text, out, error);
  return sim_fail(error, -1, "unknown place '%s': see natsim places", text);
}
