/*
 * What a program hands to the kernel as one piece leaves an interface as the packets it stands for.
 */
#include "netns/internal.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { FEATURES_MAX = 512, WORD_BITS = 32 }; /* Linux 6.12 has 66 */

/* What the kernel reads or writes begins with a head and has room for FEATURES_MAX behind it. */
typedef union request {
  struct ethtool_sset_info count;
  struct ethtool_gstrings names;
  struct ethtool_sfeatures change;
  uint8_t room[sizeof(struct ethtool_gstrings) + FEATURES_MAX * ETH_GSTRING_LEN];
} request;

/* Any socket of the host's namespace does for this. */
static int ask(const ns_host *host, const char *interface, request *what) {
  struct ifreq about = {.ifr_data = (void *)what};
  memcpy(about.ifr_name, interface, strnlen(interface, sizeof about.ifr_name - 1));
  return ioctl(host->netlink_fd, SIOCETHTOOL, &about) < 0 ? -errno : 0;
}

static void begin(request *what, uint32_t command) {
  memset(what, 0, sizeof *what);
  what->count.cmd = command; /* all of them begin with it */
}

/* The number of a feature, or a negative errno; -ENOENT: the kernel does not know it. `words` is
 * what all features of the kernel fill. */
static int find_feature(const ns_host *host, const char *interface, const char *name, request *what,
                        uint32_t *words) {
  begin(what, ETHTOOL_GSSET_INFO);
  what->count.sset_mask = 1ull << ETH_SS_FEATURES;
  int result = ask(host, interface, what);
  uint32_t count = what->count.data[0];
  if (result < 0 || count > FEATURES_MAX)
    return result < 0 ? result : -E2BIG;
  *words = (count + WORD_BITS - 1) / WORD_BITS;
  begin(what, ETHTOOL_GSTRINGS);
  what->names.string_set = ETH_SS_FEATURES;
  what->names.len = count;
  result = ask(host, interface, what);
  for (uint32_t at = 0; result == 0 && at < count; at++)
    if (strncmp((const char *)what->names.data + at * ETH_GSTRING_LEN, name, ETH_GSTRING_LEN) == 0)
      return (int)at;
  return result < 0 ? result : -ENOENT;
}

static int switch_off(const ns_host *host, const char *interface, int feature, uint32_t words,
                      request *what) {
  begin(what, ETHTOOL_SFEATURES);
  what->change.size = words;
  what->change.features[feature / WORD_BITS].valid = UINT32_C(1) << feature % WORD_BITS;
  return ask(host, interface, what);
}

int ns_cut_datagrams(const ns_host *host, const char *interface, ns_error *error) {
  request *what = malloc(sizeof *what);
  uint32_t words = 0;
  int feature = what ? find_feature(host, interface, "tx-udp-segmentation", what, &words) : -ENOMEM;
  int result = feature >= 0 ? switch_off(host, interface, feature, words, what) : feature;
  free(what);
  if (result < 0 && result != -ENOENT) /* a kernel that does not know it never joins them */
    return ns_fail(error, -result, "%s: datagrams by %s cannot be kept apart: %s", host->name,
                   interface, strerror(-result));
  return 0;
}
