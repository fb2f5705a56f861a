"""The command between two sites of natsim: by name, through real NATs, with real servers."""

import json
import os
import subprocess
import sys

import pytest

from conftest import HERE


@pytest.mark.parametrize(
    "a, b, path, winner",
    [
        ("symmetric", "open", "direct", "direct_connect"),
        ("port-restricted", "port-restricted", "direct", "udp_punch"),
        ("port-restricted", "symmetric", "direct", "random_probe"),
        ("symmetric", "symmetric", "relay", "turn"),
    ],
)
def test_connect_by_name(request, fixtures_folder, a, b, path, winner):
    programs = request.config.getoption("--programs").resolve()
    endpoint = f"{sys.executable} -B {HERE / 'lab_endpoint.py'} {programs / 'warpgate'}"
    env = dict(os.environ)
    if fixtures_folder is not None:
        env["NATSIM_FIXTURES"] = str(fixtures_folder)
    done = subprocess.run(
        [programs / "natsim", "run", "--a", a, "--b", b, "--json", "--endpoint", endpoint],
        capture_output=True, text=True, env=env,
    )
    assert done.returncode == 0, done.stderr
    trial = json.loads(done.stdout)
    assert trial["outcome"] == "connected", trial["reason"]
    assert (trial["path"], trial["winner"], trial["echo_ok"]) == (path, winner, True)
