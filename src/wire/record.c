#include "wire/record.h"

#include "base/addr.h"
#include "wire/axes.h"
#include "wire/packet.h"

#include <string.h>

enum field {
  FIELD_KEY = 1,
  FIELD_MACHINE = 2,
  FIELD_SEQUENCE = 3,
  FIELD_ISSUED = 4,
  FIELD_EXPIRES = 5,
  FIELD_ENDPOINT = 6,
  FIELD_BROKER = 7,
  FIELD_RELAY = 8,
};

/* Every record has these. */
static const uint64_t required = 1u << FIELD_KEY | 1u << FIELD_MACHINE | 1u << FIELD_SEQUENCE |
                                 1u << FIELD_ISSUED | 1u << FIELD_EXPIRES;

/* How an external address is written: most share their IP with another address of the endpoint,
 * and 16 bytes each decide whether a host with many interfaces fits into a record. */
enum form { FORM_ABSENT = 0, FORM_FULL = 1, FORM_IP_OF_NIC = 2, FORM_IP_OF_UDP = 3 };
enum { FORM_BITS = 2, FORM_MASK = 3 };

/* ---- endpoints ------------------------------------------------------------------------------- */

enum { PORT_MAPPED_MASK = WARP_TCP | WARP_UDP };

static bool endpoint_valid(const warp_endpoint *endpoint) {
  size_t ip_len = wg_addr_ip_len(&endpoint->nic);
  return ip_len != 0 && endpoint->nic.family == endpoint->family &&
         endpoint->prefix_bits <= 8 * ip_len &&
         (endpoint->external_udp.family == 0 ||
          endpoint->external_udp.family == endpoint->family) &&
         (endpoint->external_tcp.family == 0 ||
          endpoint->external_tcp.family == endpoint->family) &&
         endpoint->port_mapped <= PORT_MAPPED_MASK && wg_axes_valid(&endpoint->udp) &&
         wg_axes_valid(&endpoint->tcp);
}

static enum form form_of(const warp_endpoint *endpoint, const warp_addr *addr) {
  if (addr->family == 0) {
    return FORM_ABSENT;
  }
  if (wg_addr_same_ip(addr, &endpoint->nic)) {
    return FORM_IP_OF_NIC;
  }
  if (addr == &endpoint->external_tcp && wg_addr_same_ip(addr, &endpoint->external_udp)) {
    return FORM_IP_OF_UDP;
  }
  return FORM_FULL;
}

static void write_addr(wg_writer *writer, const warp_addr *addr, enum form form) {
  if (form == FORM_FULL) {
    wg_write_bytes(writer, addr->ip, wg_addr_ip_len(addr));
  }
  if (form != FORM_ABSENT) {
    wg_write_u16(writer, addr->port);
  }
}

static void write_endpoint(wg_writer *writer, const warp_endpoint *endpoint) {
  enum form udp = form_of(endpoint, &endpoint->external_udp);
  enum form tcp = form_of(endpoint, &endpoint->external_tcp);
  size_t begun = wg_field_begin(writer, FIELD_ENDPOINT);
  wg_write_u8(writer, endpoint->family);
  wg_write_u8(writer, endpoint->prefix_bits);
  wg_write_u8(writer, (uint8_t)(udp | tcp << FORM_BITS));
  write_addr(writer, &endpoint->nic, FORM_FULL);
  write_addr(writer, &endpoint->external_udp, udp);
  write_addr(writer, &endpoint->external_tcp, tcp);
  wg_axes_write(writer, &endpoint->udp);
  wg_axes_write(writer, &endpoint->tcp);
  wg_write_u8(writer, endpoint->port_mapped);
  wg_axes_write_more(writer, &endpoint->udp);
  wg_axes_write_more(writer, &endpoint->tcp);
  wg_field_end(writer, begun);
}

/* Reads an address of a form; `other` gives the IP where the form shares one. False when the form
 * has no meaning here. */
static bool read_addr(wg_reader *reader, int family, unsigned form, const warp_addr *other,
                      warp_addr *out) {
  *out = (warp_addr){0};
  if (form == FORM_ABSENT) {
    return true;
  }
  if (form == FORM_FULL) {
    *out = wg_addr_any(family, 0);
    wg_read_copy(reader, out->ip, wg_addr_ip_len(out));
  } else if (other != NULL && other->family == family) {
    *out = *other;
  } else {
    return false;
  }
  out->port = wg_read_u16(reader);
  return !reader->failed;
}

/* Bytes behind the known ones are left to later versions. */
static bool read_endpoint(wg_reader *reader, warp_endpoint *out) {
  *out = (warp_endpoint){0};
  out->family = wg_read_u8(reader);
  out->prefix_bits = wg_read_u8(reader);
  uint8_t forms = wg_read_u8(reader);
  unsigned udp = forms & FORM_MASK;
  unsigned tcp = forms >> FORM_BITS & FORM_MASK;
  if (reader->failed || (out->family != WARP_IP4 && out->family != WARP_IP6) ||
      !read_addr(reader, out->family, FORM_FULL, NULL, &out->nic) ||
      !read_addr(reader, out->family, udp, udp == FORM_IP_OF_NIC ? &out->nic : NULL,
                 &out->external_udp) ||
      !read_addr(reader, out->family, tcp, tcp == FORM_IP_OF_NIC ? &out->nic : &out->external_udp,
                 &out->external_tcp)) {
    return false;
  }
  wg_axes_read(reader, &out->udp);
  wg_axes_read(reader, &out->tcp);
  if (wg_reader_left(reader) > 0) {
    out->port_mapped = wg_read_u8(reader) & PORT_MAPPED_MASK;
    wg_axes_read_more(reader, &out->udp);
    wg_axes_read_more(reader, &out->tcp);
  }
  return !reader->failed && endpoint_valid(out);
}

/* ---- hints ----------------------------------------------------------------------------------- */

static bool hint_valid(const char *text) {
  wg_server_name name;
  return wg_server_name_parse(text, &name) == WARP_OK && name.user[0] == '\0';
}

static bool read_hint(wg_field *field, char hints[WG_RECORD_HINTS][WG_HINT_LEN], size_t *count) {
  return *count < WG_RECORD_HINTS &&
         wg_field_get_text(field, hints[*count], sizeof hints[*count]) &&
         hint_valid(hints[(*count)++]);
}

/* ---- records --------------------------------------------------------------------------------- */

static bool record_valid(const wg_record *record) {
  if (record->endpoint_count > WG_RECORD_ENDPOINTS || record->broker_count > WG_RECORD_HINTS ||
      record->relay_count > WG_RECORD_HINTS || record->issued_ms < 0 ||
      record->expires_ms < record->issued_ms) {
    return false;
  }
  for (size_t i = 0; i < record->endpoint_count; i++) {
    if (!endpoint_valid(&record->endpoints[i])) {
      return false;
    }
  }
  for (size_t i = 0; i < record->broker_count; i++) {
    if (!hint_valid(record->brokers[i])) {
      return false;
    }
  }
  for (size_t i = 0; i < record->relay_count; i++) {
    if (!hint_valid(record->relays[i])) {
      return false;
    }
  }
  return true;
}

int wg_record_encode(const wg_record *record, uint8_t *out, size_t cap) {
  if (!record_valid(record)) {
    return WARP_INVALID;
  }
  /* The signature must still fit, or the record could not be sent. */
  size_t room = WARP_RECORD_MAX - WG_SIGNATURE_FIELD_LEN;
  wg_writer writer = wg_writer_init(out, cap < room ? cap : room);
  wg_packet_begin(&writer, WG_PACKET_RECORD);
  wg_field_bytes(&writer, FIELD_KEY, record->key.bytes, WARP_KEY_LEN);
  wg_field_bytes(&writer, FIELD_MACHINE, record->machine, WG_MACHINE_ID_LEN);
  wg_field_u64(&writer, FIELD_SEQUENCE, record->sequence);
  wg_field_u64(&writer, FIELD_ISSUED, (uint64_t)record->issued_ms);
  wg_field_u64(&writer, FIELD_EXPIRES, (uint64_t)record->expires_ms);
  for (size_t i = 0; i < record->endpoint_count; i++) {
    write_endpoint(&writer, &record->endpoints[i]);
  }
  for (size_t i = 0; i < record->broker_count; i++) {
    wg_field_bytes(&writer, FIELD_BROKER, record->brokers[i], strlen(record->brokers[i]));
  }
  for (size_t i = 0; i < record->relay_count; i++) {
    wg_field_bytes(&writer, FIELD_RELAY, record->relays[i], strlen(record->relays[i]));
  }
  return wg_writer_result(&writer);
}

int wg_record_attach(uint8_t *bytes, size_t len, size_t cap,
                     const uint8_t signature[WG_SIGNATURE_LEN]) {
  return wg_signature_attach(bytes, len, cap < WARP_RECORD_MAX ? cap : WARP_RECORD_MAX, signature);
}

static bool read_field(wg_field *field, wg_record *out) {
  switch (field->type) {
  case FIELD_KEY:
    return wg_field_get_bytes(field, out->key.bytes, WARP_KEY_LEN);
  case FIELD_MACHINE:
    return wg_field_get_bytes(field, out->machine, WG_MACHINE_ID_LEN);
  case FIELD_SEQUENCE:
    return wg_field_get_u64(field, &out->sequence);
  case FIELD_ISSUED:
    return wg_field_get_i64(field, &out->issued_ms);
  case FIELD_EXPIRES:
    return wg_field_get_i64(field, &out->expires_ms);
  case FIELD_ENDPOINT:
    return out->endpoint_count < WG_RECORD_ENDPOINTS &&
           read_endpoint(&field->value, &out->endpoints[out->endpoint_count++]);
  case FIELD_BROKER:
    return read_hint(field, out->brokers, &out->broker_count);
  case FIELD_RELAY:
    return read_hint(field, out->relays, &out->relay_count);
  default:
    return true;
  }
}

int wg_record_decode(const uint8_t *bytes, size_t len, wg_record *out, size_t *signed_len,
                     uint8_t signature[WG_SIGNATURE_LEN]) {
  wg_reader reader = wg_reader_init(bytes, len);
  wg_field field;
  uint64_t seen = 0;
  *out = (wg_record){0};
  int status = wg_packet_open(&reader, WG_PACKET_RECORD);
  if (status != WARP_OK) {
    return status;
  }
  if (len > WARP_RECORD_MAX || !wg_signature_split(&reader, signed_len, signature)) {
    return WARP_MALFORMED;
  }
  while (wg_field_next(&reader, &field)) {
    bool repeats = field.type >= FIELD_ENDPOINT && field.type <= FIELD_RELAY;
    if ((!wg_field_once(&seen, field.type) && !repeats) || !read_field(&field, out)) {
      return WARP_MALFORMED;
    }
  }
  if (reader.failed || (seen & required) != required || out->expires_ms < out->issued_ms) {
    return WARP_MALFORMED;
  }
  return WARP_OK;
}
