"""The command itself: what it refuses, what it writes, and that nothing of it stays behind."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

LIMIT_S = 120  # ends what hangs
KEYS = {"a", "b", "plugin", "trial", "seed", "outcome", "winner", "phase", "transport", "family"}
KEYS |= {"path", "connect_ms", "echo_ok", "packets", "reason", "attempts"}


def one_line(text):
    lines = text.splitlines()
    assert len(lines) == 1, text
    return lines[0]


# ---- usage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args, line",
    [
        ([], "which command"),
        (["bogus"], "unknown command 'bogus'"),
        (["run"], "--a PROFILE and --b PROFILE are needed"),
        (["run", "--a", "open", "--b", "half-cone"], "unknown profile 'half-cone'"),
        (["run", "--a", "open", "--b", "map=ei,map=ad"], "'map' is given twice"),
        (["run", "--a", "open", "--b", "range=9-8"], "range takes LO-HI"),
        (["run", "--a", "open", "--b", "open", "--pcap"], "--pcap needs --out DIR"),
        (["matrix", "--event", "soon:reboot-a"], "--event soon:reboot-a: WHEN is"),
        (["matrix", "--event", "5:reboot-c"], "--event 5:reboot-c: there is reboot-"),
        (["matrix", "--event", "5:stop-turn", "--without", "turn"], "leaves that server out"),
        (["matrix", "--neighbours", "0"], "--neighbours takes a whole number from 1"),
        (["matrix", "--neighbours", "5/h"], "--neighbours takes FLOWS or RATE/s, not '5/h'"),
        (["matrix", "--neighbours", "x/s"], "--neighbours takes a number from 1"),
        (["run", "--a", "open", "--b", "open", "--warp"], "unknown option '--warp'"),
        (["run", "--a", "open", "--b", "open", "--loss", "x"], "--loss takes a number"),
        (["matrix", "--expect", "/nonexistent"], "No such file"),
        (["matrix", "--profiles", "open", "--grid", "rfc4787"], "exclude each other"),
        (["run", "--a", "open", "--b", "open", "--plugin", "turn,nonesuch"],
         "--plugin turn,nonesuch: there is no such technique: there are auto, "),
        (["run", "--a", "open", "--b", "open", "--set", "nonesuch.x=1"],
         '--set: setting "nonesuch.x=1": there is no such plugin'),
        (["run", "--a", "open", "--b", "open", "--set", "node.flows=-1"],
         '--set: setting "node.flows=-1": not a number from'),
        (["profiles", "--yaml"], "unknown argument '--yaml'"),
    ],
)
def test_usage_errors_are_one_line_and_status_2(natsim, args, line):
    done = natsim.run(*args)
    assert done.returncode == 2
    assert line in one_line(done.err)
    assert done.out == ""


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["matrix", "-h"], ["profiles", "-h"]])
def test_help_has_examples(natsim, args):
    done = natsim.run(*args)
    assert done.returncode == 0
    assert "Example" in done.out and "natsim " in done.out


def test_profiles_are_listed_for_people_and_programs(natsim):
    done = natsim.run("profiles", "--json")
    profiles = {p["profile"]: p for p in map(json.loads, done.out.splitlines())}
    assert profiles["symmetric"]["map"] == "apd" and profiles["symmetric"]["alloc"] == "random"
    assert profiles["restricted"]["filter"] == "ad"
    assert not profiles["open"]["nat"]
    text = natsim.run("profiles").out
    assert all(name in text for name in profiles)


# ---- what is missing -----------------------------------------------------------------------------


@pytest.fixture
def alone(natsim, tmp_path):
    """natsim without anything beside it or on its PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    shutil.copy(natsim.program, folder)

    def run(*args):
        return subprocess.run(
            [folder / "natsim", "run", "--a", "open", "--b", "open", *args],
            capture_output=True, text=True, env={"PATH": "/nonexistent"}, timeout=60,
        )

    return run


def installed(*names):
    return any(os.path.exists(f"{folder}/{n}") for n in names for folder in ("/usr/bin", "/usr/sbin"))


def test_a_missing_server_is_status_3_and_says_what_to_install(alone):
    if installed("mosquitto"):
        pytest.skip("mosquitto is installed on this machine")
    done = alone("--without", "names,stun,turn,ntp", "--endpoint", "true")
    assert done.returncode == 3
    assert "Debian package mosquitto" in one_line(done.stderr)


def test_a_missing_endpoint_is_status_3(alone):
    done = alone("--without", "names,stun,turn,broker,ntp")
    assert done.returncode == 3
    assert "warpgate-endpoint is missing" in one_line(done.stderr)


def test_a_server_that_does_not_come_up_is_status_3_with_its_last_words(natsim, tmp_path):
    server = tmp_path / "usr/sbin/mosquitto"
    server.parent.mkdir(parents=True)
    server.write_text("#!/bin/sh\necho first >&2\necho the port is taken >&2\nexit 1\n")
    server.chmod(0o755)
    done = natsim.run("run", "--a", "open", "--b", "open", "--without", "names,stun,turn,ntp",
                      "--endpoint", "true", env={**os.environ, "NATSIM_FIXTURES": str(tmp_path)})
    assert done.returncode == 3
    assert one_line(done.err).endswith("mosquitto ended before it answered: the port is taken")


def test_forbidden_namespaces_are_status_3_and_one_line(natsim):
    script = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", natsim.program, "run",
         "--a", "open", "--b", "open", *natsim.fake_options],
        capture_output=True, text=True, timeout=60,
    )
    if "unshare" in done.stderr.split("natsim")[0]:
        pytest.skip("no user namespace can be made here to forbid it in: " + done.stderr)
    assert done.returncode == 3, done.stderr
    assert "max_net_namespaces" in one_line(done.stderr)


def test_an_output_that_cannot_be_written_is_status_3(natsim, tmp_path):
    (tmp_path / "file").write_text("")
    done = natsim.run("run", "--a", "open", "--b", "open", "--out", tmp_path / "file/x",
                      *natsim.fake_options)
    assert done.returncode == 3
    assert "cannot make" in one_line(done.err)


# ---- trials --------------------------------------------------------------------------------------


def test_results_are_complete_and_repeat(natsim, tmp_path):
    args = ["matrix", "--profiles", "full-cone,symmetric", "--seed", 7, "--trials", 2]
    done = natsim.run(*args, "--jobs", 2, "--out", tmp_path / "two", *natsim.fake_options)
    assert done.returncode == 0, done.err
    assert "8 trials: 6 connected (6 direct, 0 relay), 2 failed, 0 errors" in done.out
    records = [json.loads(line) for line in (tmp_path / "two/trials.jsonl").open()]
    assert len(records) == 8
    for record in records:
        assert KEYS <= set(record)
        assert set(record["attempts"]) == {"a", "b"}
        assert record["attempts"]["a"] and record["attempts"]["b"]
        failed = record["a"] == record["b"] == "symmetric"
        assert record["outcome"] == ("failed" if failed else "connected")
        assert record["echo_ok"] != failed
        assert bool(record["reason"]) == failed
        if not failed:
            assert record["connect_ms"] >= 40
            assert record["packets"]["a"] >= 2 and record["packets"]["b"] >= 1
    run = json.loads((tmp_path / "two/run.json").read_text())
    assert run["seed"] == 7 and run["kernel"] == os.uname().release
    assert run["version"] and run["commit"] and run["options"]["jobs"] == 2

    def seeds(records):
        return {(r["a"], r["b"], r["trial"]): r["seed"] for r in records}

    shards = [r for i in (1, 2) for r in natsim.trials(*args, "--shard", f"{i}/2", "--jobs", 1,
                                                       *natsim.fake_options)]
    assert seeds(shards) == seeds(records) and len(set(seeds(records).values())) == 8


def test_only_replays_one_trial(natsim):
    args = ["run", "--a", "full-cone", "--b", "open", "--seed", 3]
    three = natsim.trials(*args, "--trials", 3, *natsim.fake_options)
    (third,) = natsim.trials(*args, "--only", 3, *natsim.fake_options)
    assert third["trial"] == 3
    assert third["seed"] == next(r["seed"] for r in three if r["trial"] == 3)


def test_links_are_as_slow_as_asked(natsim):
    args = ["run", "--a", "open", "--b", "open", *natsim.fake_options, "--rtt"]
    (slow,) = natsim.trials(*args, 1500)
    assert slow["connect_ms"] >= 1500
    # One of them may have been kept from its processor so long, but not all.
    assert min(r["connect_ms"] for r in natsim.trials(*args, 0, "--trials", 5)) < 1500


def test_full_loss_connects_nothing(natsim):
    (trial,) = natsim.trials("run", "--a", "open", "--b", "open", "--loss", 100, "--endpoint",
                             natsim.fake, "--without", "names,ntp")
    assert trial["outcome"] == "failed"
    assert "no answer from the STUN server" in trial["reason"]


@pytest.mark.parametrize("path, status", [("direct", 0), ("relay", 1)])
def test_expectations_are_checked(natsim, tmp_path, path, status):
    table = tmp_path / "table.tsv"
    table.write_text(f"a\tb\toutcome\tpath\treason\nopen\topen\tconnected\t{path}\tso\n")
    done = natsim.run("run", "--a", "open", "--b", "open", "--expect", table, *natsim.fake_options)
    assert done.returncode == status, done.err
    assert ("better than expected: connected relay (so), was connected direct" in done.err) == status


# ---- peers that behave badly ---------------------------------------------------------------------


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize(
    "how, outcome, reason",
    [
        ("exit", "error", "ended before it was ready (exit status 1): this peer gives up at once"),
        ("crash", "error", "ended before it was ready (signal 6, Aborted)"),
        ("malformed", "error", "printed what is no event: this is no JSON"),
        ("bad-bytes", "error", "printed what is no event: ??"),
        ("no-address", "error", "was ready without telling its address"),
        ("failed", "failed", "nothing works here (before it was ready)"),
    ],
)
def test_bad_peers(natsim, side, how, outcome, reason):
    command = f"{natsim.fake} --misbehave {how} --side {side}"
    done = natsim.run("run", "--a", "open", "--b", "open", "--without", "names,ntp", "--endpoint",
                      command, "--json")
    record = json.loads(done.out)
    assert done.returncode == (1 if outcome == "error" else 0)
    assert record["outcome"] == outcome
    assert reason in record["reason"]
    assert ("logs" in record) == (outcome == "error")


def test_an_endpoint_that_is_no_program(natsim):
    done = natsim.run("run", "--a", "open", "--b", "open", "--without", "names,ntp", "--endpoint",
                      "/nonexistent/program", "--json")
    assert done.returncode == 1
    assert "not found" in json.loads(done.out)["reason"]


# ---- ends ----------------------------------------------------------------------------------------


def family_of(pid):
    """The process and all its descendants."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def namespaces(pids):
    links = set()
    for pid in pids:
        try:
            links.add(os.readlink(f"/proc/{pid}/ns/net"))
        except OSError:
            pass
    return links


@pytest.fixture
def kept():
    """The network namespaces of processes, but ours. They are kept until the end of the test, or the
    kernel could give one of their numbers to a laboratory that runs beside it."""
    descriptors = []

    def keep(pids):
        for pid in pids:
            try:
                descriptors.append(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY))
            except OSError:
                pass
        links = {os.readlink(f"/proc/self/fd/{fd}") for fd in descriptors}
        return links - {os.readlink("/proc/self/ns/net")}

    yield keep
    for descriptor in descriptors:
        os.close(descriptor)


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def is_python(pid):
    """natsim's own command line names the peer too, but is not that of a Python."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(sys.executable.encode())
    except OSError:  # it has ended
        return False


def start_long_run(natsim, tmp_path):
    """A run whose first trial is over and whose second one hangs; returns it when that is so."""
    process = natsim.start("matrix", "--profiles", "full-cone,symmetric", "--jobs", 1, "--out",
                           tmp_path, "--seed", 1, "--without", "names,ntp", "--endpoint",
                           f"{natsim.fake} --give-up 3000", "--timeout", 3000)
    # Three pairs connect at once, symmetric x symmetric takes its time.
    limit = time.monotonic() + LIMIT_S
    results = tmp_path / "trials.jsonl"
    while not results.exists() or results.read_text().count("\n") < 3:
        assert time.monotonic() < limit and process.poll() is None
        time.sleep(0.05)
    while sum(map(is_python, family_of(process.pid))) < 2:
        assert time.monotonic() < limit
        time.sleep(0.05)
    return process


def assert_gone(pids, links):
    limit = time.monotonic() + LIMIT_S
    while any(map(alive, pids)):
        assert time.monotonic() < limit, [p for p in pids if alive(p)]
        time.sleep(0.05)
    everyone = [int(p.name) for p in pathlib.Path("/proc").glob("[0-9]*")]
    assert not links & namespaces(everyone)
    assert not os.path.exists("/run/natsim")


def test_sigkill_leaves_nothing(natsim, tmp_path, kept):
    process = start_long_run(natsim, tmp_path)
    pids = family_of(process.pid)
    links = kept(pids)
    assert len(pids) >= 7 and len(links) >= 3  # supervisor, job, servers, peers; sites and servers
    process.kill()
    process.communicate()
    assert_gone(pids, links)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_keeps_the_results(natsim, tmp_path, kept, number):
    process = start_long_run(natsim, tmp_path)
    pids = family_of(process.pid)
    links = kept(pids)
    process.send_signal(number)
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 128 + number
    assert "interrupted: 3 of 4 trials are done" in err
    assert "3 trials: 3 connected" in out
    assert len([json.loads(line) for line in (tmp_path / "trials.jsonl").open()]) == 3
    assert_gone(pids, links)
