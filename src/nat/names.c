#include "nat/names.h"

#include <stdio.h>
#include <string.h>

static const char *const dependence_names[] = {"?", "ei", "ad", "apd"};
static const char *const dependence_texts[] = {"unknown", "endpoint-independent",
                                               "address-dependent", "address- and port-dependent"};
static const char *const allocation_names[] = {"?", "preserving", "sequential", "random"};
static const char no_translation[] = "none";
enum { NAMES = 4 };

const char *wg_dependence_name(uint8_t value) {
  return dependence_names[value < NAMES ? value : 0];
}

const char *wg_dependence_text(uint8_t value) {
  return dependence_texts[value < NAMES ? value : 0];
}

const char *wg_allocation_name(uint8_t value) {
  return allocation_names[value < NAMES ? value : 0];
}

const char *wg_axes_format(const warp_nat_axes *axes, char out[WG_AXES_STRLEN]) {
  const char *filtering = wg_dependence_name(axes->filtering);
  if (axes->translation == WARP_TRANSLATION_NONE) {
    snprintf(out, WG_AXES_STRLEN, "%s/%s", no_translation, filtering);
    return out;
  }
  int len = snprintf(out, WG_AXES_STRLEN, "%s/%s", wg_dependence_name(axes->mapping), filtering);
  if (axes->allocation == WARP_ALLOC_SEQUENTIAL) {
    snprintf(out + len, WG_AXES_STRLEN - (size_t)len, ", %s:%d",
             wg_allocation_name(axes->allocation), axes->step);
  } else if (axes->allocation != WARP_ALLOC_UNKNOWN) {
    snprintf(out + len, WG_AXES_STRLEN - (size_t)len, ", %s", wg_allocation_name(axes->allocation));
  }
  return out;
}

/* Takes one of the names off the front of the text when a byte of `ends` or the end follows. */
static bool take_name(const char **text, const char *const *names, const char *ends, uint8_t *out) {
  size_t len = strcspn(*text, ends);
  for (uint8_t i = 0; i < NAMES; i++) {
    if (strlen(names[i]) == len && memcmp(names[i], *text, len) == 0) {
      *text += len;
      *out = i;
      return true;
    }
  }
  return false;
}

static bool parse_step(const char *text, int16_t *out) {
  bool negative = *text == '-';
  int value = 0;
  const char *digits = text + negative;
  const char *c = digits;
  for (; *c >= '0' && *c <= '9'; c++) {
    value = value * 10 + (*c - '0');
    if (value > INT16_MAX) {
      return false;
    }
  }
  *out = (int16_t)(negative ? -value : value);
  return c != digits && *c == '\0';
}

static bool parse_allocation(const char *text, warp_nat_axes *out) {
  text += strspn(text, " ");
  if (!take_name(&text, allocation_names, ":", &out->allocation)) {
    return false;
  }
  if (out->allocation == WARP_ALLOC_SEQUENTIAL) {
    out->step = 1;
    return *text == '\0' || parse_step(text + 1, &out->step);
  }
  return *text == '\0';
}

int wg_axes_parse(const char *text, warp_nat_axes *out) {
  warp_nat_axes axes = {0};
  size_t none_len = sizeof no_translation - 1;
  bool none = strncmp(text, no_translation, none_len) == 0;
  if (none) {
    axes.translation = WARP_TRANSLATION_NONE;
    axes.mapping = WARP_NAT_ENDPOINT_INDEPENDENT;
    axes.allocation = WARP_ALLOC_PRESERVING;
    text += none_len;
  } else if (!take_name(&text, dependence_names, "/", &axes.mapping)) {
    return WARP_INVALID;
  } else if (axes.mapping != WARP_NAT_UNKNOWN) {
    axes.translation = WARP_TRANSLATION_NAT;
  }
  if (*text++ != '/' || !take_name(&text, dependence_names, ",", &axes.filtering)) {
    return WARP_INVALID;
  }
  if (*text == ',' && (none || !parse_allocation(text + 1, &axes))) {
    return WARP_INVALID;
  }
  *out = axes;
  return WARP_OK;
}

bool wg_axes_equal(const warp_nat_axes *a, const warp_nat_axes *b) {
  return a->translation == b->translation && a->mapping == b->mapping &&
         a->filtering == b->filtering && a->allocation == b->allocation && a->step == b->step &&
         a->confidence == b->confidence && a->hairpin == b->hairpin && a->reuse == b->reuse &&
         a->port_low == b->port_low && a->port_high == b->port_high &&
         a->lifetime_s == b->lifetime_s;
}

const char *wg_axes_cone(const warp_nat_axes *axes) {
  static const char *const cones[] = {"unknown", "full-cone", "restricted", "port-restricted"};
  if (axes->translation == WARP_TRANSLATION_NONE) {
    return axes->filtering == WARP_NAT_UNKNOWN                ? "unknown"
           : axes->filtering == WARP_NAT_ENDPOINT_INDEPENDENT ? "open"
                                                              : "firewall";
  }
  switch (axes->mapping) {
  case WARP_NAT_ENDPOINT_INDEPENDENT:
    return cones[axes->filtering < NAMES ? axes->filtering : 0];
  case WARP_NAT_ADDRESS_DEPENDENT:
  case WARP_NAT_ADDRESS_AND_PORT_DEPENDENT:
    return "symmetric";
  default:
    return "unknown";
  }
}
