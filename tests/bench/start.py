#!/usr/bin/python3
"""How long a node takes until it is reachable, phase by phase: in the test configuration on loopback,
and with all servers behind a NAT of the laboratory, where every round trip takes 40 ms."""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

RTT_MS = 40
TEST_MS = 50  # what the test configuration may take
TOGETHER = ("initialize_system_clock", "load_p2p_stun_clients", "setup_router_and_signal")


def output_of(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return [json.loads(line) for line in done.stdout.splitlines()]


def sum_up(starts):
    """Medians by phase, in the order in which they are reported, and of the whole."""
    phases = {}
    for start in starts:
        for phase in start["phases"]:
            phases.setdefault(phase["phase"], []).append(phase["ms"])
    whole = [start["ms"] for start in starts]
    return {
        "starts": len(starts),
        "phases": {name: round(statistics.median(times), 3) for name, times in phases.items()},
        "ms": round(statistics.median(whole), 3), "least_ms": min(whole), "most_ms": max(whole),
    }  # fmt: skip


def print_table(title, summary, rtt_ms):
    trips = (lambda ms: f" {ms / rtt_ms:.1f} |") if rtt_ms else lambda ms: ""
    print(f"{title}: median of {summary['starts']} starts\n")
    print("| phase | ms |" + (" round trips |" if rtt_ms else ""))
    print("|---|---|" + ("---|" if rtt_ms else ""))
    for name, ms in summary["phases"].items():
        together = " (together)" if name in TOGETHER else ""
        print(f"| {name}{together} | {ms:.1f} |{trips(ms)}")
    print(f"| **all** | **{summary['ms']:.1f}** ({summary['least_ms']:.1f} .. {summary['most_ms']:.1f}) "
          f"|{trips(summary['ms'])}\n")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=pathlib.Path, required=True, help="the program start_bench")
    parser.add_argument("--natsim", type=pathlib.Path, help="without it only the test configuration")
    parser.add_argument("--starts", type=int, default=20, help="of each kind (20)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-judge", action="store_true", help="however long it takes")
    args = parser.parse_args()
    found = {"test configuration": sum_up(output_of(args.program, args.starts))}
    if args.natsim:
        trials = output_of(
            args.natsim, "run", "--a", "port-restricted", "--b", "port-restricted", "--rtt", RTT_MS,
            "--jobs", 1, "--trials", (args.starts + 1) // 2, "--json",
        )  # fmt: skip
        starts = [trial["start"][side] for trial in trials for side in "ab"]
        found["port-restricted, all servers"] = sum_up(starts)
    if args.json:
        print(json.dumps(found))
    else:
        for title, summary in found.items():
            print_table(title, summary, RTT_MS if "servers" in title else 0)
    good = found["test configuration"]["ms"] < TEST_MS
    print(f"{'yes' if good else 'NO'}: the test configuration is up in less than {TEST_MS} ms",
          file=sys.stderr if args.json else sys.stdout)  # fmt: skip
    sys.exit(0 if good or args.no_judge else 1)


if __name__ == "__main__":
    main()
