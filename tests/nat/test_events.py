"""What happens in the middle of a trial, who else is there, and what is kept of it."""

import pathlib
import shutil
import struct
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent


def watcher(changes):
    return ["--endpoint", f"{sys.executable} {HERE / 'stun_watcher.py'} --changes {changes}"]


# ---- events --------------------------------------------------------------------------------------


def test_a_server_is_stopped_and_started_and_the_next_trial_finds_it(natsim):
    trials = natsim.trials("run", "--a", "open", "--b", "open", "--rtt", 5, "--trials", 2, "--jobs",
                           1, "--event", "500:stop-stun", "--event", "3500:start-stun",
                           "--without", "names,ntp", *watcher(2))
    for trial in trials:
        assert trial["reason"] == "answered, silent, answered"
        stop, start = trial["events"]
        assert stop["what"] == "stop-stun" and stop["when"] == "500"
        assert 500 <= stop["at_ms"] < start["at_ms"] and start["at_ms"] >= 3500


def test_a_server_that_stays_down_is_up_in_the_next_trial(natsim):
    trials = natsim.trials("run", "--a", "open", "--b", "open", "--rtt", 5, "--trials", 2, "--jobs",
                           1, "--event", "500:stop-stun", "--without", "names,ntp", *watcher(1))
    assert [t["reason"] for t in trials] == ["answered, silent"] * 2


def test_an_uplink_goes_down_and_up(natsim):
    (trial,) = natsim.trials("run", "--a", "full-cone", "--b", "open", "--rtt", 5, "--event",
                             "500:uplink-down-a", "--event", "3500:uplink-up-a", "--without",
                             "names,ntp", *watcher(2))
    assert trial["reason"] == "answered, silent, answered"


def test_one_of_two_uplinks_is_down(natsim):
    """Our endpoint leaves by the other one, and the peer can be dialled without a broker."""
    (trial,) = natsim.trials("run", "--place", "two-uplinks", "--a", "symmetric", "--b", "open",
                             "--rtt", 5, "--event", "ready:uplink-down-a")
    assert trial["events"][0]["at_ms"] < 0
    assert (trial["outcome"], trial["winner"]) == ("connected", "direct_connect")


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("profile, path", [("open", "direct"), ("port-restricted", "direct"),
                                           ("symmetric", "relay")])
def test_a_host_gets_another_address(natsim, side, profile, path):
    """Our nodes notice: the one that connects goes on from its new address, and the one that is
    connected to by its old record is found by the broker."""
    (trial,) = natsim.trials("run", "--a", profile, "--b", profile, "--event",
                             f"ready:readdress-{side}")
    assert trial["events"][0]["at_ms"] < 0
    assert (trial["outcome"], trial["path"]) == ("connected", path), trial
    gone = [row for row in trial["attempts"]["a"] if row["status"] == "WARP_ADDR_NOT_AVAILABLE"]
    assert bool(gone) == (side == "a")


def test_udp_is_blocked_before_the_word(natsim):
    (trial,) = natsim.trials("run", "--a", "full-cone", "--b", "full-cone", "--event",
                             "ready:block-udp-b", *natsim.fake_options)
    assert trial["outcome"] == "failed"
    assert trial["events"][0]["at_ms"] < 0


def test_events_that_come_too_late_are_said_not_to_have_happened(natsim):
    (trial,) = natsim.trials("run", "--a", "full-cone", "--b", "full-cone", "--event",
                             "600000:reboot-a", "--event", "connected:expire-a",
                             *natsim.fake_options)
    assert trial["outcome"] == "connected"
    assert trial["events"][0] == {"what": "reboot-a", "when": "600000", "at_ms": None}
    assert trial["events"][1]["at_ms"] >= trial["connect_ms"]


def test_a_rebooted_router_forgets_who_may_come_in(natsim):
    """b's router forgets the mapping that a was told of, and b never writes first again."""
    (trial,) = natsim.trials("run", "--a", "full-cone", "--b", "map=ei,filter=ei,alloc=random",
                             "--event", "ready:reboot-b", *natsim.fake_options)
    assert trial["outcome"] == "connected"  # b writes, and a answers to where that came from
    (trial,) = natsim.trials("run", "--a", "symmetric", "--b", "map=ei,filter=ei,alloc=random",
                             "--event", "ready:reboot-b", *natsim.fake_options)
    assert trial["outcome"] == "failed"
    (trial,) = natsim.trials("run", "--a", "symmetric", "--b", "map=ei,filter=ei,alloc=random",
                             *natsim.fake_options)
    assert trial["outcome"] == "connected"


@pytest.mark.parametrize("args, words", [
    (["--a", "open", "--b", "full-cone", "--event", "5:address-a"], "router-a has no NAT"),
    (["--a", "open", "--b", "open", "--event", "5:melt-a"], "there is reboot-"),
])
def test_what_cannot_happen_is_refused(natsim, args, words):
    done = natsim.run("run", *args)
    assert done.returncode == 2
    assert words in done.err and len(done.err.splitlines()) == 1


# ---- neighbours ----------------------------------------------------------------------------------


def test_neighbours_are_there_and_counted(natsim):
    (trial,) = natsim.trials("run", "--a", "full-cone", "--b", "symmetric-seq", "--neighbours",
                             "500/s", "--rtt", 100, *natsim.fake_options)
    assert trial["outcome"] == "connected"
    least = trial["connect_ms"] / 2 / 10  # a tenth of what was asked for: a busy machine is late
    assert least <= trial["neighbours"]["a"] and least <= trial["neighbours"]["b"]


def test_neighbours_of_one_router_are_one_household(natsim):
    (trial,) = natsim.trials("run", "--a", "open", "--b", "open", "--place", "same-lan",
                             "--neighbours", "200/s", *natsim.fake_options)
    assert trial["outcome"] == "connected"
    assert trial["neighbours"]["b"] == 0


# ---- what is kept --------------------------------------------------------------------------------


def packets(path):
    """The packets of a pcap file: interface and bytes from the network header on."""
    data = path.read_bytes()
    magic, linktype = struct.unpack_from("=I16xI", data)
    assert magic == 0xA1B23C4D and linktype == 276
    at, found = 24, []
    while at < len(data):
        length, = struct.unpack_from("=8xI4x", data, at)
        found.append((struct.unpack_from("!4xI", data, at + 16)[0],
                      data[at + 36 : at + 16 + length]))
        at += 16 + length
    return found


def test_packets_and_logs_of_what_failed_are_kept(natsim, tmp_path):
    args = ["matrix", "--profiles", "full-cone,symmetric", "--rtt", 5, "--out", tmp_path]
    trials = natsim.trials(*args, *natsim.fake_options)
    kept = {t["evidence"]: t for t in trials if "evidence" in t}
    assert list(kept) == ["trials/1-symmetric-symmetric"]
    assert {t["outcome"] for t in kept.values()} == {"failed"}
    assert {p.name for p in (tmp_path / "trials").iterdir()} == {"1-symmetric-symmetric"}
    folder = tmp_path / "trials/1-symmetric-symmetric"
    names = {p.name for p in folder.iterdir()}
    assert {"a.pcap", "b.pcap", "router-a.pcap", "router-b.pcap", "a.log", "b.log",
            "turnserver.log"} <= names
    at_host = [p for _, p in packets(folder / "a.pcap") if p.endswith(b"pa")]  # a's probes
    at_router = [(i, p) for i, p in packets(folder / "router-a.pcap") if p.endswith(b"pa")]
    assert len(at_host) >= 10
    assert len(at_router) == 2 * len(at_host)  # in by one interface, out by the other
    assert {i for i, _ in at_router} == {2, 3}


def test_all_are_kept_when_asked_for(natsim, tmp_path):
    (trial,) = natsim.trials("run", "--a", "full-cone", "--b", "open", "--pcap", "--neighbours",
                             "100/s", "--out", tmp_path, *natsim.fake_options)
    assert trial["outcome"] == "connected"
    folder = tmp_path / trial["evidence"]
    assert {p.name for p in folder.glob("*.pcap")} == {
        "a.pcap", "b.pcap", "router-a.pcap", "router-b.pcap"}  # and none of the neighbours'
    assert sum(1 for _, p in packets(folder / "router-a.pcap") if b"neighbour" in p) > 0


def test_tcpdump_reads_what_is_kept(natsim, tmp_path):
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed")
    (trial,) = natsim.trials("run", "--a", "full-cone", "--b", "open", "--pcap", "--out", tmp_path,
                             *natsim.fake_options)
    done = subprocess.run(["tcpdump", "-Z", "root", "-nr",
                           tmp_path / trial["evidence"] / "b.pcap", "udp"],
                          capture_output=True, text=True)
    if "Operation not permitted" in done.stderr or "couldn't" in done.stderr.lower():
        pytest.skip("tcpdump does not run here: " + done.stderr)
    assert done.returncode == 0 and "192.0.2.130" in done.stdout


def test_the_logs_of_what_failed_have_what_the_peers_wrote(natsim, tmp_path):
    (trial,) = natsim.trials("run", "--a", "open", "--b", "open", "--out", tmp_path, "--endpoint",
                             f"{natsim.fake} --misbehave exit", "--without", "names,ntp")
    folder = tmp_path / trial["evidence"]
    assert "this peer gives up at once" in (folder / "a.log").read_text()


def test_names_too_long_for_a_file_are_cut(natsim, tmp_path):
    nat = "map=apd,filter=apd,alloc=sequential:10,range=2000-60000,hairpin=on,unsolicited=reset," \
          "strays=reject,udp-lifetime=130,tcp-lifetime=7201"
    (trial,) = natsim.trials("run", "--a", nat, "--b", nat, "--pcap", "--out", tmp_path,
                             *natsim.fake_options)
    assert (tmp_path / trial["evidence"] / "a.pcap").exists()


def test_an_ordinary_run_keeps_nothing_and_says_nothing(natsim):
    (trial,) = natsim.trials("run", "--a", "symmetric", "--b", "symmetric", *natsim.fake_options)
    assert trial["outcome"] == "failed"
    assert not {"evidence", "events", "neighbours"} & set(trial)
