/*
 * How long a lab takes to build: six hosts, five links, two routers with rules, as two sites and a
 * server need them. Prints milliseconds; asserts nothing about time.
 *
 * usage: netns_build_time [LABS]
 */
#include "netns/netns.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SWITCH, SERVER, ROUTER_A, ROUTER_B, HOST_A, HOST_B, HOSTS };

/* A port-restricted NAT, as large as the generated ones. */
static const char rules[] =
    "table ip nat {\n"
    "  set used { type inet_proto . inet_service; flags dynamic,timeout; timeout 120s; size 1024; "
    "}\n"
    "  map out { type inet_proto . ipv4_addr . inet_service : inet_service;\n"
    "    flags dynamic,timeout; timeout 120s; size 1024; }\n"
    "  map in { type inet_proto . inet_service : ipv4_addr . inet_service;\n"
    "    flags dynamic,timeout; timeout 120s; size 1024; }\n"
    "  set known { type inet_proto . inet_service . ipv4_addr . inet_service;\n"
    "    flags dynamic,timeout; timeout 120s; size 1024; }\n"
    "  chain pre { type nat hook prerouting priority dstnat; policy accept;\n"
    "    iifname wan0 meta l4proto { tcp, udp } dnat ip to meta l4proto . th dport map @in\n"
    "  }\n"
    "  chain post { type nat hook postrouting priority srcnat; policy accept;\n"
    "    iifname lan0 oifname wan0 meta l4proto { tcp, udp } \\\n"
    "      snat to 203.0.113.101:meta l4proto . ip saddr . th sport map @out\n"
    "    iifname lan0 oifname wan0 meta l4proto { tcp, udp } meta l4proto . th sport @used \\\n"
    "      snat to 203.0.113.101:20000-39999 fully-random\n"
    "    iifname lan0 oifname wan0 snat to 203.0.113.101\n"
    "  }\n"
    "  chain record { type filter hook postrouting priority srcnat + 1; policy accept;\n"
    "    meta l4proto udp iifname lan0 oifname wan0 ct direction original \\\n"
    "      update @out { meta l4proto . ct original ip saddr . ct original proto-src : th sport }\n"
    "    meta l4proto udp iifname lan0 oifname wan0 ct direction original \\\n"
    "      update @in { meta l4proto . th sport : ct original ip saddr . ct original proto-src }\n"
    "    meta l4proto udp iifname lan0 oifname wan0 ct direction original \\\n"
    "      update @known { meta l4proto . th sport . ct original ip daddr . ct original proto-dst "
    "}\n"
    "    ct direction original update @used { meta l4proto . th sport }\n"
    "  }\n"
    "  chain forward { type filter hook forward priority filter; policy accept;\n"
    "    ct state invalid drop\n"
    "    iifname wan0 ct state established,related accept\n"
    "    meta l4proto udp iifname wan0 ct status dnat \\\n"
    "      meta l4proto . ct original proto-dst . ip saddr . th sport @known accept\n"
    "    iifname wan0 drop\n"
    "  }\n"
    "}\n";

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void require(int result, const ns_error *error) {
  if (result >= 0)
    return;
  fprintf(stderr, "%s\n", error->text);
  exit(1);
}

static void build_site(ns_host hosts[HOSTS], int router, int host, const char *wan_ip) {
  ns_batch batch;
  ns_error error;
  ns_begin(&batch, &hosts[router]);
  ns_add_veth(&batch, "lan0", 3, NULL, &hosts[host], "eth0", 2, NULL);
  ns_add_up(&batch, 2);
  ns_add_up(&batch, 3);
  ns_add_address(&batch, 2, wan_ip);
  ns_add_address(&batch, 3, "192.168.1.1/24");
  require(ns_commit(&batch, &error), &error);
  ns_begin(&batch, &hosts[host]);
  ns_add_up(&batch, 2);
  ns_add_address(&batch, 2, "192.168.1.2/24");
  ns_add_route(&batch, "0.0.0.0/0", "192.168.1.1", 2);
  require(ns_commit(&batch, &error), &error);
}

/* Adds what hosts, links and rules took to times_ms. */
static void build(ns_host hosts[HOSTS], double times_ms[3]) {
  static const char *const names[HOSTS] = {"switch", "server", "router-a", "router-b", "a", "b"};
  ns_batch batch;
  ns_error error;
  double start_ms = now_ms();
  for (int i = 0; i < HOSTS; i++)
    require(ns_host_open(&hosts[i], names[i], &error), &error);
  double hosts_ms = now_ms();
  ns_begin(&batch, &hosts[SWITCH]);
  for (int i = SERVER; i <= ROUTER_B; i++) {
    char name[NS_IFNAME];
    snprintf(name, sizeof name, "port%d", i);
    ns_add_veth(&batch, name, 10 + i, NULL, &hosts[i], "wan0", 2, NULL);
    ns_add_up(&batch, 10 + i);
  }
  require(ns_commit(&batch, &error), &error);
  ns_begin(&batch, &hosts[SERVER]);
  ns_add_up(&batch, 2);
  ns_add_address(&batch, 2, "203.0.113.10/24");
  require(ns_commit(&batch, &error), &error);
  build_site(hosts, ROUTER_A, HOST_A, "203.0.113.101/24");
  build_site(hosts, ROUTER_B, HOST_B, "203.0.113.102/24");
  double links_ms = now_ms();
  for (int i = ROUTER_A; i <= ROUTER_B; i++) {
    require(ns_sysctl(&hosts[i], "ipv4/ip_forward", "1", &error), &error);
    require(ns_nft(&hosts[i], rules, &error), &error);
  }
  times_ms[0] += hosts_ms - start_ms;
  times_ms[1] += links_ms - hosts_ms;
  times_ms[2] += now_ms() - links_ms;
}

static int run(void *arg) {
  int labs = *(int *)arg;
  double times_ms[3] = {0}, least_ms = 1e9;
  ns_host(*hosts)[HOSTS] = calloc((size_t)labs, sizeof *hosts);
  for (int i = 0; i < labs; i++) {
    double start_ms = now_ms();
    build(hosts[i], times_ms);
    double took_ms = now_ms() - start_ms;
    least_ms = took_ms < least_ms ? took_ms : least_ms;
  }
  printf("%d labs: %.2f ms each (least %.2f): hosts %.2f, links %.2f, rules %.2f\n", labs,
         (times_ms[0] + times_ms[1] + times_ms[2]) / labs, least_ms, times_ms[0] / labs,
         times_ms[1] / labs, times_ms[2] / labs);
  for (int i = 0; i < labs; i++)
    for (int host = 0; host < HOSTS; host++)
      ns_host_close(&hosts[i][host]);
  free(hosts);
  return 0;
}

int main(int argc, char **argv) {
  int labs = argc > 1 ? atoi(argv[1]) : 20;
  ns_error error;
  if (labs < 1 || labs > 1000) {
    fprintf(stderr, "usage: netns_build_time [LABS]\n");
    return 2;
  }
  double start_ms = now_ms();
  int status = ns_sandbox_run(run, &labs, &error);
  if (status < 0)
    fprintf(stderr, "%s\n", error.text);
  else
    printf("with the sandbox and its end: %.2f ms\n", now_ms() - start_ms);
  return status < 0 ? 3 : status;
}
