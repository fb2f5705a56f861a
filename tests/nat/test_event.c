/* Events of a trial: what is read, what is refused, and when each is due. */
#include "natsim/event.h"

#include "natsim/topology.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static sim_event parsed(const char *text) {
  sim_event event;
  ns_error error;
  if (sim_event_parse(text, &event, &error))
    fail_msg("%s: %s", text, error.text);
  return event;
}

static void refused(const char *text, const char *words) {
  sim_event event;
  ns_error error = {.text = ""};
  assert_int_equal(sim_event_parse(text, &event, &error), -1);
  if (!strstr(error.text, words))
    fail_msg("%s: %s", text, error.text);
}

static void events_are_read(void **state) {
  (void)state;
  sim_event e = parsed("500:reboot-a");
  assert_int_equal(e.moment, SIM_AT_GO);
  assert_int_equal(e.deed, SIM_REBOOT);
  assert_int_equal(e.side, SIM_A);
  assert_true(e.after_ms == 500);
  e = parsed("connected:expire-b");
  assert_int_equal(e.moment, SIM_AT_CONNECTED);
  assert_int_equal(e.deed, SIM_EXPIRE);
  assert_int_equal(e.side, SIM_B);
  e = parsed("ready+1.5:uplink-down-b");
  assert_int_equal(e.moment, SIM_AT_READY);
  assert_true(e.after_ms == 1.5);
  assert_int_equal(e.deed, SIM_UPLINK_DOWN);
  assert_int_equal(parsed("go:uplink-up-a").deed, SIM_UPLINK_UP);
  assert_int_equal(parsed("0:address-a").deed, SIM_ADDRESS);
  assert_int_equal(parsed("0:readdress-b").deed, SIM_READDRESS);
  assert_int_equal(parsed("0:readdress-b").side, SIM_B);
  assert_int_equal(parsed("0:block-udp-b").deed, SIM_BLOCK);
  e = parsed("0.25:stop-turn");
  assert_int_equal(e.deed, SIM_STOP);
  assert_int_equal(e.server, SIM_TURN);
  e = parsed("7:start-names");
  assert_int_equal(e.deed, SIM_START);
  assert_int_equal(e.server, SIM_NAMES);
  assert_string_equal(sim_event_what(&e), "start-names");
}

static void what_makes_no_sense_is_refused(void **state) {
  (void)state;
  refused("reboot-a", "WHEN:WHAT");
  refused("", "WHEN:WHAT");
  refused(":reboot-a", "WHEN is");
  refused("soon:reboot-a", "WHEN is");
  refused("-5:reboot-a", "WHEN is");
  refused("5x:reboot-a", "WHEN is");
  refused("connected+:reboot-a", "WHEN is");
  refused("connected+x:reboot-a", "WHEN is");
  refused("connectedly:reboot-a", "WHEN is");
  refused("3600001:reboot-a", "WHEN is");
  refused("nan:reboot-a", "WHEN is");
  refused("5:", "there is");
  refused("5:reboot", "there is");
  refused("5:reboot-c", "there is");
  refused("5:reboot-ab", "there is");
  refused("5:stop-a", "there is");
  refused("5:stop-", "there is");
  refused("5:restart-turn", "there is");
  refused("5:reboot-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "too long");
}

/* What is due at `now_ms`, or "". */
static const char *due(sim_schedule *s, double now_ms) {
  const sim_event *event = sim_schedule_due(s, now_ms);
  return event ? sim_event_what(event) : "";
}

static void events_happen_in_their_order(void **state) {
  (void)state;
  const sim_event events[] = {parsed("300:reboot-b"), parsed("connected+20:expire-a"),
                              parsed("300:stop-stun"), parsed("ready:stop-turn"),
                              parsed("9000:reboot-a")};
  sim_schedule s = sim_schedule_new(events, 5);
  assert_true(isinf(sim_schedule_next_ms(&s)));
  assert_string_equal(due(&s, 1e9), "");
  sim_schedule_reach(&s, SIM_AT_READY, 995);
  assert_true(sim_schedule_next_ms(&s) == 995);
  assert_string_equal(due(&s, 995), "stop-turn");
  assert_string_equal(due(&s, 999), "");
  sim_schedule_reach(&s, SIM_AT_GO, 1000);
  assert_true(sim_schedule_next_ms(&s) == 1300);
  assert_string_equal(due(&s, 1299.9), "");
  sim_schedule_reach(&s, SIM_AT_CONNECTED, 1270);
  sim_schedule_reach(&s, SIM_AT_CONNECTED, 1279); /* only the first time counts */
  assert_true(sim_schedule_next_ms(&s) == 1290);
  assert_string_equal(due(&s, 1300.5), "expire-a");
  assert_string_equal(due(&s, 1300.5), "reboot-b");
  assert_string_equal(due(&s, 1301), "stop-stun");
  assert_string_equal(due(&s, 1301), "");
  json_t *record = sim_schedule_json(&s);
  assert_int_equal(json_array_size(record), 5);
  const double at_ms[] = {300.5, 300.5, 301, -5};
  for (size_t i = 0; i < 4; i++)
    assert_true(json_number_value(json_object_get(json_array_get(record, i), "at_ms")) == at_ms[i]);
  json_t *last = json_array_get(record, 4);
  assert_true(json_is_null(json_object_get(last, "at_ms")));
  assert_string_equal(json_string_value(json_object_get(last, "what")), "reboot-a");
  assert_string_equal(json_string_value(json_object_get(last, "when")), "9000");
  json_decref(record);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(events_are_read),
      cmocka_unit_test(what_makes_no_sense_is_refused),
      cmocka_unit_test(events_happen_in_their_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
