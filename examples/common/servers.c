#include "common/servers.h"

#include <stdlib.h>
#include <string.h>

enum { SERVERS = 4 }; /* more of a kind are of no use */

/* "a:1,b:2" as a list that ends with NULL, or NULL when the variable is not set. */
static const char *const *list(const char *variable, const char *servers[SERVERS + 1]) {
  const char *text = getenv(variable);
  char *copy = text != NULL && *text != '\0' ? strdup(text) : NULL, *rest = NULL;
  if (copy == NULL) {
    return NULL;
  }
  size_t count = 0;
  for (char *server = strtok_r(copy, ",", &rest); server != NULL && count < SERVERS;
       server = strtok_r(NULL, ",", &rest)) {
    servers[count++] = server;
  }
  servers[count] = NULL;
  return servers;
}

warp_conf example_conf(void) {
  static const char *brokers[SERVERS + 1], *stun[SERVERS + 1], *turn[SERVERS + 1],
      *names[SERVERS + 1];
  const char *const *broker_list = list("WARPGATE_BROKERS", brokers);
  /* Without a broker: loopback only, up in milliseconds. */
  warp_conf conf = broker_list != NULL ? warp_conf_default() : warp_conf_test();
  conf.brokers = broker_list;
  conf.stun_servers = list("WARPGATE_STUN", stun);
  conf.turn_servers = list("WARPGATE_TURN", turn);
  conf.name_servers = list("WARPGATE_NAMES", names);
  conf.key_name = "";           /* a new key each time, not kept */
  conf.enable_nickname = false; /* found by their address, not by a name */
  return conf;
}
