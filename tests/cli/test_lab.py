"""The command between two sites of natsim: by name, through real NATs, with real servers."""

import json
import os
import subprocess
import sys

import pytest

from conftest import HERE


# The installed command takes no seed, so its guesses are chance: of 256 open ports among 64,512,
# 1200 guesses, which fit before the relay is taken, miss all once in 117 tries, and 8192 once in
# 10^14.
GUESS_ENOUGH = ["--no-relay", "--set=random_probe.probes=8192", "--set=random_probe.rate=500"]


@pytest.mark.parametrize(
    "a, b, options, path, winner",
    [
        ("symmetric", "open", [], "direct", "direct_connect"),
        ("port-restricted", "port-restricted", [], "direct", "udp_punch|tcp_punch"),
        ("port-restricted", "symmetric", GUESS_ENOUGH, "direct", "random_probe"),
        ("symmetric", "symmetric", [], "relay", "turn"),
    ],
)
def test_connect_by_name(request, fixtures_folder, a, b, options, path, winner):
    programs = request.config.getoption("--programs").resolve()
    endpoint = f"{sys.executable} -B {HERE / 'lab_endpoint.py'} {programs / 'warpgate'}"
    env = dict(os.environ)
    if fixtures_folder is not None:
        env["NATSIM_FIXTURES"] = str(fixtures_folder)
    done = subprocess.run(
        [programs / "natsim", "run", "--a", a, "--b", b, *options, "--json",
         "--endpoint", endpoint],
        capture_output=True, text=True, env=env,
    )
    assert done.returncode == 0, done.stderr
    trial = json.loads(done.stdout)
    assert trial["outcome"] == "connected", trial["reason"]
    assert (trial["path"], trial["echo_ok"]) == (path, True)
    assert trial["winner"] in winner.split("|")
