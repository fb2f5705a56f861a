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
from ports import nobody

HERE = pathlib.Path(__file__).parent
TIMEOUT = 300  # ends what hangs
# With how each is connected through two port-restricted NATs, where it has two nodes. UDP is half a round
# trip sooner there, and on a busy machine not always.
PUNCH = {"udp_punch", "tcp_punch"}
TWO_NODES = {"echo_gate": PUNCH, "bytes_only": PUNCH, "ping_pong": PUNCH, "pinned_connect": {"udp_punch"},
             "file_transfer": {"tcp_punch"}}


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


def certificate(tmp_path, name):
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    cert, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=echo", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True, timeout=TIMEOUT)
    return cert, key


def test_tcp_echo_server_with_tls(example, tmp_path):
    cert, key = certificate(tmp_path, "ours")
    other, _ = certificate(tmp_path, "other")
    with listening(example("tcp_echo_server"), "0", str(cert), str(key)) as (_, said):
        address = said.split()[-1]

        def client(trusted, version):
            process = subprocess.Popen(
                ["openssl", "s_client", "-connect", address, "-CAfile", trusted, "-verify_return_error",
                 "-verify_ip", "127.0.0.1", "-quiet", version],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            with process:
                process.stdin.write(b"hello\n")
                process.stdin.flush()
                line = process.stdout.readline()
                process.kill()
            return line

        with connected(said) as silent, connected(said) as rude:  # neither keeps others out
            rude.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client(cert, "-tls1_3") == b"hello\n"
            assert client(cert, "-tls1_2") == b"hello\n"
            assert client(other, "-tls1_3") == b""
            silent.settimeout(TIMEOUT)
            assert silent.recv(1) == b""


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
    with listening(example("relay"), nobody()) as (process, said):
        for _ in range(3):  # it goes on after the first
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
    assert trial["winner"] in TWO_NODES[name], trial
