"""warpgate-names from outside: arguments, both transports, limits, signals, its file."""

import json
import signal
import socket

import pytest
from conftest import BUSY, HERE, NOT_FOUND, WAIT_S, ask_udp, fields_of, lookup, new_nonce


def is_answer(reply, nonce):
    fields = fields_of(reply)
    return fields[1] == NOT_FOUND and fields[2] == nonce


# ---- arguments -----------------------------------------------------------------------------------


def test_help(start):
    status, out, err = start("--help").finish()
    assert status == 0 and err == ""
    assert out.startswith("usage: warpgate-names")
    assert all(option in out for option in ("--listen", "--store", "--quota-v4", "--lifetime-max"))


@pytest.mark.parametrize(
    "args, complaint",
    [
        ([], "--listen"),
        (["--listen", "127.0.0.1:0"], "--store"),
        (["--listen", "127.0.0.1", "--store", "x"], "not an address and port: 127.0.0.1"),
        (["--listen", "::1", "--store", "x"], "not an address and port: ::1"),
        (["--listen", "localhost:1", "--store", "x"], "not an address and port: localhost:1"),
        (["--listen", "127.0.0.1:99999", "--store", "x"], "not an address and port"),
        (["--quota-v4", "many"], "not a number in range: many"),
        (["--quota-v6", "-1"], "not a number in range: -1"),
        (["--lifetime-max", "59"], "not a number in range: 59"),
        (["--rate", "0"], "rate is 1 to 100000"),
        (["--quota-v6-site", "1000001"], "quota-v6-site is 0 to 1000000"),
        (["--config", "missing.conf"], "missing.conf: No such file"),
        (["--nonsense"], "nonsense"),
        (["more"], "no such argument: more"),
        (["--listen", "127.0.0.1:0"] * 9, "too many addresses"),
    ],
)
def test_usage(start, args, complaint):
    status, out, err = start(*args).finish()
    assert status == 2 and out == ""
    assert complaint in err and err.count("\n") == 1


def test_version(start):
    status, out, err = start("--version").finish()
    assert status == 0 and out.startswith("warpgate-names ") and err == ""


# ---- the configuration file ----------------------------------------------------------------------


def write_conf(tmp_path, *lines):
    path = tmp_path / "names.conf"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_configuration_file(start, tmp_path):
    path = write_conf(
        tmp_path, "# ours", "", "listen = 127.0.0.1:0  # any", f"store = {tmp_path}/names.db", "rate=3"
    )
    server = start("--config", path)
    assert server.wait_ready()[0][0] == "127.0.0.1"
    nonce = new_nonce()
    assert server.end() == (0, "", "")
    # The command line is stronger: its address is the only one.
    server = start("--listen", "127.0.0.2:0", "--config", path)
    address = server.wait_ready()[0]
    assert address[0] == "127.0.0.2"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(WAIT_S)
        for _ in range(100):
            udp.sendto(lookup("alice", nonce, 0), address)
        said = [fields_of(udp.recv(2048))[1] for _ in range(100)]
    # Five seconds' worth are answered at once: of the file's rate 15, and of the default all 100.
    assert said[:15] == [NOT_FOUND] * 15 and BUSY in said
    assert server.end() == (0, "", "")


def test_example_configuration(start, tmp_path):
    example = (HERE.parent.parent / "fixtures/names/names.conf").read_text()
    settings = [line.lstrip("#") for line in example.splitlines() if "= " in line]
    path = write_conf(tmp_path, *settings)
    port = "127.0.0.1:0"
    server = start("--config", path, "--listen", port, "--store", tmp_path / "names.db")
    server.wait_ready()
    assert server.end() == (0, "", "")


@pytest.mark.parametrize(
    "line, complaint",
    [
        ("listen 127.0.0.1:0", "not a line 'name = value'"),
        ("listen = here", "not an address and port: here"),
        ("colour = red", "no setting 'colour'"),
        ("config = more.conf", "no setting 'config'"),
        ("store =", "the store is the path of a file"),
        ("rate = fast", "not a number in range: fast"),
        ("# " + "x" * 5000, "longer than"),
    ],
)
def test_bad_configuration(start, tmp_path, line, complaint):
    path = write_conf(tmp_path, "# first", line)
    status, out, err = start("--config", path).finish()
    assert status == 2 and out == ""
    assert f"{path} line 2: " in err and complaint in err and err.count("\n") == 1


# ---- statistics ----------------------------------------------------------------------------------


def test_statistics(serve):
    server = serve()
    nonce = new_nonce()
    assert is_answer(ask_udp(server.address, lookup("alice", nonce)), nonce)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"junk", server.address)
    fields_of(ask_udp(server.address, lookup("alice", nonce, 0)))  # longer than its answer
    server.process.send_signal(signal.SIGUSR1)
    stats = json.loads(server.process.stdout.readline())
    assert stats["requests"] == {"lookup": 2, "register": 0, "delete": 0}
    assert stats["replies"]["not_found"] == 2 and sum(stats["replies"].values()) == 2
    assert stats["malformed"] == 1 and stats["names"] == 0 and stats["commits_failed"] == 0
    assert stats["changes_waiting"] == 0 and stats["changes_refused"] == 0
    assert server.end() == (0, "", "")


def test_statistics_now_and_then(serve):
    server = serve("--statistics", 1)
    lines = [json.loads(server.process.stdout.readline()) for _ in range(2)]
    assert lines[0]["uptime_s"] < lines[1]["uptime_s"]


# ---- answering -----------------------------------------------------------------------------------


def test_udp(serve):
    server = serve()
    nonce = new_nonce()
    assert is_answer(ask_udp(server.address, lookup("alice", nonce)), nonce)


def test_tcp(serve, stream):
    server = serve()
    connection = stream(server.address)
    nonces = [new_nonce() for _ in range(5)]
    connection.send(*(lookup("alice", nonce, 0) for nonce in nonces))  # all at once
    for nonce in nonces:
        assert is_answer(connection.reply(), nonce)
    packet = lookup("bob", nonces[0], 0)
    for byte in bytes([0, len(packet)]) + packet:  # one at a time
        connection.socket.sendall(bytes([byte]))
    assert is_answer(connection.reply(), nonces[0])


def test_ipv6_and_several_addresses(start, stream, tmp_path):
    listen = ["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        listen += ["--listen", "[::1]:0"]
    except OSError:
        pass  # a machine without IPv6
    server = start(*listen, "--store", tmp_path / "names.db")
    addresses = server.wait_ready(len(listen) // 2)
    assert len(set(addresses)) == len(addresses)
    assert all(is_answered(stream(address)) for address in addresses)


def test_nonsense(serve, stream):
    server = serve()
    reversed_lookup = lookup("a", bytes(16), 0)[::-1]
    framed = bytes([0, len(reversed_lookup)]) + reversed_lookup
    for junk in (b"\0\0", b"\xff\xff", b"\0\4junk", framed):
        connection = stream(server.address)
        connection.socket.sendall(junk)
        assert connection.read(1) == b""  # closed, unanswered
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for junk in (b"", b"junk", bytes(2000)):
            udp.sendto(junk, server.address)
    nonce = new_nonce()
    assert is_answer(ask_udp(server.address, lookup("alice", nonce)), nonce)


def is_answered(connection):
    nonce = new_nonce()
    connection.send(lookup("alice", nonce, 0))
    return is_answer(connection.reply(), nonce)


def is_let_in(stream, address):
    """A connection over the limit is reset, at once or while it asks."""
    try:
        return is_answered(stream(address))
    except ConnectionError:
        return False


def test_connections_of_one_source(serve, stream):
    server = serve()
    connections = [stream(server.address) for _ in range(16)]
    assert all(is_answered(connection) for connection in connections)
    assert not is_let_in(stream, server.address)
    connections[3].socket.close()
    # The place is free as soon as the server has seen the end, which is at the latest when it has
    # answered what another connection asked after it.
    assert is_answered(connections[4])
    assert is_let_in(stream, server.address)


# ---- beginning and ending ------------------------------------------------------------------------


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_signals(serve, stream, tmp_path, signal_number):
    server = serve()
    stream(server.address)
    assert server.end(signal_number) == (0, "", "")
    again = serve()  # the same store
    assert again.end() == (0, "", "")


def test_address_in_use(serve, start, tmp_path):
    server = serve()
    host, port = server.address
    other = start("--listen", f"{host}:{port}", "--store", tmp_path / "other.db")
    status, out, err = other.finish()
    assert status == 1 and out == ""
    assert f"cannot listen at {host}:{port}" in err and err.count("\n") == 1


def test_store_in_use(serve, start, tmp_path):
    serve()
    other = start("--listen", "127.0.0.1:0", "--store", tmp_path / "names.db")
    status, out, err = other.finish()
    assert status == 1 and out == ""
    assert "another process has it open" in err and err.count("\n") == 1


@pytest.mark.parametrize("make", ["folder", "text", "missing"])
def test_no_store(start, tmp_path, make):
    path = tmp_path / make
    if make == "folder":
        path.mkdir()
    elif make == "text":
        path.write_text("not a database, and long enough to be looked at " * 20)
    else:
        path = path / "names.db"
    status, out, err = start("--listen", "127.0.0.1:0", "--store", path).finish()
    assert status == 1 and out == ""
    assert err.startswith("warpgate-names: cannot use ") and err.count("\n") == 1
