"""A host with two uplinks: each of its addresses is seen outside through its own router, also where
the routes would send everything out by the default one."""

import base64
import os
import socket
import subprocess
import sys

from test_lab import LIMIT_S, laboratory

HERE = os.path.dirname(os.path.abspath(__file__))


def record(natsim, lab, tmp_path):
    """The bytes of the address that the command tells in host a."""
    warpgate = natsim.program.parent / "warpgate"
    done = subprocess.run([natsim.program, "lab", "exec", "--name", lab.name, "a", "--", warpgate,
                           "address", "--broker", "none", "--data", tmp_path], capture_output=True,
                          text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    text = done.stdout.strip()
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_each_address_leaves_by_its_own_router(natsim, tmp_path):
    with laboratory(natsim, "--place", "two-uplinks", "--without", "names,broker,turn,ntp", "--rtt",
                    "10") as lab:
        for rules in (True, False):
            if not rules:
                subprocess.run([natsim.program, "lab", "exec", "--name", lab.name, "a", "--",
                                sys.executable, f"{HERE}/no_source_routes.py", "192.168.3.2",
                                "192.168.3.1", "eth1"], check=True, timeout=LIMIT_S)
            told = record(natsim, lab, tmp_path)
            for ip in ("192.168.1.2", "203.0.113.101", "192.168.3.2", "203.0.113.103"):
                assert told.count(socket.inet_aton(ip)) == 1, (rules, ip)
