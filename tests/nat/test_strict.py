"""`--strict`: one phase after the other, each within its share of the time, and the next when it is
used up. Without the broker nothing of the pair below can work, because the peer must be asked for
everything."""

import pytest

PAIR = ["--a", "open", "--b", "restricted", "--rtt", "10", "--strict", "--event", "go:stop-broker"]
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


def follow_each_other(found, share_ms):
    """All but the last one use their share up, and the next begins right then."""
    order = list(found.values())
    for before, after in zip(order, order[1:]):
        assert abs(before[1] - before[0] - share_ms) < 200, found
        assert abs(after[0] - before[1]) < 100, found


def test_all_four(natsim):
    (trial,) = natsim.trials("run", *PAIR, "--timeout", "6")
    assert list(spans(trial)) == PHASES
    assert trial["outcome"] == "failed"
    follow_each_other(spans(trial), 1500)


# A node tries a broker again after 200 ms, then twice as long each time, give or take a quarter: the
# fourth time after 3.75 s at most, the fifth between 4.65 and 7.75 s.
@pytest.mark.parametrize("before, after", [("reverse_connect", "tcp_punch"),
                                           ("tcp_punch", "udp_punch"), ("udp_punch", "turn")])
def test_transition(natsim, before, after):
    (trial,) = natsim.trials("run", *PAIR, "--timeout", "9", "--plugin", f"{before},{after}",
                             "--event", "3900:start-broker")
    assert trial["outcome"] == "connected", trial["reason"]
    assert trial["winner"] == after
    assert len(spans(trial)) == 2
    follow_each_other(spans(trial), 4500)


def test_nothing_is_waited_for_that_is_ruled_out(natsim):
    """The relay is the only thing that is left: it begins at once."""
    (trial,) = natsim.trials("run", "--a", "symmetric", "--b", "symmetric", "--rtt", "10",
                             "--strict", "--plugin", "direct_connect,tcp_punch,udp_punch,turn")
    assert trial["phase"] == "relay" and trial["connect_ms"] < 1000
    assert list(spans(trial)) == ["relay"]
