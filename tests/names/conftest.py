"""Where the name server is, and how a test runs and asks it."""

import os
import pathlib
import signal
import socket
import struct
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
WAIT_S = 120  # for what takes milliseconds


def pytest_addoption(parser):
    default = HERE.parent.parent / "build/bin/warpgate-names"
    parser.addoption("--server", default=default, type=pathlib.Path)
    parser.addoption("--load", type=pathlib.Path, help="the program names_load")
    parser.addoption("--kills", default=5, type=int, help="how often the server is killed under load")


def field(kind, value):
    return struct.pack(">HH", kind, len(value)) + value


def lookup(name, nonce, length=1232):
    """A LOOKUP as docs/protocol.md describes it, padded to `length`."""
    packet = bytes([0xE7, 0x57, 1, 4]) + field(1, b"\1") + field(2, nonce) + field(3, name.encode())
    return packet + field(9, bytes(length - len(packet) - 4)) if length > len(packet) + 4 else packet


def fields_of(reply):
    assert reply[:4] == bytes([0xE7, 0x57, 1, 5])
    fields, at = {}, 4
    while at < len(reply):
        kind, length = struct.unpack_from(">HH", reply, at)
        fields[kind] = reply[at + 4 : at + 4 + length]
        at += 4 + length
    return fields


NOT_FOUND = b"\1"
BUSY = b"\x08"


class Server:
    def __init__(self, program, *args):
        self.process = subprocess.Popen(
            [program, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_ready(self, count=1):
        """The addresses it says that it answers at."""
        addresses = []
        for _ in range(count):
            word, address = self.process.stdout.readline().split()
            assert word == "ready"
            host, port = address.rsplit(":", 1)
            addresses.append((host.strip("[]"), int(port)))
        return addresses

    def end(self, signal_number=signal.SIGTERM):
        self.process.send_signal(signal_number)
        return self.finish()

    def finish(self):
        """Exit status, standard output and error."""
        out, err = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, out, err

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=WAIT_S)


@pytest.fixture
def start(request):
    servers = []

    def start(*args):
        servers.append(Server(request.config.getoption("--server").resolve(), *args))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def serve(start, tmp_path):
    """Starts one at a free port of loopback, with a new store."""

    def serve(*args, listen="127.0.0.1:0"):
        server = start("--listen", listen, "--store", tmp_path / "names.db", *args)
        server.address = server.wait_ready()[0]
        return server

    return serve


def ask_udp(address, packet):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(WAIT_S)
        udp.sendto(packet, address)
        return udp.recv(2048)


class Stream:
    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=WAIT_S)

    def send(self, *packets):
        self.socket.sendall(b"".join(struct.pack(">H", len(p)) + p for p in packets))

    def read(self, count):
        """Exactly so many bytes, or fewer at the end of the stream."""
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                break
            data += more
        return data

    def reply(self):
        frame = self.read(2)
        if len(frame) < 2:
            raise ConnectionError("ended without a reply")
        return self.read(struct.unpack(">H", frame)[0])


@pytest.fixture
def stream(request):
    streams = []

    def connect(address):
        streams.append(Stream(address))
        return streams[-1]

    yield connect
    for each in streams:
        each.socket.close()


def new_nonce():
    return os.urandom(16)
