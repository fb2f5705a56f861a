"""natsim verify: that all is as declared, that it can fail, and that other witnesses agree."""

import json
import os
import pathlib
import sys

import pytest
from conftest import HERE

AXES = {"outbound", "map", "filter", "unsolicited", "reuse", "alloc", "range", "parity", "clash"}
AXES |= {"hairpin", "strays"}


def rows_of(done):
    return [json.loads(line) for line in done.out.splitlines()]


def measured(rows):
    return {(row["transport"], row["axis"]): row["measured"] for row in rows}


# ---- the whole -----------------------------------------------------------------------------------


def test_all_is_as_declared(natsim):
    """Every profile, every mapping and filter with every allocation, the other axes one by one."""
    done = natsim.run("verify", "--json")
    assert done.returncode == 0, done.err
    rows = rows_of(done)
    assert all(row["ok"] for row in rows)
    listed = [json.loads(line)["profile"] for line in natsim.run("profiles", "--json").out.splitlines()]
    names = {row["profile"] for row in rows}
    assert names >= set(listed)
    combinations = {
        f"map={map},filter={filter},alloc={alloc}"
        for map in ("ei", "ad", "apd")
        for filter in ("ei", "ad", "apd")
        for alloc in ("preserving", "sequential", "random")
    }
    assert names >= combinations
    for name in combinations:
        found = {(row["transport"], row["axis"]) for row in rows if row["profile"] == name}
        expected = {(transport, axis) for transport in ("udp", "tcp") for axis in AXES}
        assert found == expected | {("udp", "udp-lifetime"), ("tcp", "tcp-lifetime")}


def test_rows_are_as_the_contract_says(natsim):
    done = natsim.run("verify", "symmetric", "--json")
    assert done.returncode == 0 and done.err == ""
    rows = rows_of(done)
    assert {
        "profile": "symmetric",
        "transport": "udp",
        "axis": "map",
        "declared": "apd",
        "measured": "apd",
        "ok": True,
    } in rows


def test_ports_come_from_the_seed(natsim):
    def ports(seed):
        found = measured(rows_of(natsim.run("verify", "symmetric", "--json", "--seed", seed)))
        return found["udp", "range"], found["tcp", "range"]

    assert ports(5) == ports(5)
    assert ports(5) != ports(6)


def test_what_only_some_nats_show_is_shown_by_them(natsim):
    """Nothing of what matters is hidden in all of them."""
    nats = {
        "unsolicited=reset": {"unsolicited": ("drop", "reset")},
        "unsolicited=icmp": {"unsolicited": ("icmp", "icmp")},
        "strays=accept": {"strays": ("accept", "accept")},
        "strays=reject": {"strays": ("reject", "reject")},
        "hairpin=on": {"hairpin": ("on", "on")},
        "map=apd,filter=ei,alloc=random": {"reuse": ("on", "on"), "hairpin": ("off", "off")},
        "reuse=off,map=apd,filter=ei": {"reuse": ("off", "on")},
        "udp-blocked": {"outbound": ("blocked", "passes")},
        "open": {"map": ("none", "none"), "filter": ("none", "none")},
        "firewall6": {"map": ("none", "none"), "filter": ("apd", "apd")},
    }
    rows = rows_of(natsim.run("verify", *nats, "--json"))
    for nat, expected in nats.items():
        found = measured([row for row in rows if row["profile"] == nat])
        for axis, (udp, tcp) in expected.items():
            assert (found["udp", axis], found["tcp", axis]) == (udp, tcp), nat


# ---- it can fail ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "axis, nat, transports",
    [
        ("outbound", "full-cone", {"udp"}),
        ("map", "full-cone", {"udp", "tcp"}),
        ("map", "ad-ad", {"udp", "tcp"}),
        ("map", "symmetric", {"udp", "tcp"}),
        ("filter", "full-cone", {"udp", "tcp"}),
        ("filter", "restricted", {"udp", "tcp"}),
        ("filter", "port-restricted", {"udp", "tcp"}),
        ("filter", "firewall6", {"udp", "tcp"}),
        ("alloc", "port-restricted", {"udp", "tcp"}),
        ("alloc", "symmetric", {"udp", "tcp"}),
        ("alloc", "symmetric-seq", {"udp", "tcp"}),
        ("range", "port-restricted", {"udp", "tcp"}),
        ("range", "symmetric", {"udp", "tcp"}),
        ("hairpin", "full-cone", {"udp", "tcp"}),
        ("hairpin", "port-restricted", {"udp", "tcp"}),
        ("hairpin", "rfc4787", {"udp", "tcp"}),
        ("unsolicited", "port-restricted", {"udp", "tcp"}),
        ("strays", "full-cone", {"udp", "tcp"}),
        ("strays", "symmetric-seq", {"udp", "tcp"}),
        ("reuse", "apd-ei", {"udp"}),
        ("reuse", "ad-ei", {"udp"}),
        ("clash", "port-restricted", {"udp", "tcp"}),
        ("clash", "cgnat", {"udp", "tcp"}),
        ("udp-lifetime", "port-restricted", {"udp"}),
        ("tcp-lifetime", "port-restricted", {"tcp"}),
    ],
)
def test_another_rule_than_declared_is_caught(natsim, axis, nat, transports):
    done = natsim.run("verify", nat, "--sabotage", axis, "--json")
    assert done.returncode == 1
    wrong = {(row["transport"], row["axis"]) for row in rows_of(done) if not row["ok"]}
    assert wrong >= {(transport, axis) for transport in transports}
    assert f"{nat}: {min(transports)} {axis}: declared " in done.err


def test_a_lifetime_is_also_watched(natsim):
    """The kernel's word alone would do for 120 s; of 2 s the packets must tell the same."""
    done = natsim.run("verify", "udp-lifetime=2,tcp-lifetime=2", "--json")
    assert done.returncode == 0
    done = natsim.run("verify", "udp-lifetime=2,tcp-lifetime=2", "--sabotage", "udp-lifetime")
    assert done.returncode == 1
    assert "udp-lifetime: declared 2, measured 77" in done.out


# ---- usage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args, line",
    [
        (["half-cone"], "unknown profile 'half-cone'"),
        (["map=ei,map=ad"], "'map' is given twice"),
        (["--nat", "step=2"], "'step' is no axis"),
        (["--jobs", "0"], "--jobs takes a number from 1 to 64"),
        (["--rtt"], "an option needs a value: '--rtt'"),
        (["--pcap"], "unknown option '--pcap'"),
        (["range=40000-40015"], "measuring takes 128 ports, and its range has 16"),
        (["open", "--sabotage", "alloc"], "open has no axis 'alloc'"),
    ],
)
def test_usage_errors_are_one_line_and_status_2(natsim, args, line):
    done = natsim.run("verify", *args)
    assert done.returncode == 2 and done.out == ""
    assert line in done.err and done.err.count("\n") == 1


def test_help_has_examples(natsim):
    done = natsim.run("verify", "--help")
    assert done.returncode == 0 and "Examples:\n  natsim verify" in done.out


# ---- other witnesses -----------------------------------------------------------------------------

NATS = {
    "full-cone": ("ei", "ei"),
    "restricted": ("ei", "ad"),
    "port-restricted": ("ei", "apd"),
    "ad-ad": ("ad", "ad"),
    "symmetric": ("apd", "apd"),
    "apd-ei": ("apd", "ei"),
}


def ask_witness(natsim, nats, *words):
    """What the witness says of each NAT, all at once."""
    command = " ".join(map(str, [sys.executable, HERE / "witness_peer.py", *words]))
    options = ["--endpoint", command, "--without", "names,broker,turn,ntp", "--rtt", "2", "--json"]
    started = {nat: natsim.start("run", "--a", nat, "--b", "open", *options) for nat in nats}
    found = {}
    for nat, process in started.items():
        out, err = process.communicate(timeout=120)
        record = json.loads(out)
        assert record["reason"] == "told", (record, err)
        report = record["attempts"]["a"][0]
        found[nat] = (report["map"], report["filter"])
    return found


def fixtures(natsim):
    """Where the packages of the laboratory's servers are unpacked."""
    named = os.environ.get("NATSIM_FIXTURES")
    return pathlib.Path(named) if named else natsim.program.parent.parent / "fixtures"


def test_coturns_discovery_agrees_on_udp(natsim):
    assert ask_witness(natsim, NATS, "coturn", fixtures(natsim), 3478) == NATS


def test_coturns_discovery_agrees_on_udp_with_our_server(natsim):
    """Its third test goes to the OTHER-ADDRESS of the second answer, which coturn never changes.
    As RFC 5780 7.4 has it, that is the first address again, and tells nothing of ad mappings."""
    nats = {nat: axes for nat, axes in NATS.items() if axes[0] != "ad"}
    assert ask_witness(natsim, nats, "coturn", fixtures(natsim), 3488) == nats


def test_stun_over_tcp_agrees(natsim):
    assert ask_witness(natsim, NATS, "stun", 3488) == NATS
