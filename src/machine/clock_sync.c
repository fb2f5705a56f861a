#include "machine/clock_sync.h"

#include <string.h>

enum {
  RESEND_FIRST_MS = 500, /* longer than nearly all paths take; doubled for each that is lost */
  RESEND_DOUBLINGS_MAX = 2,
  TICK_US = 1000, /* clocks that are read in two places part by so much */
  EDGES = 2 * WG_CLOCK_SERVERS,
};
#define MILLI UINT64_C(1000)

/* ---- time ------------------------------------------------------------------------------------ */

int wg_clock_sync_start(wg_clock_sync *sync, const wg_clock_options *options, uint64_t now_us) {
  *sync = (wg_clock_sync){.options = *options,
                          .done = true,
                          .result = {.status = WARP_INVALID},
                          .give_up_us = now_us + options->timeout_ms * MILLI};
  if (options->server_count == 0 || options->server_count > WG_CLOCK_SERVERS ||
      options->samples == 0 || options->samples > WG_CLOCK_SAMPLES_MAX || options->random == NULL)
    return WARP_INVALID;
  sync->done = false;
  for (size_t i = 0; i < options->server_count; i++)
    sync->servers[i].next_us = now_us;
  return WARP_OK;
}

/* Is everything known of this server that will be asked for? */
static bool complete(const wg_clock_sync *sync, const wg_clock_server *server) {
  return server->samples >= sync->options.samples || server->answer == WG_CLOCK_UNFIT ||
         server->answer == WG_CLOCK_BUSY || server->answer == WG_CLOCK_BARRED;
}

static bool may_ask(const wg_clock_sync *sync, const wg_clock_server *server) {
  return !complete(sync, server) && server->request_count < WG_CLOCK_REQUESTS;
}

uint64_t wg_clock_sync_deadline(const wg_clock_sync *sync) {
  if (sync->done)
    return UINT64_MAX;
  uint64_t deadline_us = sync->give_up_us;
  for (size_t i = 0; i < sync->options.server_count; i++) {
    const wg_clock_server *server = &sync->servers[i];
    if (may_ask(sync, server) && server->next_us < deadline_us)
      deadline_us = server->next_us;
  }
  return deadline_us;
}

/* ---- who agrees ------------------------------------------------------------------------------ */

/* The lower (-1) or upper (+1) end of a server's interval. */
typedef struct edge {
  int64_t at_us;
  int type;
} edge;

static void insert(edge *edges, size_t count, edge added) {
  size_t i = count;
  for (; i > 0 && (edges[i - 1].at_us > added.at_us ||
                   (edges[i - 1].at_us == added.at_us && edges[i - 1].type > added.type));
       i--)
    edges[i] = edges[i - 1];
  edges[i] = added;
}

static bool has_sample(const wg_clock_server *server) {
  return server->samples > 0;
}

static size_t list_edges(const wg_clock_sync *sync, edge edges[EDGES]) {
  size_t count = 0;
  for (size_t i = 0; i < sync->options.server_count; i++) {
    const wg_clock_server *server = &sync->servers[i];
    if (!has_sample(server))
      continue;
    int64_t distance_us = (int64_t)server->distance_us;
    insert(edges, count++, (edge){server->epoch_us - distance_us, -1});
    insert(edges, count++, (edge){server->epoch_us + distance_us, +1});
  }
  return count;
}

/* The smallest interval that holds every point which `wanted` of the servers' intervals have in
 * common. Unlike RFC 5905 it does not ask that their middles lie in it: a server that is right may
 * have its middle anywhere when the two ways differ. */
static bool intersect(const edge *edges, size_t count, unsigned wanted, int64_t *low,
                      int64_t *high) {
  int covered = 0;
  size_t first = 0, last = count;
  for (; first < count; first++) {
    covered -= edges[first].type;
    if (covered >= (int)wanted)
      break;
  }
  covered = 0;
  for (; last > 0; last--) {
    covered += edges[last - 1].type;
    if (covered >= (int)wanted)
      break;
  }
  if (first == count || last == 0)
    return false;
  *low = edges[first].at_us;
  *high = edges[last - 1].at_us;
  return true;
}

/* The mean of those whose middle lies in the interval, each weighted by how certain it is (RFC
 * 5905 section 11.2.3). Sums are of differences from `low`, which are small. */
static int64_t combine(const wg_clock_sync *sync, int64_t low, int64_t high) {
  double sum = 0, weights = 0;
  for (size_t i = 0; i < sync->options.server_count; i++) {
    const wg_clock_server *server = &sync->servers[i];
    if (!has_sample(server) || server->epoch_us < low || server->epoch_us > high)
      continue;
    double weight = 1.0 / (double)server->distance_us;
    sum += weight * (double)(server->epoch_us - low);
    weights += weight;
  }
  return weights > 0 ? low + (int64_t)(sum / weights) : low + (high - low) / 2;
}

/* Finds the interval of the largest majority among those that have answered. */
static void select_time(wg_clock_sync *sync, uint64_t now_us) {
  wg_clock_result *result = &sync->result;
  edge edges[EDGES];
  size_t count = list_edges(sync, edges);
  *result = (wg_clock_result){.answered = (unsigned)(count / 2), .measured_us = now_us};
  for (unsigned wanted = result->answered; 2 * wanted > result->answered; wanted--) {
    int64_t low, high;
    if (!intersect(edges, count, wanted, &low, &high))
      continue;
    result->agreed = wanted;
    result->epoch_us = combine(sync, low, high);
    int64_t below = result->epoch_us - low, above = high - result->epoch_us;
    result->uncertainty_us = (uint32_t)(below > above ? below : above);
    return;
  }
}

static int failure(const wg_clock_sync *sync) {
  if (sync->result.answered > 0)
    return WARP_UNTRUSTED;
  for (size_t i = 0; i < sync->options.server_count; i++) {
    if (sync->servers[i].answer != WG_CLOCK_SILENT)
      return WARP_REFUSED;
  }
  return WARP_TIMEOUT;
}

static bool all_complete(const wg_clock_sync *sync) {
  for (size_t i = 0; i < sync->options.server_count; i++) {
    if (!complete(sync, &sync->servers[i]))
      return false;
  }
  return true;
}

/* Have enough servers for a majority of all said all that they will be asked for? */
static bool enough_complete(const wg_clock_sync *sync) {
  size_t said = 0;
  for (size_t i = 0; i < sync->options.server_count; i++) {
    const wg_clock_server *server = &sync->servers[i];
    said += has_sample(server) && complete(sync, server) ? 1 : 0;
  }
  return 2 * said > sync->options.server_count;
}

static void finish_if_decided(wg_clock_sync *sync, uint64_t now_us) {
  bool over = all_complete(sync) || now_us >= sync->give_up_us;
  if (!over && !enough_complete(sync))
    return;
  select_time(sync, now_us);
  if (!over && 2 * sync->result.agreed <= sync->options.server_count)
    return;
  sync->done = true;
  sync->result.status = sync->result.agreed > 0 ? WARP_OK : failure(sync);
}

/* ---- output ---------------------------------------------------------------------------------- */

static bool ask(wg_clock_sync *sync, wg_clock_server *server, uint64_t now_us) {
  wg_clock_request *request = &server->requests[server->request_count];
  uint64_t lost = server->request_count - server->samples;
  uint64_t doublings = lost < RESEND_DOUBLINGS_MAX ? lost : RESEND_DOUBLINGS_MAX;
  server->next_us = now_us + (RESEND_FIRST_MS * MILLI << doublings);
  server->request_count++;
  if (sync->options.random(sync->options.random_arg, &request->nonce, sizeof request->nonce) !=
      WARP_OK)
    return false;
  request->open = true;
  request->sent_us = now_us;
  wg_ntp_packet packet = {
      .version = WG_NTP_VERSION, .mode = WG_NTP_CLIENT, .transmit = request->nonce};
  wg_ntp_encode(&packet, sync->out);
  return true;
}

bool wg_clock_sync_output(wg_clock_sync *sync, uint64_t now_us, size_t *server,
                          const uint8_t **bytes) {
  if (sync->done)
    return false;
  for (size_t i = 0; now_us < sync->give_up_us && i < sync->options.server_count; i++) {
    wg_clock_server *asked = &sync->servers[i];
    if (now_us < asked->next_us || !may_ask(sync, asked) || !ask(sync, asked, now_us))
      continue;
    *server = i;
    *bytes = sync->out;
    return true;
  }
  finish_if_decided(sync, now_us);
  return false;
}

/* ---- input ----------------------------------------------------------------------------------- */

static wg_clock_request *find_request(wg_clock_server *server, uint64_t origin) {
  for (size_t i = 0; i < server->request_count; i++) {
    if (server->requests[i].open && server->requests[i].nonce == origin)
      return &server->requests[i];
  }
  return NULL;
}

static void obey_kiss(wg_clock_server *server, uint32_t code) {
  if (code == WG_NTP_KISS_DENY || code == WG_NTP_KISS_RSTR) {
    server->answer = WG_CLOCK_BARRED;
    server->samples = 0;
  } else {
    server->answer = code == WG_NTP_KISS_RATE ? WG_CLOCK_BUSY : WG_CLOCK_UNFIT;
  }
}

static bool synchronized(const wg_ntp_packet *packet) {
  return packet->leap != WG_NTP_LEAP_UNKNOWN && packet->stratum < WG_NTP_STRATUM_UNSYNCHRONIZED &&
         packet->receive != 0 && packet->transmit != 0;
}

/* 2 to the `log2` seconds, 1 us at least. */
static uint64_t precision_us(int8_t log2) {
  if (log2 >= 0)
    return WG_CLOCK_DISTANCE_US;
  uint64_t precision = log2 > -20 ? (uint64_t)WG_CLOCK_DISTANCE_US >> -log2 : 0;
  return precision > 0 ? precision : 1;
}

/* The four timestamps (RFC 5905 section 8). False when they cannot be: a server that held the
 * request for longer than it was gone, or is too uncertain to be of use. */
static bool measure(const wg_ntp_packet *packet, uint64_t sent_us, uint64_t now_us,
                    int64_t *epoch_us, uint64_t *distance_us) {
  int64_t received_us = wg_ntp_to_utc_us(packet->receive);
  int64_t held_us = wg_ntp_to_utc_us(packet->transmit) - received_us;
  int64_t gone_us = (int64_t)(now_us - sent_us);
  if (held_us < 0 || held_us > gone_us + TICK_US)
    return false;
  uint64_t delay_us = held_us < gone_us ? (uint64_t)(gone_us - held_us) : 0;
  *epoch_us = received_us - (int64_t)sent_us - (int64_t)(delay_us / 2);
  *distance_us = (delay_us + wg_ntp_short_us(packet->root_delay)) / 2 +
                 wg_ntp_short_us(packet->root_dispersion) + precision_us(packet->precision);
  return *distance_us <= WG_CLOCK_DISTANCE_US;
}

static void take_sample(wg_clock_sync *sync, wg_clock_server *server, const wg_ntp_packet *packet,
                        uint64_t sent_us, uint64_t now_us) {
  int64_t epoch_us;
  uint64_t distance_us;
  if (!measure(packet, sent_us, now_us, &epoch_us, &distance_us)) {
    server->answer = has_sample(server) ? server->answer : WG_CLOCK_UNFIT;
    return;
  }
  if (!has_sample(server) || distance_us < server->distance_us) {
    server->epoch_us = epoch_us;
    server->distance_us = distance_us;
  }
  server->answer = WG_CLOCK_ANSWERED;
  server->samples++;
  server->next_us = now_us + sync->options.spacing_ms * MILLI;
}

bool wg_clock_sync_input(wg_clock_sync *sync, size_t server, const uint8_t *bytes, size_t len,
                         uint64_t now_us) {
  if (sync->done || server >= sync->options.server_count)
    return false;
  wg_clock_server *from = &sync->servers[server];
  wg_ntp_packet packet;
  wg_clock_request *request = NULL;
  if (wg_ntp_decode(bytes, len, &packet) == WARP_OK && packet.mode == WG_NTP_SERVER)
    request = find_request(from, packet.origin);
  if (request == NULL || from->answer == WG_CLOCK_BARRED) {
    sync->rejected++;
    return false;
  }
  request->open = false;
  if (packet.stratum == WG_NTP_STRATUM_KISS)
    obey_kiss(from, packet.reference_id);
  else if (!synchronized(&packet))
    from->answer = has_sample(from) ? from->answer : WG_CLOCK_UNFIT;
  else
    take_sample(sync, from, &packet, request->sent_us, now_us);
  finish_if_decided(sync, now_us);
  return true;
}
