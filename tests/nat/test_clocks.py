"""Hosts whose wall clocks are wrong, and time servers that are: connecting does not mind."""

import pytest

DAY_MS = 86400000
PAIR = ["--a", "port-restricted", "--b", "port-restricted", "--rtt", "10"]


@pytest.mark.parametrize("skew", ["5000,-5000", "-5000,5000", f"{2 * DAY_MS},0", f"0,{-2 * DAY_MS}",
                                  f"{-400 * DAY_MS},{400 * DAY_MS}"])
@pytest.mark.parametrize("plugin", ["tcp_punch", "udp_punch"])
def test_wrong_clocks(natsim, plugin, skew):
    (trial,) = natsim.trials("run", *PAIR, "--plugin", plugin, "--clock-skew", skew)
    assert trial["winner"] == plugin, trial["reason"]


@pytest.mark.parametrize("wrong", [700, -30 * DAY_MS])
def test_a_wrong_server_is_outvoted(natsim, wrong):
    (trial,) = natsim.trials("run", *PAIR, "--plugin", "tcp_punch", "--clock-skew", "-5000,5000",
                             "--wrong-ntp", wrong)
    assert trial["winner"] == "tcp_punch", trial["reason"]


def test_by_name(natsim):
    (trial,) = natsim.trials("run", *PAIR, "--by-name", "--clock-skew", f"{2 * DAY_MS},{-2 * DAY_MS}")
    assert trial["outcome"] == "connected", trial["reason"]


def test_without_servers_a_record_of_the_day_before_yesterday_has_expired(natsim):
    """Or the tests above would show nothing."""
    (trial,) = natsim.trials("run", *PAIR, "--without", "ntp", "--clock-skew", f"0,{-2 * DAY_MS}",
                             "--timeout", "30")
    assert trial["outcome"] == "failed"
    assert "past its expiry time" in trial["reason"]
