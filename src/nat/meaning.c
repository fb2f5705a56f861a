#include "nat/meaning.h"

#include "nat/names.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *mapped_anew(const warp_nat_axes *axes) {
  switch (axes->allocation) {
  case WARP_ALLOC_PRESERVING:
    return "keeps the port of a fresh socket: can be punched from one";
  case WARP_ALLOC_SEQUENTIAL:
    return "a new port for each destination, the next one: can be foretold";
  case WARP_ALLOC_RANDOM:
    return "a new, random port for each destination: has to be guessed";
  default:
    return "a new port for each destination";
  }
}

static const char *untranslated(const warp_nat_axes *axes) {
  if (axes->filtering == WARP_NAT_UNKNOWN)
    return "no NAT; what it lets in is not known";
  return axes->filtering == WARP_NAT_ENDPOINT_INDEPENDENT
             ? "anybody can dial it"
             : "lets in only answers: can be punched, not dialled";
}

const char *wg_axes_meaning(const warp_nat_axes *axes) {
  if (axes->translation == WARP_TRANSLATION_NONE)
    return untranslated(axes);
  if (axes->mapping == WARP_NAT_UNKNOWN)
    return "";
  if (axes->mapping != WARP_NAT_ENDPOINT_INDEPENDENT)
    return mapped_anew(axes);
  switch (axes->filtering) {
  case WARP_NAT_ENDPOINT_INDEPENDENT:
    return "anybody can dial its mapped address";
  case WARP_NAT_ADDRESS_DEPENDENT:
    return "lets in hosts that it has sent to: can be punched";
  case WARP_NAT_ADDRESS_AND_PORT_DEPENDENT:
    return "lets in only what it has sent to: can be punched";
  default:
    return "one port for all destinations";
  }
}

static bool known(const warp_nat_axes *axes) {
  return axes->translation != WARP_TRANSLATION_UNKNOWN || axes->mapping != WARP_NAT_UNKNOWN;
}

static bool same(const warp_nat_axes *a, const warp_nat_axes *b) {
  char one[WG_AXES_STRLEN], other[WG_AXES_STRLEN];
  return strcmp(wg_axes_format(a, one), wg_axes_format(b, other)) == 0;
}

const char *wg_endpoint_describe(const warp_endpoint *endpoint, char *out, size_t room) {
  const warp_nat_axes *udp = &endpoint->udp, *tcp = &endpoint->tcp;
  char axes[WG_AXES_STRLEN];
  out[0] = '\0';
  if (!known(udp) && !known(tcp))
    return out;
  const warp_nat_axes *first = known(udp) ? udp : tcp;
  int len = snprintf(out, room, "%s (%s): %s", wg_axes_cone(first), wg_axes_format(first, axes),
                     wg_axes_meaning(first));
  if (known(udp) && known(tcp) && !same(udp, tcp) && len > 0 && (size_t)len < room)
    snprintf(out + len, room - (size_t)len, "; over TCP %s (%s)", wg_axes_cone(tcp),
             wg_axes_format(tcp, axes));
  return out;
}
