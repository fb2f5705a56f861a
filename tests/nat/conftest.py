"""Where natsim is, and how a test runs it."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent


def pytest_addoption(parser):
    parser.addoption("--natsim", default=HERE.parent.parent / "build/bin/natsim", type=pathlib.Path)


# For pairs of a known port and a guessed one. A seed does not decide which guess meets one of the 256
# open ports among 64,512, because it does not decide when packets go. The 1200 guesses of 12 s, after
# which a relay is taken, miss them all once in 117 tries; the 24,000 of this rate once in 10^41, and
# the 4000 that a machine six times too slow makes once in 10^7.
GUESS_ENOUGH = ["--set", "random_probe.rate=2000", "--set", "random_probe.probes=65535"]


class Natsim:
    """Runs the command; `fake` is a peer that needs nothing of ours but a STUN server."""

    fake = f"{sys.executable} {HERE / 'fake_endpoint.py'}"
    fake_options = ["--endpoint", fake, "--without", "names,ntp"]

    def __init__(self, program):
        self.program = program.resolve()

    def start(self, *args, **options):
        return subprocess.Popen(
            [self.program, *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, *args, timeout=300, **options):
        process = self.start(*args, **options)
        try:
            process.out, process.err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return process

    def trials(self, *args, **options):
        """The records of a run with --json, which must end well."""
        done = self.run(*args, "--json", **options)
        assert done.returncode in (0, 1), done.err
        return [json.loads(line) for line in done.out.splitlines()]


@pytest.fixture(scope="session")
def natsim(request):
    return Natsim(request.config.getoption("--natsim"))


@pytest.fixture(scope="session")
def warpgate(natsim):
    """The command that is built beside it."""
    return natsim.program.parent / "warpgate"


@pytest.fixture(scope="session", autouse=True)
def no_leftovers():
    """The laboratory's files live in its own /run."""
    yield
    assert not os.path.exists("/run/natsim")
