"""The examples as a newcomer runs them: by themselves, as two processes, and through two
port-restricted NATs."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading

import pytest

HERE = pathlib.Path(__file__).parent
TIMEOUT = 60
# With how each is connected through two port-restricted NATs, where it has two nodes.
TWO_NODES = {"echo_gate": "udp_punch", "bytes_only": "udp_punch", "ping_pong": "udp_punch", "pinned_connect": "udp_punch",
             "file_transfer": "tcp_punch"}


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=TIMEOUT,
                          **options)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def listening(*command, **options):
    """A listener and its first line; however the test ends, it does too."""
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, **options)
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


def test_echo_gate(example, names, tmp_path):
    program = example("echo_gate")
    environment = {**os.environ, "WARPGATE_NAMES": names, "XDG_DATA_HOME": str(tmp_path)}
    with listening(program, "listen", "alice", env=environment) as (listener, said):
        assert said.startswith("listening as alice.")
        for message in ("hello", "once more"):
            assert f"came back: {message}\n" in run(program, "connect", "alice", message, env=environment)
            assert listener.stdout.readline() == message + "\n"
        nobody = subprocess.run([program, "connect", "bob"], env=environment, capture_output=True, text=True,
                                timeout=TIMEOUT)
        assert nobody.returncode == 1 and "nobody has this name" in nobody.stderr


def test_await_udp(example):
    said = run(example("await_udp")).splitlines()
    assert said[1:3] == ["the client: 'noon'", said[2]] and "'thank you' from 127.0.0.1:" in said[2]
    assert len(said) == 4


def test_recv_n(example):
    assert run(example("recv_n")).splitlines()[-1] == "cut wherever the network likes"


def test_broadcast(example):
    heard, answer = run(example("broadcast")).splitlines()
    assert heard == "heard: who is here?" and answer.endswith(" says: I am")


# ---- servers -------------------------------------------------------------------------------------


def connected(said):
    """A plain socket to the server that said where it listens."""
    host, port = said.split()[-1].rsplit(":", 1)
    return socket.create_connection((host, int(port)), TIMEOUT)


def swap(sock, data):
    """Sends all, says that this was all, and reads to the end."""
    def send():
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    back = b"".join(iter(lambda: sock.recv(65536), b""))
    sender.join()
    return back


def test_tcp_echo_server(example):
    with listening(example("tcp_echo_server")) as (_, said), connected(said) as one, connected(said) as two:
        for sock in (one, two):
            sock.sendall(b"hello")
            assert sock.recv(5) == b"hello"


def test_relay(example):
    def echo(server):
        sock, _ = server.accept()
        with sock:
            for data in iter(lambda: sock.recv(65536), b""):
                sock.sendall(data)

    data = bytes(range(256)) * 40000
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=echo, args=(server,), daemon=True).start()
        with listening(example("relay"), f"127.0.0.1:{server.getsockname()[1]}") as (process, said):
            with connected(said) as sock:
                sock.settimeout(TIMEOUT)
                assert swap(sock, data) == data
            assert process.poll() is None


def test_relay_to_nobody(example):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with listening(example("relay"), f"127.0.0.1:{port}") as (process, said):
        for _ in range(3): # it goes on after the first
            with connected(said) as sock:
                sock.settimeout(TIMEOUT)
                assert sock.recv(1) == b""
        assert process.poll() is None


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
                                        ("file_transfer", []), ("bytes_only", []),
                                        ("echo_gate", []), ("echo_gate", ["connect", "alice"])])
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
