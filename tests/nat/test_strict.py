"""`--strict`: one phase after the other, each within its share of the time, and the next when it is
used up. Without the broker nothing of the pair below can work, because the peer must be asked for
everything."""

import pytest

PAIR = ["--a", "open", "--b", "restricted", "--rtt", "10", "--strict", "--event", "ready:stop-broker"]
PHASES = ["direct", "punch", "spray", "relay"]


def spans(trial):
    """Of each phase that began at a: when its first attempt began, and when its last one ended."""
    found = {}
    for row in trial["attempts"]["a"]:
        if row["start_ms"] >= 0:
            begin, end = found.get(row["phase"], (1e9, 0))
            found[row["phase"]] = (min(begin, row["start_ms"]),
                                   max(end, row["start_ms"] + row["ms"]))
    return found


def follow_each_other(found, timeout_ms):
    """All but the last one use their share of what is left up, and the next begins then: not before.
    How long after is the machine's here; sim.connect_race bounds it in virtual time."""
    order = list(found.values())
    for i, (before, after) in enumerate(zip(order, order[1:])):
        share_ms = (timeout_ms - before[0]) / (len(order) - i)
        assert before[1] - before[0] > share_ms - 200, found
        assert after[0] - before[1] > -100, found


def test_all_four(natsim):
    (trial,) = natsim.trials("run", *PAIR, "--timeout", "6")
    assert list(spans(trial)) == PHASES
    assert trial["outcome"] == "failed"
    follow_each_other(spans(trial), 6000)


# A node tries a broker again after 200 ms, then twice as long each time, give or take a quarter: the
# fourth time after 3.75 s at most, the fifth between 4.65 and 7.75 s. The attempt that begins at 4.5 s
# says its first message then, and 1, 3 and 7 seconds later: it gives up when no broker has served it
# within the first two of these, and is not heard when b is back only after 7.5 s, which was seen once
# in 60 trials. Another trial, with other pauses, is what is asked then.
TRIES = 5


def was_late(trial, plugin):
    """a had no broker in time, or b had none and has heard of nothing."""
    unserved = any(row["plugin"] == plugin and row["detail"] == "no broker to ask the peer through"
                   for row in trial["attempts"]["a"])
    heard = any(row["plugin"] == plugin for row in trial["attempts"]["b"])
    return trial["outcome"] == "failed" and (unserved or not heard)


@pytest.mark.parametrize("before, after", [("reverse_connect", "tcp_punch"),
                                           ("tcp_punch", "udp_punch"), ("udp_punch", "turn")])
def test_transition(natsim, before, after):
    for _ in range(TRIES):
        (trial,) = natsim.trials("run", *PAIR, "--timeout", "9", "--plugin", f"{before},{after}",
                                 "--event", "4200:start-broker")
        if not was_late(trial, after):
            break
    assert trial["outcome"] == "connected", trial["reason"]
    assert trial["winner"] == after
    assert len(spans(trial)) == 2
    follow_each_other(spans(trial), 9000)


def test_nothing_is_waited_for_that_is_ruled_out(natsim):
    """The relay is the only thing that is left: it begins at once."""
    (trial,) = natsim.trials("run", "--a", "symmetric", "--b", "symmetric", "--rtt", "10",
                             "--strict", "--plugin", "direct_connect,tcp_punch,udp_punch,turn")
    assert trial["phase"] == "relay"
    assert list(spans(trial)) == ["relay"]
    assert spans(trial)["relay"][0] < 7500  # half of what one phase's share would be
