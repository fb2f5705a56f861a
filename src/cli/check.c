#include "cli/check.h"

#include "cli/explain.h"
#include "cli/outlook.h"
#include "cli/say.h"
#include "nat/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *ability_name(uint8_t ability) {
  static const char *const names[] = {"unknown", "no", "yes"};
  return names[ability <= WARP_ABILITY_YES ? ability : 0];
}

static const char *translation_name(uint8_t translation) {
  static const char *const names[] = {"unknown", "none", "nat"};
  return names[translation <= WARP_TRANSLATION_NAT ? translation : 0];
}

/* ---- for a person ---------------------------------------------------------------------------- */

static void print_axes(const char *transport, const warp_nat_axes *axes, const warp_addr *external,
                       bool mapped) {
  char text[WG_AXES_STRLEN], addr[WARP_ADDR_STRLEN] = "not known";
  if (external->family != 0) {
    warp_addr_format(external, addr);
  }
  if (axes->confidence == 0) {
    printf("  %s  not measured: no STUN server answered\n", transport);
    return;
  }
  printf("  %s  %s (%s), outside %s%s\n", transport, wg_axes_cone(axes), wg_axes_format(axes, text),
         addr, mapped ? ", opened by the router" : "");
  if (axes->translation == WARP_TRANSLATION_NONE) {
    printf("       no translation");
  } else {
    printf("       mapping %s", wg_dependence_text(axes->mapping));
  }
  printf(", filtering %s\n       ports %s", wg_dependence_text(axes->filtering),
         wg_allocation_name(axes->allocation)[0] == '?' ? "unknown"
                                                        : wg_allocation_name(axes->allocation));
  if (axes->port_high != 0) {
    printf(" from %u-%u", axes->port_low, axes->port_high);
  }
  printf(", hairpin %s, sessions reused %s", ability_name(axes->hairpin),
         ability_name(axes->reuse));
  if (axes->lifetime_s != 0) {
    printf(", idle mappings live %u s", axes->lifetime_s);
  }
  printf("\n       confidence %u %%, measured %u s ago\n", axes->confidence, axes->age_s);
}

static const char *way_text(const cli_outlook *outlook, char *out, size_t room) {
  switch (outlook->way) {
  case CLI_WAY_DIRECT:
    snprintf(out, room, "directly, by dialling");
    break;
  case CLI_WAY_PUNCH:
    snprintf(out, room, "directly, by %s punching", outlook->transport == WARP_TCP ? "TCP" : "UDP");
    break;
  case CLI_WAY_PROBE:
    snprintf(out, room, "directly, by guessing ports: about %.0f s, often less",
             outlook->seconds < 1 ? 1 : outlook->seconds);
    break;
  case CLI_WAY_RELAY:
    snprintf(out, room, "by the relay only");
    break;
  default:
    snprintf(out, room, "not known");
  }
  return out;
}

static void print_outlook(const warp_endpoint *endpoint, bool verbose) {
  cli_outlook outlooks[CLI_OUTLOOKS];
  cli_outlook_make(endpoint, outlooks);
  printf("  with peers that are\n");
  for (size_t i = 0; i < CLI_OUTLOOKS; i++) {
    char text[80];
    printf("    %-16s %s%s%s\n", outlooks[i].peer, way_text(&outlooks[i], text, sizeof text),
           verbose ? ": " : "", verbose ? outlooks[i].why : "");
  }
}

static void print_answers(const cli_check *check) {
  size_t count;
  const cli_answer *answers = cli_asks_answers(check->asks, &count);
  printf("Servers\n");
  for (size_t i = 0; i < count; i++) {
    const cli_answer *answer = &answers[i];
    char name[WG_HINT_LEN], text[80];
    if (answer->status == WARP_OK) {
      snprintf(text, sizeof text, "answers in %.0f ms", answer->ms);
    } else if (answer->status == WARP_TIMEOUT && answer->tcp_ms >= 0) {
      snprintf(text, sizeof text, "no answer over UDP, but it takes TCP connections");
    } else {
      snprintf(text, sizeof text, "%s", warp_strerror(answer->status));
    }
    printf("  %-6s %-32s %s\n", cli_kind_name(answer->kind),
           cli_clean(answer->server, name, sizeof name), text);
  }
  for (cli_kind kind = 0; kind < CLI_KINDS; kind++) {
    if (!cli_has_server(check->run.options, kind)) {
      printf("  %-6s none configured: write '%s' into %s\n", cli_kind_name(kind),
             cli_kind_example(kind), check->run.options->config_path);
    }
  }
}

static void print_step(const cli_check *check, const char *title, warp_start_phase phase) {
  const cli_step *step = &check->steps[phase];
  if (step->seen) {
    printf("%s: %s\n", title, step->detail);
  }
}

void cli_check_print(const cli_check *check) {
  for (size_t i = 0; i < check->record.endpoint_count; i++) {
    const warp_endpoint *endpoint = &check->record.endpoints[i];
    char nic[WARP_ADDR_STRLEN];
    printf("Interface %s/%u\n", warp_addr_format(&endpoint->nic, nic), endpoint->prefix_bits);
    print_axes("UDP", &endpoint->udp, &endpoint->external_udp,
               (endpoint->port_mapped & WARP_UDP) != 0);
    print_axes("TCP", &endpoint->tcp, &endpoint->external_tcp,
               (endpoint->port_mapped & WARP_TCP) != 0);
    print_outlook(endpoint, check->run.options->verbose > 0);
  }
  print_step(check, "Router", WARP_START_FINALIZE_PORT_FORWARDING);
  print_step(check, "Clock", WARP_START_INITIALIZE_SYSTEM_CLOCK);
  print_answers(check);
}

/* ---- for a program --------------------------------------------------------------------------- */

static json_t *axes_json(const warp_nat_axes *axes) {
  json_t *out =
      json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:i, s:i}", "nat", wg_axes_cone(axes),
                "translation", translation_name(axes->translation), "mapping",
                wg_dependence_name(axes->mapping), "filtering", wg_dependence_name(axes->filtering),
                "allocation", wg_allocation_name(axes->allocation), "step", (int)axes->step,
                "hairpin", ability_name(axes->hairpin), "reuse", ability_name(axes->reuse),
                "confidence", (int)axes->confidence, "age_s", (int)axes->age_s);
  json_object_set_new(out, "port_low",
                      axes->port_high != 0 ? json_integer(axes->port_low) : json_null());
  json_object_set_new(out, "port_high",
                      axes->port_high != 0 ? json_integer(axes->port_high) : json_null());
  json_object_set_new(out, "lifetime_s",
                      axes->lifetime_s != 0 ? json_integer(axes->lifetime_s) : json_null());
  return out;
}

static json_t *addr_json(const warp_addr *addr) {
  char text[WARP_ADDR_STRLEN];
  return addr->family != 0 ? json_string(warp_addr_format(addr, text)) : json_null();
}

static json_t *outlooks_json(const warp_endpoint *endpoint) {
  cli_outlook outlooks[CLI_OUTLOOKS];
  json_t *out = json_array();
  cli_outlook_make(endpoint, outlooks);
  for (size_t i = 0; i < CLI_OUTLOOKS; i++) {
    const cli_outlook *one = &outlooks[i];
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s}", "peer", one->peer, "axes", one->axes,
                            "way", cli_way_name(one->way), "transport",
                            warp_transport_name(one->transport), "why", one->why);
    json_object_set_new(row, "seconds",
                        one->way == CLI_WAY_PROBE ? json_real(one->seconds) : json_null());
    json_array_append_new(out, row);
  }
  return out;
}

static json_t *endpoint_json(const warp_endpoint *endpoint) {
  return json_pack("{s:i, s:o, s:i, s:o, s:o, s:b, s:b, s:o, s:o, s:o}", "family",
                   (int)endpoint->family, "nic", addr_json(&endpoint->nic), "prefix",
                   (int)endpoint->prefix_bits, "external_udp", addr_json(&endpoint->external_udp),
                   "external_tcp", addr_json(&endpoint->external_tcp), "udp_opened",
                   (endpoint->port_mapped & WARP_UDP) != 0, "tcp_opened",
                   (endpoint->port_mapped & WARP_TCP) != 0, "udp", axes_json(&endpoint->udp), "tcp",
                   axes_json(&endpoint->tcp), "peers", outlooks_json(endpoint));
}

static json_t *answer_json(const cli_answer *answer) {
  char name[WG_HINT_LEN];
  json_t *out = json_pack("{s:s, s:s, s:s}", "kind", cli_kind_name(answer->kind), "server",
                          cli_clean(answer->server, name, sizeof name), "status",
                          warp_err_name(answer->status));
  json_object_set_new(out, "ms", answer->ms >= 0 ? json_real(answer->ms) : json_null());
  json_object_set_new(out, "tcp_ms", answer->tcp_ms >= 0 ? json_real(answer->tcp_ms) : json_null());
  return out;
}

static json_t *step_json(const cli_step *step) {
  return step->seen ? json_pack("{s:s, s:s, s:f}", "status", warp_err_name(step->status), "detail",
                                step->detail, "ms", step->ms)
                    : json_null();
}

int cli_check_print_json(const cli_check *check) {
  json_t *endpoints = json_array(), *servers = json_array();
  size_t count;
  const cli_answer *answers = cli_asks_answers(check->asks, &count);
  for (size_t i = 0; i < check->record.endpoint_count; i++) {
    json_array_append_new(endpoints, endpoint_json(&check->record.endpoints[i]));
  }
  for (size_t i = 0; i < count; i++) {
    json_array_append_new(servers, answer_json(&answers[i]));
  }
  json_t *out = json_pack("{s:o, s:o, s:o, s:o, s:o}", "interfaces", endpoints, "servers", servers,
                          "measuring", step_json(&check->steps[WARP_START_LOAD_P2P_STUN_CLIENTS]),
                          "router", step_json(&check->steps[WARP_START_FINALIZE_PORT_FORWARDING]),
                          "clock", step_json(&check->steps[WARP_START_INITIALIZE_SYSTEM_CLOCK]));
  char *line = cli_json_line(out);
  if (line == NULL) {
    return WARP_NOMEM;
  }
  printf("%s\n", line);
  free(line);
  return WARP_OK;
}
