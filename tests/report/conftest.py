"""Where natsim and its report are, and results made up for the tests."""

import json
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "natsim"))


def pytest_addoption(parser):
    parser.addoption("--natsim", default=HERE.parent.parent / "build/bin/natsim", type=pathlib.Path)


class Natsim:
    def __init__(self, program):
        self.program = program.resolve()

    def run(self, *args, **options):
        return subprocess.run([self.program, *map(str, args)], capture_output=True, text=True,
                              timeout=120, **options)


@pytest.fixture(scope="session")
def natsim(request):
    return Natsim(request.config.getoption("--natsim"))


def record(a="open", b="open", trial=1, ms=100.0, **changes):
    """A trial that connected in `ms`, or with ms=None failed."""
    good = ms is not None
    attempt = {"plugin": "udp_punch", "phase": "spray", "transport": "udp", "family": 4,
               "route": "ext", "start_ms": 1.5, "ms": 80.0,
               "status": "WARP_OK" if good else "WARP_TIMEOUT",
               "detail": "won" if good else "probed 203.0.113.7:4000, nothing came back"}
    return {
        "a": a, "b": b, "plugin": "auto", "trial": trial, "seed": 1000,
        "outcome": "connected" if good else "failed", "winner": "udp_punch" if good else None,
        "phase": "spray" if good else None, "transport": "udp" if good else None,
        "family": 4 if good else None, "path": "direct" if good else None, "connect_ms": ms,
        "echo_ok": good, "packets": {"a": 5, "b": 4}, "reason": None if good else "timed out",
        "attempts": {"a": [attempt], "b": []}, **changes,
    }


def about(a=("open",), b=("open",), trials=1, shard="1/1", **options):
    count, parts = len(a) * len(b) * trials, int(shard.split("/")[1])
    return {
        "version": "0.1.0", "commit": "0123456789abcdef0123456789abcdef01234567",
        "kernel": "6.1", "command": "matrix", "started": "2030-01-02T03:04:05Z", "seed": 7,
        "trials": -(-count // parts), "a": list(a), "b": list(b),
        "pairs": [[one, other] for one in a for other in b],
        "options": {"profiles": ",".join(a), "plugin": "auto", "no-relay": False, "rtt": 40.0,
                    "loss": 0.0, "trials": trials, "only": 0, "seed": 7, "shard": shard, "jobs": 2,
                    "set": "", "without": [], "out": "somewhere", **options},
    }


@pytest.fixture
def results(tmp_path):
    """Writes a folder of results; lines that are text go in as they are."""

    def write(name, lines, run=None):
        folder = tmp_path / name
        folder.mkdir()
        with (folder / "trials.jsonl").open("w") as file:
            for line in lines:
                file.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
        if run is not False:
            (folder / "run.json").write_text(json.dumps(run or about()))
        return folder

    return write
