#!/usr/bin/python3
"""How many registrations and look-ups a second the name server takes, with a store on the disk, and how
long look-ups take while others register."""

import argparse
import json
import pathlib
import signal
import subprocess
import tempfile

from conftest import Server


def measure(server_program, load_program, registrations, lookups):
    """What the load says of its rounds, and the server's own statistics."""
    with tempfile.TemporaryDirectory(prefix="warpgate-names-") as folder:
        server = Server(
            server_program, "--listen", "127.0.0.1:0", "--store", f"{folder}/names.db",
            "--rate", 100000, "--quota-v4", 1000000,
        )  # fmt: skip
        try:
            host, port = server.wait_ready()[0]
            done = subprocess.run(
                [load_program, "bench", host, str(port), str(registrations), str(lookups)],
                capture_output=True, text=True,
            )  # fmt: skip
            rounds = [json.loads(line) for line in done.stdout.splitlines()]
            assert done.returncode == 0, f"{done.stderr}{rounds}"
            server.process.send_signal(signal.SIGUSR1)
            stats = json.loads(server.process.stdout.readline())
            assert server.end()[0] == 0
        finally:
            server.kill()
    return rounds, stats


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="folder of warpgate-names")
    parser.add_argument("--load", type=pathlib.Path, required=True, help="the program names_load")
    parser.add_argument("--registrations", type=int, default=10000)
    parser.add_argument("--lookups", type=int, default=100000)
    args = parser.parse_args()
    server = args.programs.resolve() / "warpgate-names"
    rounds, stats = measure(server, args.load.resolve(), args.registrations, args.lookups)
    for each in rounds:
        print(
            f"{each['count']:7} {each['what']:17} in {each['seconds']:6.2f} s: {each['per_s']:6} a second, "
            f"median {each['median_ms']:.2f} ms, 99 % within {each['p99_ms']:.2f} ms"
        )
    commits = stats["commits"]
    print(f"the registrations shared {commits} synchronisations of the disk")


if __name__ == "__main__":
    main()
