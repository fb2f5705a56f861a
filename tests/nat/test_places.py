"""natsim run in every place: what our endpoint and a peer of plain punching come to."""

import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
FAKE = f"{sys.executable} {HERE}/fake_endpoint.py"


def table():
    with open(f"{HERE}/places.tsv", encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines if not line.startswith("#")]
    return [dict(zip(rows[0], row)) for row in rows[1:]]


def arguments(row):
    options = ["--place", row["place"], "--a", row["a"], "--b", row["b"], "--rtt", "10"]
    # What cannot connect shall say so soon; a relay waits its grace for what might be direct.
    options += ["--timeout", "8" if row["outcome"] == "failed" else "60"]
    return options + {"ours": [], "fake": ["--endpoint", FAKE],
                      "tcp": ["--transport", "tcp", "--no-relay"]}[row["peer"]]


@pytest.mark.parametrize("row", table(), ids=lambda r: "-".join(r[k] for k in ("place", "a", "b", "peer")))
def test_row(natsim, row):
    (trial,) = natsim.trials("run", *arguments(row))
    expected = (row["outcome"], row["path"], row["family"])
    got = (trial["outcome"], trial["path"] or "-", str(trial["family"] or "-"))
    assert got == expected, trial["reason"]
    assert row["winner"] == "-" or trial["winner"] in row["winner"].split("|")
    assert (trial["reason"] is None) == (row["outcome"] == "connected")


def test_every_place_is_in_the_table(natsim):
    listed = {line.split()[0] for line in natsim.run("places").out.splitlines() if line[0] != " "}
    assert listed == {row["place"] for row in table()}


def test_a_place_of_ones_own(natsim, tmp_path):
    path = tmp_path / "two.place"
    path.write_text("carrier isp map=apd,filter=apd,alloc=random  # a bad one\n"
                    "site a on isp\nsite b on internet\n")
    (trial,) = natsim.trials("run", "--place", str(path), "--a", "full-cone", "--b", "full-cone",
                             "--rtt", "10", "--endpoint", FAKE)
    assert trial["outcome"] == "connected"
    (trial,) = natsim.trials("run", "--place", str(path), "--a", "full-cone", "--b",
                             "port-restricted", "--rtt", "10", "--endpoint", FAKE)
    assert trial["outcome"] == "failed"


@pytest.mark.parametrize("options, words", [
    (["--place", "cafe"], "unknown place 'cafe'"),
    (["--place", "./none.place"], "cannot read the place"),
    (["--place", "same-lan", "--b", "symmetric"], "--a and --b must be the same"),
    (["--place", "ipv6-only"], "take firewall6 or open"),
    (["--place", "one-carrier", "--b", "cgnat"], "brings another"),
    (["--a", "map=ei,reuse=off"], "one mapping for all"),
    (["--a", "filter=ei,unsolicited=icmp"], "answers nothing"),
    (["--a", "alloc=sequential:9,range=5-9"], "does not fit"),
])
def test_what_cannot_be_is_named(natsim, options, words):
    done = natsim.run("run", "--a", "full-cone", "--b", "full-cone", *options)
    assert done.returncode == 2
    assert words in done.err and len(done.err.splitlines()) == 1


def test_a_missing_upnp_program_is_named(natsim, tmp_path):
    """A copy of natsim has no unpacked servers beside it."""
    copy = tmp_path / "natsim"
    copy.write_bytes(natsim.program.read_bytes())
    copy.chmod(0o755)
    done = subprocess.run([copy, "run", "--a", "upnp", "--b", "open", "--endpoint", "true",
                           "--without", "broker,turn,names,stun,ntp"], capture_output=True, text=True,
                          timeout=60, env={"PATH": str(tmp_path)})
    if "is not installed" not in done.stderr:
        pytest.skip("miniupnpd is installed on this machine")
    assert done.returncode == 3
    assert "miniupnpd-nftables" in done.stderr and len(done.stderr.splitlines()) == 1
