"""The installed command as a peer of natsim: `a` runs `warpgate connect` with the name that `b`
registered by `warpgate listen`. Takes the command as its argument."""

import json
import os
import subprocess
import sys

WORDS = ("path", "transport", "winner", "family")


def tell(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def start(*command):
    servers = {"broker": "BROKERS", "stun": "STUN", "turn": "TURN", "names": "NAMES", "data": "DATA"}
    options = [f"--{option}={os.environ['NATSIM_' + name]}" for option, name in servers.items()]
    if command[0] == "connect" and os.environ["NATSIM_RELAY"] == "0":
        options.append("--no-relay")
    options += [f"--set={setting}" for setting in os.environ["NATSIM_SET"].split(",") if setting]
    return subprocess.Popen([sys.argv[1], *command, *options, "--json"], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def await_event(process, *kinds):
    for line in process.stderr:
        event = json.loads(line)
        if event["event"] in kinds:
            return event
    raise SystemExit(f"{process.args[1]} ended with status {process.wait()}")


def listen():
    process = start("listen")
    tell("ready", address=await_event(process, "ready")["name"])
    connected = await_event(process, "connected")
    tell("connected", **{word: connected[word] for word in WORDS})
    sys.stdin.read()
    process.terminate()
    process.wait()


def connect():
    tell("ready", address="nobody connects to this one")
    process = start("connect", json.loads(sys.stdin.readline())["peer"])
    event = await_event(process, "connected", "failed")
    if event["event"] == "failed":
        tell("failed", reason=event["reason"], report=event["report"])
        return
    tell("connected", **{word: event[word] for word in WORDS})
    process.stdin.write(b"hello\n")
    process.stdin.flush()
    tell("echo", ok=process.stdout.readline() == b"hello\n")
    process.stdin.close()
    process.wait()


connect() if os.environ["NATSIM_ROLE"] == "a" else listen()
