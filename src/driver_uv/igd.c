#include "driver_uv/router.h"

#include "driver_uv/internal.h"

#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnperrors.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  SEARCH_MS = 1000,
  DEVICES_MAX = 4,     /* that say they are the router: each is asked what it is, and waited for */
  SEARCH_TTL = 2,      /* UPnP Device Architecture 1.1, section 1.3.2 */
  NO_SUCH_ENTRY = 714, /* WANIPConnection:1, section 2.4 */
  IS_ANOTHERS = 718,
  ONLY_PERMANENT = 725,
};

/* ---- finding it ------------------------------------------------------------------------------ */

bool wg_igd_is_of(const char *url, const warp_addr *gateway) {
  static const char scheme[] = "http://";
  if (url == NULL || strlen(url) >= WG_ROUTER_URL_LEN ||
      strncmp(url, scheme, sizeof scheme - 1) != 0) {
    return false;
  }
  const char *host = url + sizeof scheme - 1;
  size_t len = strcspn(host, ":/");
  char text[WARP_ADDR_STRLEN];
  warp_addr addr;
  if (len >= sizeof text) {
    return false;
  }
  memcpy(text, host, len);
  text[len] = '\0';
  return warp_addr_parse(text, &addr) == WARP_OK && wg_addr_same_ip(&addr, gateway);
}

static bool take_service(const struct UPNPUrls *urls, const struct IGDdatas *data,
                         const warp_addr *gateway, wg_router_way *out) {
  char external[16] = "";
  const char *service = data->first.servicetype;
  if (strstr(service, ":service:WANIPConnection:") == NULL &&
      strstr(service, ":service:WANPPPConnection:") == NULL) {
    return false;
  }
  if (!wg_igd_is_of(urls->controlURL, gateway) || strlen(service) >= sizeof out->service ||
      UPNP_GetExternalIPAddress(urls->controlURL, service, external) != UPNPCOMMAND_SUCCESS) {
    return false;
  }
  out->protocol = WG_ROUTER_IGD;
  memcpy(out->url, urls->controlURL, strlen(urls->controlURL) + 1);
  memcpy(out->service, service, strlen(service) + 1);
  return true;
}

/* A router has a service for each of its ways out; the first one need not be the one in use. */
static bool take_device(const struct UPNPDev *device, const warp_addr *gateway,
                        wg_router_way *out) {
  struct UPNPUrls urls = {0};
  struct IGDdatas data = {0};
  char lan[64];
  if (!UPNP_GetIGDFromUrl(device->descURL, &urls, &data, lan, sizeof lan)) {
    return false;
  }
  bool found = take_service(&urls, &data, gateway, out);
  FreeUPNPUrls(&urls);
  if (!found && data.second.servicetype[0] != '\0') {
    data.first = data.second;
    GetUPNPUrls(&urls, &data, device->descURL, 0);
    found = take_service(&urls, &data, gateway, out);
    FreeUPNPUrls(&urls);
  }
  return found;
}

int wg_igd_find(const wg_router_request *request, wg_router_way *out) {
  /* One type: the search waits for each of those asked for, and later versions answer to it. */
  static const char *const types[] = {"urn:schemas-upnp-org:device:InternetGatewayDevice:1", NULL};
  warp_addr bare = wg_addr_with_port(&request->local, 0);
  char local[WARP_ADDR_STRLEN];
  int error;
  struct UPNPDev *list = upnpDiscoverDevices(types, SEARCH_MS, warp_addr_format(&bare, local), NULL,
                                             UPNP_LOCAL_PORT_ANY, 0, SEARCH_TTL, &error, 0);
  bool found = false;
  unsigned asked = 0;
  for (const struct UPNPDev *device = list; device != NULL && !found && asked < DEVICES_MAX;
       device = device->pNext) {
    if (wg_igd_is_of(device->descURL, &request->gateway)) {
      asked++;
      found = take_device(device, &request->gateway, out);
    }
  }
  freeUPNPDevlist(list);
  return found ? WARP_OK : WARP_NOT_FOUND;
}

/* ---- one port -------------------------------------------------------------------------------- */

typedef struct entry {
  const wg_router_way *way;
  char local[WARP_ADDR_STRLEN], inside[8], outside[8];
  const char *protocol;
} entry;

static entry entry_of(const wg_router_way *way, const wg_router_request *request, uint16_t port) {
  entry e = {.way = way, .protocol = request->transport == WARP_TCP ? "TCP" : "UDP"};
  warp_addr bare = wg_addr_with_port(&request->local, 0);
  warp_addr_format(&bare, e.local);
  snprintf(e.inside, sizeof e.inside, "%u", request->local.port);
  snprintf(e.outside, sizeof e.outside, "%u", port);
  return e;
}

typedef enum owner { NOBODYS, OURS, ANOTHERS, NOT_TOLD } owner;

static owner owner_of(const entry *e) {
  char client[16] = "", port[6] = "", description[80], enabled[4], lease[16];
  int error =
      UPNP_GetSpecificPortMappingEntry(e->way->url, e->way->service, e->outside, e->protocol, NULL,
                                       client, port, description, enabled, lease);
  if (error == NO_SUCH_ENTRY) {
    return NOBODYS;
  }
  if (error != UPNPCOMMAND_SUCCESS) {
    return NOT_TOLD;
  }
  return strcmp(client, e->local) == 0 && strcmp(port, e->inside) == 0 ? OURS : ANOTHERS;
}

static int add(const entry *e, const char *lease) {
  return UPNP_AddPortMapping(e->way->url, e->way->service, e->outside, e->inside, e->local,
                             "warpgate", e->protocol, NULL, lease);
}

/* Some routers take a port away from who has it, so they are asked before; some say yes to
 * everything, so they are asked after. */
static int map_port(const entry *e, uint32_t *lifetime_s) {
  if (owner_of(e) == ANOTHERS) {
    return WARP_ADDR_IN_USE;
  }
  char lease[12];
  snprintf(lease, sizeof lease, "%u", (unsigned)WG_ROUTER_LEASE_S);
  *lifetime_s = WG_ROUTER_LEASE_S;
  int error = add(e, lease);
  if (error == ONLY_PERMANENT) {
    *lifetime_s = 0;
    error = add(e, "0");
  }
  if (error == IS_ANOTHERS) {
    return WARP_ADDR_IN_USE;
  }
  if (error != UPNPCOMMAND_SUCCESS) {
    return error > 0 ? WARP_REFUSED : WARP_IO;
  }
  owner now = owner_of(e);
  return now == OURS || now == NOT_TOLD ? WARP_OK
         : now == ANOTHERS              ? WARP_ADDR_IN_USE
                                        : WARP_REFUSED;
}

int wg_igd_map(const wg_router_way *way, const wg_router_request *request, wg_portmap_grant *out) {
  char text[16] = "";
  warp_addr external;
  if (UPNP_GetExternalIPAddress(way->url, way->service, text) != UPNPCOMMAND_SUCCESS ||
      warp_addr_parse(text, &external) != WARP_OK || external.family != WARP_IP4) {
    return WARP_IO;
  }
  int status = WARP_ADDR_IN_USE;
  for (size_t i = 0; i < WG_ROUTER_PORTS && status == WARP_ADDR_IN_USE; i++) {
    entry e = entry_of(way, request, request->ports[i]);
    *out = (wg_portmap_grant){.external = wg_addr_with_port(&external, request->ports[i]),
                              .protocol = "UPnP IGD"};
    status = map_port(&e, &out->lifetime_s);
  }
  return status == WARP_ADDR_IN_USE ? WARP_REFUSED : status;
}

void wg_igd_unmap(const wg_router_way *way, const wg_router_request *request, uint16_t external) {
  entry e = entry_of(way, request, external);
  if (owner_of(&e) != ANOTHERS) {
    UPNP_DeletePortMapping(way->url, way->service, e.outside, e.protocol, NULL);
  }
}
