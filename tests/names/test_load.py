"""The name server under load: rates, and kills at any moment that lose nothing acknowledged."""

import random
import signal
import subprocess

import bench
from conftest import WAIT_S


def test_rates(request):
    option = request.config.getoption
    rounds, stats = bench.measure(option("--server").resolve(), option("--load").resolve(), 500, 2000)
    assert [each["count"] for each in rounds[:2]] == [500, 2000]
    # The two that ran together, in either order.
    both = {each["what"]: each for each in rounds[2:]}
    assert both["registrations"]["count"] == 500 and both["lookups meanwhile"]["count"] > 0
    assert all(each["wrong"] == 0 and each["per_s"] > 0 for each in rounds)
    assert stats["names"] == 1000
    assert 0 < stats["commits"]


def hammer(program, address, prefix, kill_after, server):
    """Loads the server, kills it when so many changes were acknowledged, and returns those lines."""
    load = subprocess.Popen(
        [program, "hammer", *map(str, address), prefix], stdout=subprocess.PIPE, text=True
    )
    lines = []
    for line in load.stdout:
        lines.append(line)
        if len(lines) == kill_after:
            server.process.send_signal(signal.SIGKILL)
    assert load.wait(timeout=WAIT_S) == 0
    assert len(lines) >= kill_after
    return "".join(lines)


def test_kills(request, start, tmp_path):
    program = request.config.getoption("--load").resolve()
    args = ["--listen", "127.0.0.1:0", "--store", tmp_path / "names.db"]
    args += ["--rate", 100000, "--quota-v4", 1000000]
    kills = request.config.getoption("--kills")
    seeded = random.Random(kills)
    told = {}
    for kill in range(kills):
        server = start(*args)
        address = server.wait_ready()[0]
        told[f"k{kill}"] = hammer(program, address, f"k{kill}", seeded.randrange(1, 2000), server)
        server.kill()
    server = start(*args)
    host, port = server.wait_ready()[0]
    for prefix, lines in told.items():
        done = subprocess.run(
            [program, "verify", host, str(port), prefix], input=lines, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stdout.startswith("0 names")
    print(f"{kills} kills, {sum(lines.count(chr(10)) for lines in told.values())} changes kept")
    assert server.end()[0] == 0
