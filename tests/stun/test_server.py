"""warpgate-stun from outside: arguments, all endpoints, both transports, the way back, signals."""

import signal
import socket

import pytest
from conftest import (
    CHANGE_IP,
    CHANGE_PORT,
    ERROR,
    ERROR_CODE,
    ORIGIN,
    OTHER,
    SUCCESS,
    XOR_MAPPED,
    read_answer,
    read_message,
    request,
)

ENDPOINTS = [(0, 0), (0, 1), (1, 0), (1, 1)]


# ---- arguments -----------------------------------------------------------------------------------


def test_help(start):
    status, out, err = start("--help").finish()
    assert status == 0 and err == ""
    assert out.startswith("usage: warpgate-stun") and "Example" in out


@pytest.mark.parametrize(
    "args, complaint",
    [
        ([], "needs an --other"),
        (["--listen", "127.0.0.1"], "needs an --other"),
        (["--listen", "127.0.0.1", "--other", "::1"], "two families"),
        (["--listen", "127.0.0.1", "--other", "127.0.0.1"], "the same address"),
        (["--listen", "127.0.0.1:5", "--other", "127.0.0.2"], "not an address, or too many"),
        (["--listen", "there", "--other", "127.0.0.2"], "not an address, or too many: there"),
        (["--port", "0"], "not a port: 0"),
        (["--alt-port", "70000"], "not a port: 70000"),
        (["--listen", "127.0.0.1", "--other", "127.0.0.2", "--port", "3479"], "are the same"),
        (["--nonsense"], "nonsense"),
        (["more"], "no such argument: more"),
    ],
)
def test_usage(start, args, complaint):
    status, out, err = start(*args).finish()
    assert status == 2 and out == ""
    assert complaint in err and err.count("\n") == 1


def test_a_port_that_is_taken(start, serve):
    taken = serve()
    (ip, port), (_, other_port) = taken.at[0, 0], taken.at[0, 1]
    args = ["--listen", ip, "--other", "127.0.0.2", "--port", port, "--alt-port", other_port]
    status, out, err = start(*args).finish()
    assert status == 1 and out == "" and f"cannot listen at {ip}:{port}" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it(serve, number):
    server = serve()
    server.process.send_signal(number)
    assert server.finish() == (0, "", "")


# ---- UDP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("change", [None, 0, CHANGE_PORT, CHANGE_IP, CHANGE_IP | CHANGE_PORT])
def test_udp_from_every_endpoint(serve, opened, endpoint, change):
    server = serve()
    ip, port = endpoint
    client = opened(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client.bind(("127.0.0.1", 0))
    packet, txid = request(change)
    client.sendto(packet, server.at[endpoint])
    reply, source = client.recvfrom(2048)
    kind, attributes = read_answer(reply, txid)
    flags = change or 0
    origin = server.at[ip ^ bool(flags & CHANGE_IP), port ^ bool(flags & CHANGE_PORT)]
    assert kind == SUCCESS and source == origin
    assert attributes[ORIGIN] == origin
    assert attributes[OTHER] == server.at[1 - ip, 1 - port]
    assert attributes[XOR_MAPPED] == client.getsockname()


def test_garbage_is_passed_over(serve, opened):
    server = serve()
    client = opened(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    for garbage in (b"", b"x", bytes(2000), b"\0\1\0\x08\x21\x12\xa4\x42" + bytes(12)):
        client.sendto(garbage, server.at[0, 0])
    packet, txid = request()
    client.sendto(packet, server.at[0, 0])
    assert read_answer(client.recv(2048), txid)[0] == SUCCESS


# ---- TCP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_tcp_in_pieces_and_in_a_row(serve, opened, endpoint):
    server = serve()
    client = opened(socket.create_connection(server.at[endpoint]))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(2):
        packet, txid = request()
        for byte in packet:
            client.send(bytes([byte]))
        kind, attributes = read_answer(read_message(client), txid)
        assert kind == SUCCESS and attributes[XOR_MAPPED] == client.getsockname()
        assert attributes[ORIGIN] == server.at[endpoint]


def test_tcp_garbage_ends_the_connection(serve, opened):
    server = serve()
    client = opened(socket.create_connection(server.at[0, 0]))
    client.sendall(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")
    try:
        assert client.recv(100) == b""
    except ConnectionResetError:
        pass


def test_change_over_tcp_is_refused(serve, opened):
    server = serve()
    client = opened(socket.create_connection(server.at[0, 0]))
    packet, txid = request(CHANGE_PORT)
    client.sendall(packet)
    kind, attributes = read_answer(read_message(client), txid)
    assert kind == ERROR and attributes[ERROR_CODE] == 400


# ---- the way back --------------------------------------------------------------------------------


def reusable(opened):
    made = opened(socket.socket())
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return made


@pytest.mark.parametrize("change", [CHANGE_PORT, CHANGE_IP, CHANGE_IP | CHANGE_PORT])
def test_the_way_back_comes_from_the_endpoint_asked_for(serve, opened, change):
    server = serve("--connect-back")
    listener = reusable(opened)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    client = reusable(opened)
    client.bind(listener.getsockname())
    client.connect(server.at[0, 0])
    packet, txid = request(change)
    client.sendall(packet)
    back, source = listener.accept()
    origin = server.at[int(bool(change & CHANGE_IP)), int(bool(change & CHANGE_PORT))]
    assert source == origin
    kind, attributes = read_answer(read_message(opened(back)), txid)
    assert kind == SUCCESS and attributes[ORIGIN] == origin
    assert back.recv(1) == b""
    packet, txid = request()  # and the first connection goes on
    client.sendall(packet)
    assert read_answer(read_message(client), txid)[0] == SUCCESS


def test_a_way_back_that_is_refused_is_told(serve, opened):
    server = serve("--connect-back")
    client = opened(socket.create_connection(server.at[0, 0]))
    packet, txid = request(CHANGE_IP)
    client.sendall(packet)
    kind, attributes = read_answer(read_message(client), txid)
    assert kind == ERROR and attributes[ERROR_CODE] == 500


def test_an_asker_that_leaves_takes_the_way_back_along(serve, opened):
    server = serve("--connect-back")
    for _ in range(20):
        client = socket.create_connection(server.at[0, 0])
        client.sendall(request(CHANGE_IP)[0])
        client.close()
    client = opened(socket.create_connection(server.at[1, 1]))
    packet, txid = request()
    client.sendall(packet)
    assert read_answer(read_message(client), txid)[0] == SUCCESS
    assert server.stop() == (0, "", "")
