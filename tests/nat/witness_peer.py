"""A peer that measures its own NAT and tells, instead of connecting: a witness beside the prober.

  witness_peer.py coturn FIXTURES PORT   lets coturn's turnutils_natdiscovery look, by UDP
  witness_peer.py stun PORT              asks warpgate-stun by STUN over TCP, the way RFC 5780 does

What it found is the report of the trial, {"map": ..., "filter": ...}; the trial fails with the
reason "told".
"""

import json
import os
import pathlib
import select
import socket
import struct
import subprocess
import sys

SERVER = "203.0.113.10"
COOKIE = 0x2112A442
CHANGE_REQUEST, CHANGE_PORT, CHANGE_IP = 0x0003, 2, 4
XOR_MAPPED, OTHER = 0x0020, 0x802C
SUCCESS = 0x0101
WORDS = {"Endpoint Independent": "ei", "Address Dependent": "ad", "Address and Port Dependent": "apd"}


# ---- coturn's tool -------------------------------------------------------------------------------


def ask_coturn(fixtures, port):
    """Its two verdicts: "NAT with ... Mapping!" and "NAT with ... Filtering!"."""
    root = pathlib.Path(fixtures)
    tool = root / "usr/bin/turnutils_natdiscovery"
    libraries = [str(path) for path in (root / "usr/lib").glob("*-linux-gnu*")]
    done = subprocess.run(
        [tool if tool.exists() else tool.name, "-m", "-f", "-p", port, SERVER],
        env={**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)},
        capture_output=True,
        text=True,
    )
    found = {}
    for line in done.stdout.splitlines():
        for axis, verdict in (("map", " Mapping!"), ("filter", " Filtering!")):
            if line.startswith("NAT with ") and line.endswith(verdict):
                words = line.removeprefix("NAT with ").removesuffix(verdict)
                found[axis] = WORDS.get(words, words)
    return found


# ---- STUN over TCP -------------------------------------------------------------------------------


def shared_socket(port=0):
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("0.0.0.0", port))
    return made


def send_request(stream, change=None):
    body = b"" if change is None else struct.pack(">HHI", CHANGE_REQUEST, 4, change)
    stream.sendall(struct.pack(">HHI", 1, len(body), COOKIE) + os.urandom(12) + body)


def read_answer(stream):
    """The type, and addresses by attribute."""
    data = b""
    while len(data) < 20 or len(data) < 20 + struct.unpack_from(">H", data, 2)[0]:
        got = stream.recv(4096)
        if not got:
            raise ConnectionError("the server hung up")
        data += got
    addresses, at = {}, 20
    while at < len(data):
        kind, size = struct.unpack_from(">HH", data, at)
        if kind in (XOR_MAPPED, OTHER):
            mask = COOKIE if kind == XOR_MAPPED else 0
            port, ip = struct.unpack_from(">xxHI", data, at + 4)
            addresses[kind] = (socket.inet_ntoa(struct.pack(">I", ip ^ mask)), port ^ mask >> 16)
        at += 4 + (size + 3) // 4 * 4
    return struct.unpack_from(">H", data)[0], addresses


def ask(local_port, server, opened):
    """Our address as the server sees it, and its other one; the connection stays open."""
    stream = shared_socket(local_port)
    opened.append(stream)
    stream.connect(server)
    send_request(stream)
    _, addresses = read_answer(stream)
    return addresses[XOR_MAPPED], addresses[OTHER]


def comes_back(listener, stream, change):
    """Whether the connection that the server is asked for arrives; else it says that it could not."""
    send_request(stream, change)
    ready, _, _ = select.select([listener, stream], [], [])
    if listener not in ready:
        assert read_answer(stream)[0] != SUCCESS
        return False
    back, _ = listener.accept()
    return read_answer(back)[0] == SUCCESS


def ask_stun(port):
    opened = []
    listener = shared_socket()
    listener.listen()
    local_port = listener.getsockname()[1]
    first, other = ask(local_port, (SERVER, port), opened)
    other_ip, _ = ask(local_port, (other[0], port), opened)
    other_both, _ = ask(local_port, other, opened)
    found = {"map": "ei" if first == other_ip else "ad" if other_ip == other_both else "apd"}
    listener = shared_socket()  # a port that has written to one endpoint alone
    listener.listen()
    stream = shared_socket(listener.getsockname()[1])
    stream.connect((SERVER, port))
    if comes_back(listener, stream, CHANGE_IP | CHANGE_PORT):
        found["filter"] = "ei"
    else:
        found["filter"] = "ad" if comes_back(listener, stream, CHANGE_PORT) else "apd"
    return found


# ---- the peer ------------------------------------------------------------------------------------


def say(**event):
    print(json.dumps(event), flush=True)


def main():
    say(event="ready", address="nobody connects here")
    sys.stdin.readline()
    if os.environ["NATSIM_ROLE"] == "a":
        witness, *args = sys.argv[1:]
        found = ask_coturn(*args) if witness == "coturn" else ask_stun(int(args[0]))
        say(event="failed", reason="told", report=[found])
    sys.stdin.read()


main()
