"""A peer for natsim that needs nothing of ours: plain UDP hole punching with one socket.

It asks the STUN server for its outside address, tells it, and sends to the other's until something
comes back; it answers to wherever a packet came from. So what it reaches is what two NATs alone
allow. `--misbehave HOW` makes it a bad peer instead, on the side named by `--side`.
"""

import argparse
import json
import os
import select
import socket
import struct
import sys
import time

STEP_S = 0.03
MAGIC = 0x2112A442
SESSION = os.environ["NATSIM_SESSION"].encode()
ROLE = os.environ["NATSIM_ROLE"]


def say(**event):
    print(json.dumps(event), flush=True)


def parse(text):
    ip, port = text.rsplit(":", 1)
    return ip.strip("[]"), int(port)


def family(address):
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def own_ip(towards):
    with socket.socket(family(towards), socket.SOCK_DGRAM) as probe:
        probe.connect(towards)
        return probe.getsockname()[0]


def unmask(value, transaction):
    """The address in an XOR-MAPPED-ADDRESS (RFC 8489 14.2)."""
    mask = struct.pack("!I", MAGIC) + transaction
    port = struct.unpack_from("!H", value, 2)[0] ^ (MAGIC >> 16)
    raw = bytes(a ^ b for a, b in zip(value[4:], mask))
    if value[1] == 1:
        return f"{socket.inet_ntoa(raw)}:{port}"
    return f"[{socket.inet_ntop(socket.AF_INET6, raw)}]:{port}"


def mapped_address(sock, server, tries=20):
    """The outside address that a binding response tells (RFC 8489), or None."""
    transaction = os.urandom(12)
    request = struct.pack("!HHI", 1, 0, MAGIC) + transaction
    for _ in range(tries):
        sock.sendto(request, server)
        if not select.select([sock], [], [], 0.25)[0]:
            continue
        data = sock.recv(2048)
        if data[8:20] != transaction:
            continue
        at = 20
        while at + 4 <= len(data):
            kind, length = struct.unpack_from("!HH", data, at)
            if kind == 0x0020:
                return unmask(data[at + 4 : at + 4 + length], transaction)
            at += 4 + (length + 3) // 4 * 4
    return None


class Peer:
    def __init__(self, give_up_s):
        self.give_up_s = give_up_s
        server = parse(os.environ["NATSIM_STUN"].split(",")[0])
        self.sock = socket.socket(family(server), socket.SOCK_DGRAM)
        port = 20000 + int(os.environ["NATSIM_SEED"]) % 40000
        self.sock.bind((own_ip(server), port))
        address = mapped_address(self.sock, server)
        if not address:
            say(event="failed", reason="no answer from the STUN server")
            sys.stdin.read()  # until it is told to end
            raise SystemExit
        say(event="ready", address=address, name="fake-" + ROLE)
        self.heard = None  # where the other's packets come from
        self.acknowledged = False
        self.echoed = None

    def send(self, kind, to, body=b""):
        try:
            self.sock.sendto(SESSION + kind + ROLE.encode() + body, to)
        except OSError:
            pass  # an ICMP error of an earlier packet

    def receive(self):
        try:
            data, source = self.sock.recvfrom(2048)
        except OSError:
            return
        if not data.startswith(SESSION):
            return
        rest = data[len(SESSION) :]
        kind, role, body = rest[:1], rest[1:2].decode(), rest[2:]
        if role == ROLE:
            return
        self.heard = source
        if kind == b"p":
            self.send(b"k", source)
        elif kind == b"k":
            self.acknowledged = True
        elif kind == b"e":
            self.send(b"r", source, body)
        elif kind == b"r":
            self.echoed = body

    def until(self, done, limit_s, every):
        """Calls `every` once a step until `done`; false after as many steps as fit into the time, or
        when stdin closes. A machine that is late is late with each, and no step is left out."""
        steps = int(limit_s / STEP_S)
        while not done():
            if steps == 0:
                return False
            steps -= 1
            every()
            step_end = time.monotonic() + STEP_S
            while (left := step_end - time.monotonic()) > 0 and not done():
                ready = select.select([self.sock, sys.stdin], [], [], left)[0]
                if self.sock in ready:
                    self.receive()
                if sys.stdin in ready:
                    return False
        return True

    def connect(self, peer):
        probe = lambda: self.send(b"p", self.heard or peer)
        if not self.until(lambda: self.acknowledged, self.give_up_s, probe):
            say(event="failed", reason="no answer from the peer", report=self.report("WARP_TIMEOUT"))
            return
        say(event="connected", path="direct", transport="udp",
            family=6 if self.sock.family == socket.AF_INET6 else 4, winner="fake_punch",
            phase="spray", report=self.report(""))
        body = os.urandom(64)
        self.until(lambda: self.echoed, self.give_up_s, lambda: self.send(b"e", self.heard, body))
        say(event="echo", ok=self.echoed == body)

    def listen(self, peer):
        self.until(lambda: False, 3600, lambda: self.heard or self.send(b"p", peer))
        say(event="report", report=self.report("" if self.heard else "WARP_TIMEOUT"))

    def report(self, error):
        return [{"plugin": "fake_punch", "error": error}]


def misbehave(how):
    if how == "exit":
        sys.exit("this peer gives up at once")
    if how == "malformed":
        print("this is no JSON", flush=True)
    if how == "no-address":
        say(event="ready")
    if how == "failed":
        say(event="failed", reason="nothing works here")
    if how == "crash":
        os.abort()
    if how == "bad-bytes":
        sys.stdout.buffer.write(b"\xff\xfe\n")
        sys.stdout.flush()
    if how != "failed":  # that one has to be ended
        sys.stdin.read()
        raise SystemExit
    time.sleep(3600)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--give-up", type=float, default=5.0)
    options.add_argument("--misbehave")
    options.add_argument("--side", default="a")
    options = options.parse_args()
    if options.misbehave and options.side == ROLE:
        misbehave(options.misbehave)
    peer = Peer(options.give_up)
    word = json.loads(sys.stdin.readline())
    other = parse(word["peer"])
    if ROLE == "a":
        peer.connect(other)
    else:
        peer.listen(other)


main()
