#include <warpgate/warpgate.h>

warp_net_conf warp_net_conf_default(void) {
  return (warp_net_conf){
      .dns_timeout_ms = 2000,
      .ssl_handshake_ms = 4000,
      .recv_timeout_ms = 2000,
      .con_timeout_ms = 2000,
      .max_msg_ids = 1000,
      .reader_limit = 65536,
      .do_close = true,
      .linger_ms = -1,
      .send_retry = 2,
  };
}
