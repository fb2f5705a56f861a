"""A peer for natsim that watches the STUN server: after the word, a asks it again and again and says
in its reason how the answers came and went, as "answered, silent, answered". It ends after
as many changes as --changes says, or 120 s.
"""

import argparse
import json
import os
import select
import socket
import struct
import sys
import time

MAGIC = 0x2112A442


def answers(server, limit_s=1):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(server)
        transaction = os.urandom(12)
        try:
            sock.send(struct.pack("!HHI", 1, 0, MAGIC) + transaction)
            ready = select.select([sock], [], [], limit_s)[0]
            return bool(ready) and sock.recv(2048)[8:20] == transaction
        except OSError:
            return False


options = argparse.ArgumentParser()
options.add_argument("--changes", type=int, default=0)
options = options.parse_args()
print(json.dumps({"event": "ready", "address": "nowhere"}), flush=True)
sys.stdin.readline()
if os.environ["NATSIM_ROLE"] == "b":
    sys.stdin.read()
    sys.exit()
ip, port = os.environ["NATSIM_STUN"].split(",")[0].rsplit(":", 1)
seen, end = [], time.monotonic() + 120
while time.monotonic() < end:
    now = "answered" if answers((ip, int(port))) else "silent"
    if not seen or seen[-1] != now:
        seen.append(now)
    if len(seen) > options.changes:
        break
    time.sleep(0.01)
print(json.dumps({"event": "failed", "reason": ", ".join(seen)}), flush=True)
