"""warpgate check on loopback: what it says with servers, without, and when they are not there.
(What it measures of NATs is tested in the laboratory: tests/nat/test_check.py.)"""

import json
import time

from ports import nobody

KINDS = ("broker", "stun", "turn", "names", "ntp")


def result(done):
    (line,) = done.out.decode().splitlines()
    return json.loads(line)


def test_without_any_server_it_says_which_to_configure(warpgate):
    done = warpgate("check", "--loopback")
    assert done.status == 3
    assert "no STUN server is configured: write the line 'stun = " in done.line
    text = done.out.decode()
    assert "Interface 127.0.0.1:" in text and "not measured" in text
    for kind in KINDS:
        assert f"  {kind:6} none configured: write '{kind} = " in text


def test_all_servers_answer(warpgate, broker, turn, names):
    servers = {"broker": broker.open, "stun": turn.stun, "turn": turn.with_password("laboratory"),
               "names": names}
    options = [f"--{kind}={server}" for kind, server in servers.items()]
    began = time.monotonic()
    done = warpgate("check", "--loopback", "--json", *options)
    whole_ms = (time.monotonic() - began) * 1000
    assert done.status == 0, done.err
    found = result(done)
    assert {s["kind"]: (s["server"], s["status"]) for s in found["servers"]} == {
        "broker": (broker.open, "WARP_OK"), "stun": (turn.stun, "WARP_OK"),
        "turn": (turn.stun, "WARP_OK"), "names": (names, "WARP_OK")}
    assert all(0 < s["ms"] < whole_ms for s in found["servers"])
    (interface,) = [i for i in found["interfaces"] if i["family"] == 4]
    for transport in ("udp", "tcp"):
        assert interface[transport]["translation"] == "none"
        assert interface[transport]["mapping"] == "ei"
        assert interface[transport]["confidence"] > 0
    assert [p["peer"] for p in interface["peers"]] == [
        "open", "full-cone", "restricted", "port-restricted", "symmetric", "symmetric-seq"]
    assert found["measuring"]["status"] == "WARP_OK"
    said = warpgate("check", "--loopback", *options)
    assert said.status == 0 and said.err == ""
    assert f"  stun   {turn.stun}" in said.out.decode()


def test_no_password_is_shown(warpgate, turn):
    done = warpgate("check", "--loopback", "--stun", turn.stun,
                    "--turn", turn.with_password("wrong-secret"))
    assert done.status == 3
    text = done.out.decode()
    assert "wrong-secret" not in text + done.err
    (line,) = (line for line in text.splitlines() if line.startswith("  turn "))
    assert "credentials" in line


def test_servers_that_are_not_there(warpgate, silent_udp):
    absent = nobody()
    done = warpgate("check", "--loopback", "--json", "--stun", silent_udp, "--broker", absent)
    assert done.status == 3
    status = {s["kind"]: s["status"] for s in result(done)["servers"]}
    assert status == {"broker": "WARP_CONN_REFUSED", "stun": "WARP_TIMEOUT"}
    (interface,) = [i for i in result(done)["interfaces"] if i["family"] == 4]
    assert interface["udp"]["confidence"] == 0
    assert {p["way"] for p in interface["peers"]} == {"unknown"}


def test_help_has_examples_and_statuses(warpgate):
    done = warpgate("check", "--help")
    assert done.status == 0
    assert "warpgate check --json | jq" in done.out.decode()
    assert "Exit status: 0 the NAT is known" in done.out.decode()
