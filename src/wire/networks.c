#include "wire/networks.h"

#include "base/addr.h"
#include "wire/axes.h"

enum { FIELD_NETWORK = 1 };
enum { OVER_UDP = 1, OVER_TCP = 2 };

static bool network_valid(const wg_network *network) {
  size_t ip_len = wg_addr_ip_len(&network->prefix);
  return ip_len != 0 && network->prefix_bits <= 8 * ip_len &&
         network->external.family == network->prefix.family && network->measured_ms >= 0 &&
         wg_axes_valid(&network->udp) && wg_axes_valid(&network->tcp);
}

static void write_network(wg_writer *writer, const wg_network *network) {
  size_t ip_len = wg_addr_ip_len(&network->prefix);
  size_t begun = wg_field_begin(writer, FIELD_NETWORK);
  wg_write_u8(writer, network->prefix.family);
  wg_write_u8(writer, network->prefix_bits);
  wg_write_u8(writer,
              (uint8_t)((network->over_udp ? OVER_UDP : 0) | (network->over_tcp ? OVER_TCP : 0)));
  wg_write_bytes(writer, network->prefix.ip, ip_len);
  wg_write_bytes(writer, network->external.ip, ip_len);
  wg_write_u64(writer, (uint64_t)network->measured_ms);
  wg_axes_write(writer, &network->udp);
  wg_axes_write_more(writer, &network->udp);
  wg_axes_write(writer, &network->tcp);
  wg_axes_write_more(writer, &network->tcp);
  wg_field_end(writer, begun);
}

int wg_networks_encode(const wg_networks *networks, uint8_t *out, size_t cap) {
  wg_writer writer = wg_writer_init(out, cap);
  wg_packet_begin(&writer, WG_PACKET_NETWORKS);
  if (networks->count > WG_NETWORKS) {
    return WARP_INVALID;
  }
  for (size_t i = 0; i < networks->count; i++) {
    if (!network_valid(&networks->all[i])) {
      return WARP_INVALID;
    }
    write_network(&writer, &networks->all[i]);
  }
  return wg_writer_result(&writer);
}

static bool read_network(wg_reader *reader, wg_network *out) {
  *out = (wg_network){0};
  int family = wg_read_u8(reader);
  out->prefix_bits = wg_read_u8(reader);
  uint8_t over = wg_read_u8(reader);
  out->over_udp = (over & OVER_UDP) != 0;
  out->over_tcp = (over & OVER_TCP) != 0;
  if (reader->failed || (family != WARP_IP4 && family != WARP_IP6)) {
    return false;
  }
  out->prefix = out->external = wg_addr_any(family, 0);
  wg_read_copy(reader, out->prefix.ip, wg_addr_ip_len(&out->prefix));
  wg_read_copy(reader, out->external.ip, wg_addr_ip_len(&out->external));
  uint64_t measured_ms = wg_read_u64(reader);
  out->measured_ms = measured_ms <= INT64_MAX ? (int64_t)measured_ms : -1;
  wg_axes_read(reader, &out->udp);
  wg_axes_read_more(reader, &out->udp);
  wg_axes_read(reader, &out->tcp);
  wg_axes_read_more(reader, &out->tcp);
  return !reader->failed && network_valid(out);
}

int wg_networks_decode(const uint8_t *bytes, size_t len, wg_networks *out) {
  wg_reader reader = wg_reader_init(bytes, len);
  wg_field field;
  *out = (wg_networks){0};
  int status = wg_packet_open(&reader, WG_PACKET_NETWORKS);
  if (status != WARP_OK) {
    return status;
  }
  while (wg_field_next(&reader, &field)) {
    if (field.type == FIELD_NETWORK &&
        (out->count == WG_NETWORKS || !read_network(&field.value, &out->all[out->count++]))) {
      return WARP_MALFORMED;
    }
  }
  return reader.failed ? WARP_MALFORMED : WARP_OK;
}

static bool is_network(const wg_network *network, const warp_addr *prefix, unsigned prefix_bits,
                       const warp_addr *external) {
  return network->prefix_bits == prefix_bits &&
         wg_addr_in_prefix(&network->prefix, prefix, prefix_bits) &&
         wg_addr_same_ip(&network->external, external);
}

const wg_network *wg_networks_find(const wg_networks *networks, const warp_addr *prefix,
                                   unsigned prefix_bits, const warp_addr *external) {
  for (size_t i = 0; i < networks->count; i++) {
    if (is_network(&networks->all[i], prefix, prefix_bits, external)) {
      return &networks->all[i];
    }
  }
  return NULL;
}

void wg_networks_put(wg_networks *networks, const wg_network *network) {
  size_t place = 0;
  for (size_t i = 0; i < networks->count; i++) {
    if (networks->all[i].measured_ms < networks->all[place].measured_ms) {
      place = i;
    }
  }
  if (networks->count < WG_NETWORKS) {
    place = networks->count;
  }
  for (size_t i = 0; i < networks->count; i++) {
    if (is_network(&networks->all[i], &network->prefix, network->prefix_bits, &network->external)) {
      place = i;
    }
  }
  networks->all[place] = *network;
  networks->count += place == networks->count ? 1 : 0;
}
