"""TLS to the relay: by the laboratory's authority, and by none that is known."""

import pytest

RELAY = "natsim:laboratory@203.0.113.10:5349?transport=tls"


def turn_by_tls(natsim, *more, place="two-sites", profile="symmetric"):
    endpoint = natsim.program.parent / "warpgate-endpoint"
    (trial,) = natsim.trials("run", "--a", profile, "--b", profile, "--place", place, "--plugin",
                             "turn", "--rtt", "10", "--timeout", "15", "--endpoint",
                             " ".join(["env", f"'NATSIM_TURN={RELAY}'", *more, str(endpoint)]))
    said = [row["detail"] for rows in trial["attempts"].values() for row in rows or []]
    return trial, said


@pytest.mark.parametrize("place", ["two-sites", "udp-blocked"])
def test_by_the_authority(natsim, place):
    trial, said = turn_by_tls(natsim, place=place)
    assert trial["outcome"] == "connected", said
    assert (trial["winner"], trial["path"], trial["transport"]) == ("turn", "relay", "tcp")
    assert trial["echo_ok"]
    assert any("203.0.113.10:5349" in line for line in said), said


def test_by_nobody_known(natsim):
    """The system's authorities know nothing of the laboratory's."""
    trial, said = turn_by_tls(natsim, "NATSIM_CA=")
    assert trial["outcome"] == "failed"
    assert any("TLS: its certificate is not trusted" in line for line in said), said
