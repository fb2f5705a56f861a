"""Where the STUN server is, and how a test runs it and asks it."""

import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
WAIT_S = 120  # for what takes milliseconds

sys.path.append(str(HERE.parent))
from ports import reserve  # noqa: E402

COOKIE = 0x2112A442
XOR_MAPPED, CHANGE_REQUEST, ERROR_CODE = 0x0020, 0x0003, 0x0009
ORIGIN, OTHER = 0x802B, 0x802C
CHANGE_PORT, CHANGE_IP = 2, 4
SUCCESS, ERROR = 0x0101, 0x0111


def pytest_addoption(parser):
    default = HERE.parent.parent / "build/bin/warpgate-stun"
    parser.addoption("--server", default=default, type=pathlib.Path)


def request(change=None):
    """A binding request and its transaction id (RFC 8489 section 5)."""
    txid = os.urandom(12)
    body = b"" if change is None else struct.pack(">HHI", CHANGE_REQUEST, 4, change)
    return struct.pack(">HHI", 1, len(body), COOKIE) + txid + body, txid


def address(value, mask=bytes(20)):
    family, port = struct.unpack_from(">xBH", value)
    ip = bytes(a ^ b for a, b in zip(value[4:], mask))
    text = socket.inet_ntop(socket.AF_INET if family == 1 else socket.AF_INET6, ip)
    return text, port ^ struct.unpack(">H", mask[:2])[0]


def read_answer(reply, txid):
    """The answer's type, and its attributes: addresses as pairs, an error as its code."""
    kind, length, cookie = struct.unpack_from(">HHI", reply)
    assert cookie == COOKIE and reply[8:20] == txid and length == len(reply) - 20
    attributes, at = {}, 20
    while at < len(reply):
        attribute, size = struct.unpack_from(">HH", reply, at)
        value = reply[at + 4 : at + 4 + size]
        if attribute == XOR_MAPPED:
            value = address(value, reply[4:20])
        elif attribute in (ORIGIN, OTHER):
            value = address(value)
        elif attribute == ERROR_CODE:
            value = value[2] * 100 + value[3]
        attributes[attribute] = value
        at += 4 + (size + 3) // 4 * 4
    return kind, attributes


def read_message(stream):
    """One message from a stream: (bytes), or b"" at its end."""
    data = b""
    while len(data) < 20 or len(data) < 20 + struct.unpack_from(">H", data, 2)[0]:
        got = stream.recv(4096)
        if not got:
            return data
        data += got
    return data


class Program:
    def __init__(self, process):
        self.process = process

    def finish(self):
        out, err = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, out, err

    def line(self):
        return self.process.stdout.readline()


@pytest.fixture
def start(request):
    programs = []

    def run(*args):
        server = request.config.getoption("--server").resolve()
        process = subprocess.Popen(
            [server, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        programs.append(process)
        return Program(process)

    yield run
    for process in programs:
        process.kill()
        process.communicate(timeout=WAIT_S)


class Server(Program):
    """A running server; `at` are its endpoints by (other address, other port)."""

    def __init__(self, program, ips, ports):
        super().__init__(program.process)
        self.at = {(i, p): (ips[i], ports[p]) for i in (0, 1) for p in (0, 1)}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.finish()


@pytest.fixture
def serve(start):
    def run(*args):
        ips = ("127.0.0.1", "127.0.0.2")
        ports = reserve(), reserve()
        options = ["--listen", ips[0], "--other", ips[1], "--port", ports[0]]
        server = Server(start(*options, "--alt-port", ports[1], *args), ips, ports)
        assert server.line() == f"ready {ips[0]}:{ports[0]} {ips[1]}:{ports[1]}\n"
        return server

    return run


@pytest.fixture
def opened():
    """Keeps sockets, with a time limit, and closes them at the end."""
    sockets = []

    def keep(made):
        made.settimeout(WAIT_S)
        sockets.append(made)
        return made

    yield keep
    for made in sockets:
        made.close()
