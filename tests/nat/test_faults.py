"""Servers that go down while they are needed, and routers that forget: what comes of a connect, and
what it says was missing. Each is bound by its outcome within a timeout, not by a time."""

RESTRICTED = ["--a", "restricted", "--b", "restricted"]
SYMMETRIC = ["--a", "symmetric", "--b", "symmetric"]  # nothing but the relay
FORETOLD = ["--a", "symmetric-seq", "--b", "symmetric-seq", "--no-relay"]


def run(natsim, *args, timeout=15):
    (trial,) = natsim.trials("run", *args, "--timeout", timeout)
    return trial


PUNCH = "udp_punch", "tcp_punch"  # as good as each other, and neck and neck


def connected(trial, *winners):
    assert trial["outcome"] == "connected", trial
    assert trial["winner"] in winners


def failed(trial, plugin, detail):
    """And the attempt of this plugin at a says so."""
    assert trial["outcome"] == "failed", trial
    details = [row["detail"] for row in trial["attempts"]["a"]
               if row["plugin"] == plugin and row["start_ms"] >= 0]
    assert any(detail in text for text in details), trial["attempts"]["a"]


# ---- broker --------------------------------------------------------------------------------------


def test_broker_is_not_needed_by_who_can_be_dialled(natsim):
    connected(run(natsim, "--a", "restricted", "--b", "open", "--event", "ready:stop-broker"),
              "direct_connect")


def test_broker_down_before_the_word(natsim):
    trial = run(natsim, *RESTRICTED, "--event", "ready:stop-broker", timeout=6)
    failed(trial, "turn", "no broker to ask the peer through")
    failed(trial, "tcp_punch", "no broker to ask the peer through")


def test_broker_down_and_up_before_the_word_and_after(natsim):
    connected(run(natsim, *RESTRICTED, "--event", "ready:stop-broker", "--event",
                  "1500:start-broker"), *PUNCH)


def test_broker_dies_with_the_message_in_its_hands(natsim):
    connected(run(natsim, *RESTRICTED, "--rtt", 100, "--event", "60:stop-broker", "--event",
                  "1500:start-broker"), *PUNCH)


def test_broker_is_not_needed_any_more(natsim):
    connected(run(natsim, *RESTRICTED, "--event", "connected:stop-broker"), *PUNCH)


# ---- STUN ----------------------------------------------------------------------------------------
# (stop-stun stops coturn, too, and with it the relay.)


def test_stun_is_not_needed_for_what_is_known_before(natsim):
    for transport, winner in ("udp", "udp_punch"), ("tcp", "tcp_punch"):
        connected(run(natsim, *RESTRICTED, "--no-relay", "--transport", transport, "--event",
                      "ready:stop-stun"), winner)


def test_stun_is_missing_where_ports_are_foretold(natsim):
    trial = run(natsim, *FORETOLD, "--event", "ready:stop-stun")
    failed(trial, "udp_punch", "no answer from a STUN server")
    failed(trial, "tcp_punch", "no STUN server told")


def test_stun_comes_back_where_ports_are_foretold(natsim):
    connected(run(natsim, *FORETOLD, "--event", "ready:stop-stun", "--event", "1000:start-stun"),
              *PUNCH)


# ---- TURN ----------------------------------------------------------------------------------------


def test_turn_is_not_needed_by_who_can_punch(natsim):
    connected(run(natsim, *RESTRICTED, "--event", "ready:stop-turn"), *PUNCH)


def test_turn_down_before_the_word(natsim):
    failed(run(natsim, *SYMMETRIC, "--event", "ready:stop-turn"), "turn", "203.0.113.10:3478")


def test_turn_dies_while_it_allocates(natsim):
    """Which takes more than two round trips."""
    failed(run(natsim, *SYMMETRIC, "--rtt", 1000, "--event", "300:stop-turn"), "turn",
           "203.0.113.10:3478")


def test_turn_restarts_while_it_allocates(natsim):
    """Which takes 400 ms, and the rest 800 more: an event that comes late comes in time."""
    connected(run(natsim, *SYMMETRIC, "--rtt", 200, "--event", "50:stop-turn", "--event",
                  "1500:start-turn"), "turn")


def test_turn_dies_while_it_is_used(natsim):
    trial = run(natsim, *SYMMETRIC, "--event", "connected:stop-turn")
    assert (trial["outcome"], trial["winner"]) == ("failed", "turn")
    assert "no echo" in trial["reason"]


# ---- names ---------------------------------------------------------------------------------------


def test_names_down_before_the_word(natsim):
    trial = run(natsim, *RESTRICTED, "--by-name", "--event", "ready:stop-names")
    assert trial["outcome"] == "failed"
    assert trial["reason"] == "looking up the name: timed out"


def test_names_back_in_time(natsim):
    """A look-up takes two seconds at most, and a busy machine may take longer to start a server: so
    this one takes longer."""
    endpoint = natsim.program.parent / "warpgate-endpoint"
    trial = run(natsim, *RESTRICTED, "--by-name", "--event", "ready:stop-names", "--event",
                "800:start-names", "--endpoint", f"env NATSIM_SERVER_TIMEOUT_S=60 {endpoint}",
                timeout=60)
    connected(trial, *PUNCH)
    assert trial["lookup_ms"] > 800


# ---- routers -------------------------------------------------------------------------------------
# The peer's connection to the broker is gone, and nobody tells it. MQTT's keepalive would find out
# after 15 s and more. Connecting takes half a second over such ways: an event that comes late comes
# in time.
LONG = ["--rtt", 200]


def test_router_forgets_the_peer_ports_of_its_own(natsim):
    connected(run(natsim, "--a", "restricted", "--b", "map=ei,filter=ad,alloc=random", *LONG,
                  "--event", "10:reboot-b", timeout=13), *PUNCH)


def test_router_forgets_the_peer_same_ports(natsim):
    connected(run(natsim, *RESTRICTED, *LONG, "--event", "10:reboot-b", timeout=13), *PUNCH)
