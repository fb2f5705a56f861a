/* What statuses and enumerations of the public header are called. */
#include <warpgate/warpgate.h>

typedef struct status_text {
  const char *name, *sentence;
} status_text;

#define STATUS(name, sentence) [-(name)] = {#name, sentence}

static const status_text texts[] = {
    STATUS(WARP_OK, "success"),
    STATUS(WARP_INVALID, "an argument is missing, out of range or malformed"),
    STATUS(WARP_NOMEM, "out of memory"),
    STATUS(WARP_CANCELED, "canceled before it completed"),
    STATUS(WARP_TIMEOUT, "timed out"),
    STATUS(WARP_CLOSED, "closed by the other side"),
    STATUS(WARP_AGAIN, "the queue is full, wait until it drains"),
    STATUS(WARP_TOO_BIG, "larger than the limit"),
    STATUS(WARP_MALFORMED, "malformed bytes"),
    STATUS(WARP_VERSION, "a version that this build does not speak"),
    STATUS(WARP_BAD_SIGNATURE, "not signed by the key it names"),
    STATUS(WARP_EXPIRED, "past its expiry time"),
    STATUS(WARP_REPLAY, "seen before"),
    STATUS(WARP_UNTRUSTED, "an address or key there is no reason to trust"),
    STATUS(WARP_REFUSED, "refused by the peer's contact policy"),
    STATUS(WARP_UNREACHABLE, "no route to the address"),
    STATUS(WARP_CONN_REFUSED, "connection refused: nothing listens there"),
    STATUS(WARP_RESET, "connection reset"),
    STATUS(WARP_ADDR_IN_USE, "the address and port are in use"),
    STATUS(WARP_ADDR_NOT_AVAILABLE, "the address does not belong to this machine"),
    STATUS(WARP_PERMISSION, "the system does not permit it"),
    STATUS(WARP_IO, "the system failed to read or write"),
    STATUS(WARP_NOT_FOUND, "not found"),
    STATUS(WARP_NAME_TAKEN, "the name belongs to another key"),
    STATUS(WARP_QUOTA, "the server's quota for this address is full"),
    STATUS(WARP_NO_SERVER, "no server for this is configured or none answered"),
    STATUS(WARP_AUTH, "the server refused the credentials"),
    STATUS(WARP_UNSUPPORTED, "not possible in this build or on this system"),
    STATUS(WARP_RULED_OUT, "ruled out by the measured NAT behaviour"),
    STATUS(WARP_STATE, "not allowed in the present state"),
    STATUS(WARP_LIMIT, "a limit is reached"),
    STATUS(WARP_TLS, "the secure handshake failed"),
    STATUS(WARP_ALL_FAILED, "every attempt failed, the report says why"),
};

static const status_text *find_status(int status) {
  static const status_text unknown = {"WARP_UNKNOWN", "an unknown error"};
  int count = (int)(sizeof texts / sizeof texts[0]);
  return status > 0 || status <= -count ? &unknown : &texts[-status];
}

const char *warp_strerror(int status) {
  return find_status(status)->sentence;
}

const char *warp_err_name(int status) {
  return find_status(status)->name;
}

const char *warp_version(void) {
  return WARPGATE_VERSION;
}

const char *warp_start_phase_name(warp_start_phase phase) {
  switch (phase) {
  case WARP_START_LOAD_NETWORK_INTERFACES:
    return "load_network_interfaces";
  case WARP_START_LOAD_MACHINE_IDENTITY:
    return "load_machine_identity";
  case WARP_START_LOAD_CRYPTOGRAPHY_AND_AUTH:
    return "load_cryptography_and_auth";
  case WARP_START_INITIALIZE_SYSTEM_CLOCK:
    return "initialize_system_clock";
  case WARP_START_INITIALIZE_PUNCH_COORDINATION:
    return "initialize_punch_coordination";
  case WARP_START_START_MAINTENANCE_TASKS:
    return "start_maintenance_tasks";
  case WARP_START_START_BACKGROUND_PORT_FORWARDING:
    return "start_background_port_forwarding";
  case WARP_START_FINALIZE_PORT_FORWARDING:
    return "finalize_port_forwarding";
  case WARP_START_LOAD_P2P_STUN_CLIENTS:
    return "load_p2p_stun_clients";
  case WARP_START_SETUP_ROUTER_AND_SIGNAL:
    return "setup_router_and_signal";
  case WARP_START_LISTEN_ON_IFS:
    return "listen_on_ifs";
  case WARP_START_BUILD_NODE_ADDRESS:
    return "build_node_address";
  case WARP_START_SETUP_NICKNAME_SERVICE:
    return "setup_nickname_service";
  case WARP_START_SETUP_TRAVERSAL_PLUGINS:
    return "setup_traversal_plugins";
  }
  return "unknown";
}

const char *warp_phase_name(warp_phase phase) {
  switch (phase) {
  case WARP_PHASE_NONE:
    return "none";
  case WARP_PHASE_DIRECT:
    return "direct";
  case WARP_PHASE_PUNCH:
    return "punch";
  case WARP_PHASE_SPRAY:
    return "spray";
  case WARP_PHASE_RELAY:
    return "relay";
  }
  return "unknown";
}

const char *warp_transport_name(warp_transport transport) {
  switch (transport) {
  case WARP_TCP:
    return "tcp";
  case WARP_UDP:
    return "udp";
  }
  return "unknown";
}
