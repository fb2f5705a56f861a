"""Whole files from one site of natsim to another by the installed command, and how fast.

As a program it makes the transfers of ci/transfers, prints a table and fails where bytes differ."""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

MB = 1000 * 1000
LIMIT_S = 300  # one transfer
# How often two programs are started until they are connected: where packets are lost, a start may
# not reach the broker in its two seconds, and a program that nobody can reach ends.
TRIES = 4


def noise(path, size):
    """A file that nothing compresses; its digest."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while size > 0:
            block = os.urandom(min(size, 16 << 20))
            digest.update(block)
            file.write(block)
            size -= len(block)
    return digest.hexdigest()


def digest_of(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Missed(RuntimeError):
    """The two were not connected."""


def await_event(process, *kinds):
    event = None
    for line in process.stderr:
        event = json.loads(line)
        if event["event"] in kinds:
            return event
    raise Missed(f"ended with status {process.wait()} without an event of {kinds}: {event}")


@dataclasses.dataclass
class Transfer:
    winner: str
    path: str
    seconds: float  # from the connection to the end of both programs


class Lab:
    """Two sites behind NATs, in one of which a program of ours listens."""

    def __init__(self, programs, folder, fixtures=None):
        self.programs = programs
        self.folder = folder
        self.name = f"transfers-{os.getpid()}"
        self.env = {**os.environ, "HOME": str(folder)}
        if fixtures is not None:
            self.env["NATSIM_FIXTURES"] = str(fixtures)

    @contextlib.contextmanager
    def standing(self, *options, a="port-restricted", b="port-restricted"):
        lab = subprocess.Popen(
            [self.programs / "natsim", "lab", "--name", self.name, "--a", a, "--b", b, *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.env)
        try:
            while "Ctrl-C here" not in (line := lab.stdout.readline()):
                if not line:
                    raise RuntimeError(lab.stderr.read())
            yield self
        finally:
            lab.terminate()
            lab.wait()
            lab.stdout.close()
            lab.stderr.close()

    def start(self, host, *args, **options):
        """`warpgate` there; its events come on standard error."""
        data = self.folder / host
        return subprocess.Popen(
            [self.programs / "natsim", "lab", "exec", "--name", self.name, host, "--",
             self.programs / "warpgate", *args, "--json", "--data", data],
            stderr=subprocess.PIPE, env=self.env, **options)

    def transfer(self, *args, **options):
        """As `once`, with programs that are started anew where they do not meet."""
        for _ in range(TRIES - 1):
            try:
                return self.once(*args, **options)
            except Missed as missed:
                print(f"not connected, again: {missed}", file=sys.stderr)
        return self.once(*args, **options)

    def once(self, plugin, source, sink, listen=("--pipe",), returned=os.devnull,
             gives=os.devnull):
        """The file `source` of a goes to b, whose output is written to `sink`; what b has to give
        in return goes to `returned`."""
        with contextlib.ExitStack() as stack:
            data, given = (stack.enter_context(open(file, "rb")) for file in (source, gives))
            out, back = (stack.enter_context(open(file, "wb")) for file in (sink, returned))
            listener = self.start("b", "listen", *listen, stdin=given, stdout=out)
            stack.callback(end, listener)
            ready = await_event(listener, "ready")
            caller = self.start("a", "connect", "--plugin", plugin, ready["address"], stdin=data,
                                stdout=back)
            stack.callback(end, caller)
            event = await_event(caller, "connected", "failed")
            if event["event"] == "failed":
                raise Missed(event)
            began = time.monotonic()
            ends = [caller, listener] if "--pipe" in listen else [caller]
            for process in ends:
                _, said = process.communicate(timeout=LIMIT_S)
                if process.returncode != 0:
                    raise RuntimeError(f"ended with status {process.returncode}: {said.decode()}")
            return Transfer(event["winner"], event["path"], time.monotonic() - began)


def end(process):
    """However it went; a listener that echoes goes on until it is told."""
    if process.poll() is None:
        process.terminate()
        process.wait()
    if process.stderr is not None:
        process.stderr.close()


# ---- the table -----------------------------------------------------------------------------------

PLAIN = (("tcp_punch", 1000), ("udp_punch", 100), ("turn", 100))
LOSSY = (("tcp_punch", 20), ("udp_punch", 20), ("turn", 20))
LOSS = ("--loss", "5", "--rtt", "40")


def rows(lab, folder, only):
    for options, transfers in (((), PLAIN), (LOSS, LOSSY)):
        chosen = [t for t in transfers if only in (None, t[0])]
        with lab.standing(*options):
            for plugin, size in chosen:
                source, sink = folder / "source", folder / "sink"
                digest = noise(source, size * MB)
                done = lab.transfer(plugin, source, sink)
                yield plugin, size, " ".join(options), done, digest_of(sink) == digest


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    parser.add_argument("--only", choices=[plugin for plugin, _ in PLAIN])
    args = parser.parse_args()
    well = True
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        lab = Lab(args.programs.resolve(), folder)
        print("| plugin | size | line | seconds | rate | sha256 |\n|---|---|---|---|---|---|")
        for plugin, size, line, done, same in rows(lab, folder, args.only):
            print(f"| {plugin} | {size} MB | {line or 'good'} | {done.seconds:.1f} |"
                  f" {size / done.seconds:.1f} MB/s | {'equal' if same else 'DIFFER'} |", flush=True)
            well = well and same and done.winner == plugin
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
