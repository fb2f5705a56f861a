"""An example as a peer of natsim: `b` runs it with `listen`, `a` with `connect` and the address that
`b` printed. Takes the program as its argument. Bytes that went both ways are what the example itself
checks before it exits with 0."""

import json
import os
import pathlib
import re
import subprocess
import sys

PROGRAM = pathlib.Path(sys.argv[1])
DATA = pathlib.Path(os.environ["NATSIM_DATA"])
# What each takes after its ordinary arguments.
MORE_TO_LISTEN = {"file_transfer": [str(PROGRAM)]}
MORE_TO_CONNECT = {"file_transfer": [str(DATA / "copy")], "pinned_connect": ["udp_punch"]}


def tell(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def start(*args):
    servers = {kind: os.environ["NATSIM_" + kind] for kind in ("BROKERS", "STUN", "TURN", "NAMES")}
    environment = {**os.environ, "XDG_DATA_HOME": str(DATA)}
    environment.update({f"WARPGATE_{kind}": value for kind, value in servers.items()})
    return subprocess.Popen([PROGRAM, *args], stdout=subprocess.PIPE, text=True, env=environment)


def listen():
    if PROGRAM.name == "bytes_only":
        process = start("listen", str(DATA / "address"))
        process.stdout.readline()
        address = (DATA / "address").read_bytes().hex()
    elif PROGRAM.name == "echo_gate":
        process = start("listen", "alice")
        address = process.stdout.readline().split()[-1]
    else:
        process = start("listen", *MORE_TO_LISTEN.get(PROGRAM.name, []))
        address = process.stdout.readline().split()[1]
    tell("ready", address=address)
    sys.stdin.read()
    process.terminate()
    process.wait()


def connect():
    tell("ready", address="nobody connects to this one")
    address = json.loads(sys.stdin.readline())["peer"]
    if PROGRAM.name == "bytes_only":
        (DATA / "peer").write_bytes(bytes.fromhex(address))
        address = str(DATA / "peer")
    process = start("connect", address, *MORE_TO_CONNECT.get(PROGRAM.name, []))
    said = process.stdout.readline()
    how = re.match(r"connected by (\w+) over (\w+) and IPv(\d), (\w+),", said)
    if how is None:
        tell("failed", reason=f"exit status {process.wait()}", report=[])
        return
    winner, transport, family, path = how.groups()
    tell("connected", winner=winner, transport=transport, family=int(family),
         path="relay" if path == "relayed" else path)
    process.stdout.read()
    tell("echo", ok=process.wait() == 0)


connect() if os.environ["NATSIM_ROLE"] == "a" else listen()
