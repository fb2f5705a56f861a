"""The examples as a newcomer runs them: by themselves, as two processes, and through two
port-restricted NATs."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
TIMEOUT = 60
# With how each is connected through two port-restricted NATs, where it has two nodes.
TWO_NODES = {"bytes_only": "udp_punch", "ping_pong": "udp_punch", "pinned_connect": "udp_punch",
             "file_transfer": "tcp_punch"}


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=TIMEOUT,
                          **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def listening(*command):
    """A listener and its first line; however the test ends, it does too."""
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


# ---- by themselves -------------------------------------------------------------------------------


def test_two_nodes(example):
    assert run(example("two_nodes")) == "bob got back: hello alice\n"


def test_ping_pong(example):
    assert run(example("ping_pong")).count("round ") == 10


def test_pinned_connect(example):
    said = run(example("pinned_connect"))
    assert "connected by direct_connect over tcp" in said and "came back: hello" in said


def test_file_transfer(example, tmp_path):
    source = example("file_transfer")
    assert f"{source.stat().st_size} bytes received" in run(source, source, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()


def test_bytes_only(example, tmp_path):
    address = tmp_path / "address"
    program = example("bytes_only")
    with listening(program, "listen", address) as (listener, said):
        assert said == f"my address is in {address}\n"
        changed = bytearray(address.read_bytes())
        changed[-1] ^= 1
        (tmp_path / "changed").write_bytes(changed)
        refused = subprocess.run([program, "connect", tmp_path / "changed"], capture_output=True,
                                 text=True, timeout=TIMEOUT)
        assert refused.returncode == 1 and "not signed by the key" in refused.stderr
        assert "answer: quite well" in run(program, "connect", address)
        assert listener.wait(TIMEOUT) == 0


# ---- as two processes ----------------------------------------------------------------------------


def two_processes(listen, connect):
    with listening(*listen) as (listener, said):
        word, address = said.split()
        assert word == "address"
        said = run(*connect(address))
        assert listener.wait(TIMEOUT) == 0
    return said


@pytest.mark.parametrize("name", ["ping_pong", "pinned_connect"])
def test_as_two_processes(example, name):
    program = example(name)
    assert "connected by direct_connect" in two_processes(
        [program, "listen"], lambda address: [program, "connect", address])


def test_file_transfer_as_two_processes(example, tmp_path):
    program = example("file_transfer")
    two_processes([program, "listen", program],
                  lambda address: [program, "connect", address, tmp_path / "copy"])
    assert (tmp_path / "copy").read_bytes() == program.read_bytes()


@pytest.mark.parametrize("name, args", [("ping_pong", ["connect"]), ("ping_pong", ["connect", "xyz"]),
                                        ("file_transfer", []), ("bytes_only", [])])
def test_usage(example, name, args):
    done = subprocess.run([example(name), *args], capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 2 and name in done.stderr


# ---- through NATs --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TWO_NODES)
def test_through_two_nats(build, example, name):
    endpoint = f"{sys.executable} -B {HERE / 'endpoint.py'} {example(name)}"
    environment = {**os.environ}
    if (build / "fixtures/usr").is_dir():
        environment.setdefault("NATSIM_FIXTURES", str(build / "fixtures"))
    trial = json.loads(run(build / "bin/natsim", "run", "--a", "port-restricted", "--b",
                           "port-restricted", "--json", "--endpoint", endpoint, env=environment))
    assert trial["outcome"] == "connected", trial
    assert trial["path"] == "direct" and trial["echo_ok"], trial
    assert trial["winner"] == TWO_NODES[name], trial
