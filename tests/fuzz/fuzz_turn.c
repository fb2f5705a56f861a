/* What a TURN client takes from its server, at every stage of an allocation: the first byte chooses
 * the stage, the rest is the packet. Then the codecs alone. */
#include "fuzz_target.h"
#include "machine/turn_client.h"

#include <stdlib.h>
#include <string.h>

static const warp_addr server = {.family = WARP_IP4, .ip = {192, 0, 2, 1}, .port = 3478};
static const warp_addr peer = {.family = WARP_IP4, .ip = {192, 0, 2, 9}, .port = 9};

/* The transaction ids of the corpus: 0, 1, 2 ... */
static int same_every_time(void *arg, void *out, size_t len) {
  uint8_t *bytes = out;
  (void)arg;
  for (size_t i = 0; i < len; i++) {
    bytes[i] = (uint8_t)i;
  }
  return WARP_OK;
}

static void drive(wg_turn_client *client, uint64_t now_us) {
  const uint8_t *bytes;
  size_t len;
  wg_turn_event event;
  while (wg_turn_client_output(client, now_us, &bytes, &len)) {
  }
  while (wg_turn_client_event(client, &event)) {
  }
  (void)wg_turn_client_deadline(client);
}

static void feed_machine(unsigned stage, const uint8_t *data, size_t size) {
  wg_turn_client client;
  const wg_turn_options options = {
      .server = server, .user = "user", .password = "password", .random = same_every_time};
  const uint8_t *payload;
  size_t payload_len;
  warp_addr from;
  if (wg_turn_client_start(&client, &options, 1) != WARP_OK) {
    abort();
  }
  drive(&client, 1);
  if (stage & 1) { /* the server has asked for credentials */
    client.has_key = true;
    strcpy(client.realm, "example.org");
    strcpy(client.nonce, "nonce");
  }
  if (stage & 2) {
    client.state = WG_TURN_ALLOCATED;
  }
  if (stage & 4) {
    (void)wg_turn_client_permit(&client, &peer, 1);
    (void)wg_turn_client_bind(&client, &peer, 1);
    client.peers[0].state = WG_TURN_PEER_READY;
    client.peers[1].state = WG_TURN_PEER_READY;
  }
  drive(&client, 2);
  (void)wg_turn_client_input(&client, data, size, &server, 3, &from, &payload, &payload_len);
  drive(&client, 4);
  wg_turn_client_close(&client, 5);
  drive(&client, 6);
}

/* The same bytes as a stream, in pieces. */
static void feed_stream(const uint8_t *data, size_t size) {
  wg_turn_deframer deframer = {.have = 0};
  const uint8_t *frame;
  size_t len, step = size / 3 + 1;
  for (size_t at = 0; at < size; at += step) {
    const uint8_t *piece = data + at;
    size_t left = size - at < step ? size - at : step;
    int status;
    while ((status = wg_turn_deframe(&deframer, &piece, &left, &frame, &len)) == WARP_OK) {
      if (len == 0 || len > WG_STUN_MAX) {
        abort();
      }
    }
    if (status == WARP_MALFORMED) {
      return;
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint16_t channel;
  const uint8_t *payload;
  size_t len;
  if (size == 0) {
    return 0;
  }
  unsigned stage = data[0];
  data++;
  size--;
  feed_machine(stage, data, size);
  (void)wg_turn_channel_decode(data, size, &channel, &payload, &len);
  feed_stream(data, size);
  return 0;
}
