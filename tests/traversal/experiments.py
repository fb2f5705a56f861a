"""Measures what traversal reaches, over and over: each experiment is some natsim runs, a table, and
a check that can fail.

    python3 tests/traversal/experiments.py --natsim build/bin/natsim --out out/traversal [NAME...]
"""

from __future__ import annotations

import argparse
import math
import os
import re
import shlex
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import theory

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "natsim"))

from report.results import Problems, Trial, Unusable, attempts_of, read_record, read_run  # noqa: E402
from scipy.stats import binomtest  # noqa: E402

RTT_MS = 40  # natsim's default: between the sites, and between a site and the servers
SEED = 1


@dataclass
class Bench:
    """Where things are, and what has been found."""

    natsim: Path
    out: Path
    jobs: int
    lines: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def say(self, *lines: str) -> None:
        self.lines += lines

    def check(self, good: bool, what: str) -> None:
        self.say(f"- {'yes' if good else '**NO**'}: {what}")
        if not good:
            self.failures.append(what)

    def run(self, name: str, *arguments: str) -> list[Trial]:
        """One natsim run into a folder of its own. The command is told as a person would say it."""
        folder = self.out / name
        shown = ["natsim", *arguments]
        self.say("```sh", shlex.join(shown), "```", "")
        command = [str(self.natsim), *arguments, "--jobs", str(self.jobs), "--out", str(folder)]
        print(f"{name}: {shlex.join(shown)}", file=sys.stderr, flush=True)
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            self.check(False, f"`{shlex.join(shown)}` ended with {done.returncode}: {last}")
        problems = Problems()
        try:
            trials = read_run(folder, problems).trials
        except Unusable as error:
            self.check(False, str(error))
            return []
        for line in problems.all():
            self.check(False, line)
        return trials


Cells = dict[tuple[str, str], list[Trial]]


def by_cell(trials: list[Trial]) -> Cells:
    cells: Cells = defaultdict(list)
    for trial in trials:
        cells[trial.a, trial.b].append(trial)
    return cells


def connected(trials: list[Trial]) -> int:
    return sum(trial.outcome == "connected" for trial in trials)


def direct(trials: list[Trial]) -> int:
    return sum(trial.outcome == "connected" and trial.path == "direct" for trial in trials)


def times_of(trials: list[Trial]) -> list[float]:
    return [trial.connect_ms for trial in trials if trial.connect_ms is not None]


# ---- tables --------------------------------------------------------------------------------------


def table(bench: Bench, head: list[str], rows: list[list[str]]) -> None:
    bench.say("| " + " | ".join(head) + " |", "|" + "---|" * len(head))
    bench.say(*("| " + " | ".join(row) + " |" for row in rows), "")


def grid(bench: Bench, cells: Cells, allocation: str) -> None:
    """Theory's letter, connected of tried, and the median of the winners, for each cell."""
    rows = []
    for a in theory.KINDS:
        row = [f"**{a}**"]
        for b in theory.KINDS:
            trials = cells.get((a, b), [])
            found = times_of(trials)
            speed = f", {median(found):.0f} ms" if found else ""
            row.append(f"{theory.expected(a, b, allocation)} {connected(trials)}/{len(trials)}{speed}")
        rows.append(row)
    used = {theory.expected(a, b, allocation) for a, b in theory.CELLS}
    bench.say("Rows: the side that calls. Each cell: what theory says, how many trials connected, the "
              "median time. " + "; ".join(f"`{letter}` {theory.LEGEND[letter]}" for letter in
                                          theory.LEGEND if letter in used) + ".", "")
    table(bench, ["a \\ b", *theory.KINDS], rows)
    winners = Counter(trial.winner for trials in cells.values() for trial in trials
                      if trial.outcome == "connected")
    bench.say("Winners: " + ", ".join(f"{name} {count}" for name, count in winners.most_common())
              + ".", "")
    reasons(bench, cells)


def why(trial: Trial) -> str:
    """What the attempts that ran came to, or else what ruled the outer ways out."""
    rows = [row for row in attempts_of(read_record(trial), "a")
            if isinstance(row, dict) and row.get("route") != "nic"]
    ran = [row for row in rows if row.get("start_ms", -1) >= 0]
    told = [alike_ports(f"{row.get('plugin')}: {row.get('detail')}") for row in ran or rows]
    return "; ".join(dict.fromkeys(told)) or trial.reason


def alike_ports(line: str) -> str:
    """Addresses and what a NAT is differ between cells that fail alike."""
    return re.sub(r" \(.*here,.*peer\)", "", re.sub(r"\d+\.\d+\.\d+\.\d+(:\d+)?", "ADDRESS", line))


def reasons(bench: Bench, cells: Cells) -> None:
    """Why the cells that failed did, alike ones together."""
    told: dict[str, set[str]] = defaultdict(set)
    for (a, b), trials in cells.items():
        for trial in trials:
            if trial.outcome != "connected":
                told[why(trial)].add(f"{a} x {b}")
    for reason, pairs in sorted(told.items(), key=lambda item: -len(item[1])):
        bench.say(f"- {', '.join(sorted(pairs))}: {reason}")
    if told:
        bench.say("")


def reached(cells: Cells, share: float) -> set[tuple[str, str]]:
    """Cells of which at least that share of the trials connected."""
    return {cell for cell, trials in cells.items()
            if trials and connected(trials) >= share * len(trials) - 1e-9}


# ---- 1: the grid over UDP ------------------------------------------------------------------------

UDP = ("matrix", "--grid", "rfc4787", "--no-relay", "--plugin", "udp_punch,random_probe",
       "--trials", "5", "--seed", str(SEED))


def udp_random(bench: Bench) -> None:
    """UDP, random ports"""
    seen = []
    for turn in range(3):
        cells = by_cell(bench.run(f"udp-random-{turn + 1}", *UDP, "--alloc", "random")) \
            if turn == 0 else by_cell(quietly(bench, f"udp-random-{turn + 1}", *UDP,
                                              "--alloc", "random"))
        if turn == 0:
            grid(bench, cells, "random")
            good = reached(cells, 0.8)
            bench.check(len(good) >= 77, f"{len(good)} cells connect in at least 4 of 5 trials (77)")
            whole = reached(cells, 1)
            missing = [cell for cell in theory.PUBLISHED if cell not in whole]
            bench.check(not missing, f"{len(theory.PUBLISHED) - len(missing)} of the published 57 in "
                                     "all 5 trials")
        seen.append(reached(cells, 0.8))
    bench.check(seen[0] == seen[1] == seen[2], "three runs of the same seed reach the same cells")


def quietly(bench: Bench, name: str, *arguments: str) -> list[Trial]:
    """A run whose command has been told already."""
    kept, bench.lines = bench.lines, []
    trials = bench.run(name, *arguments)
    told, bench.lines = bench.lines, kept
    bench.lines += [line for line in told if line.startswith("- ")]
    return trials


def whole_grid(bench: Bench, name: str, allocation: str, *arguments: str) -> None:
    cells = by_cell(bench.run(name, *arguments))
    grid(bench, cells, allocation)
    good, whole = reached(cells, 0.8), reached(cells, 1)
    bench.check(len(good) == 81, f"{len(good)} cells in at least 4 of 5 trials (81); {len(whole)} in "
                                 "all of them")


def udp_sequential(bench: Bench) -> None:
    """UDP, sequential ports"""
    whole_grid(bench, "udp-sequential", "sequential", *UDP, "--alloc", "sequential")


def udp_neighbours(bench: Bench) -> None:
    """UDP, sequential ports, other hosts behind both NATs open 4 flows meanwhile"""
    whole_grid(bench, "udp-neighbours", "sequential", *UDP, "--alloc", "sequential",
               "--neighbours", "4")


def udp_preserving(bench: Bench) -> None:
    """UDP, port-preserving NATs"""
    whole_grid(bench, "udp-preserving", "preserving", *UDP, "--alloc", "preserving")


def udp_strict(bench: Bench) -> None:
    """UDP, random ports, NATs that do not reuse sessions"""
    cells = by_cell(bench.run("udp-strict", *UDP, "--alloc", "random", "--nat", "reuse=off",
                              "--transport", "udp"))
    grid(bench, cells, "strict")
    good = reached(cells, 0.8)
    bench.check(len(good) >= 73, f"{len(good)} cells connect in at least 4 of 5 trials (73)")


def with_relay(bench: Bench) -> None:
    """Everything on: all 81, always"""
    cells = by_cell(bench.run("with-relay", "matrix", "--grid", "rfc4787", "--trials", "3",
                              "--seed", str(SEED)))
    grid(bench, cells, "random")
    bench.check(len(reached(cells, 1)) == 81, f"{len(reached(cells, 1))} cells in every trial (81)")
    relayed = [cell for cell, trials in cells.items() if direct(trials) < len(trials)]
    bench.say(f"On the relay at least once: {len(relayed)} cells.", "")


# ---- 2: the grid over TCP ------------------------------------------------------------------------


def tcp(bench: Bench, unsolicited: str) -> None:
    common = ("matrix", "--grid", "rfc4787", "--transport", "tcp", "--no-relay", "--nat",
              f"unsolicited={unsolicited}", "--seed", str(SEED))
    plain = "direct_connect,reverse_connect,tcp_punch"
    cells = by_cell(bench.run(f"tcp-{unsolicited}-plain", *common, "--plugin", plain,
                              "--trials", "3"))
    grid(bench, cells, "random")
    bench.check(len(reached(cells, 1)) >= 57,
                f"{len(reached(cells, 1))} cells in every trial without guessing (57)")
    cells = by_cell(bench.run(f"tcp-{unsolicited}-random", *common, "--plugin",
                              plain + ",random_probe", "--trials", "5"))
    grid(bench, cells, "random")
    good = reached(cells, 0.8)
    bench.check(len(good) >= 77, f"{len(good)} cells connect in at least 4 of 5 trials (77)")
    whole_grid(bench, f"tcp-{unsolicited}-sequential", "sequential", *common, "--alloc",
               "sequential", "--trials", "5")


def tcp_drop(bench: Bench) -> None:
    """TCP, NATs that drop what they did not ask for"""
    tcp(bench, "drop")


def tcp_reset(bench: Bench) -> None:
    """TCP, NATs that answer it with a reset"""
    tcp(bench, "reset")


# ---- 3: random probing against theory ------------------------------------------------------------


def birthday(bench: Bench) -> None:
    """random_probe against the birthday formula"""
    sockets, ports, trials = 256, 64512, 100
    rows = []
    for probes in (64, 128, 256, 512, 1024):
        arguments = ("run", "--a", "port-restricted", "--b", "symmetric", "--plugin", "random_probe",
                     "--transport", "udp", "--no-relay", "--trials", str(trials), "--seed",
                     str(SEED), "--set", f"random_probe.sockets={sockets}", "--set",
                     f"random_probe.probes={probes}")
        found = bench.run(f"birthday-{probes}", *arguments) if probes == 64 else \
            quietly(bench, f"birthday-{probes}", *arguments)
        chance = 1 - (1 - sockets / ports) ** probes
        hits = connected(found)
        interval = binomtest(hits, len(found)).proportion_ci(0.99, method="exact")
        inside = len(found) == trials and interval.low <= chance <= interval.high
        rows.append([str(probes), f"{hits}/{len(found)}", f"{hits / max(len(found), 1):.3f}",
                     f"{interval.low:.3f} - {interval.high:.3f}", f"{chance:.3f}"])
        bench.check(inside, f"{probes} probes: theory {chance:.3f} lies in the 99 % interval")
    bench.say("", "and the same with probes=128 ... 1024:", "")
    table(bench, ["probes", "connected", "rate", "99 % interval (exact)", "1-(1-256/64512)^N"], rows)


# ---- 4: a bad line -------------------------------------------------------------------------------


def lossy(bench: Bench) -> None:
    """5 % loss and 20 ms jitter"""
    clean = by_cell(bench.run("lossless", "matrix", "--trials", "2", "--seed", str(SEED)))
    cells = by_cell(bench.run("lossy", "matrix", "--trials", "20", "--loss", "5", "--jitter", "20",
                              "--seed", str(SEED)))
    names = list(dict.fromkeys(a for a, _ in cells))
    table(bench, ["a \\ b", *names],
          [[f"**{a}**", *(f"{connected(cells[a, b])}/{len(cells[a, b])}, {direct(cells[a, b])} direct, "
                          f"{median(times_of(cells[a, b]) or [math.nan]):.0f} ms" for b in names)]
           for a in names])
    reasons(bench, cells)
    bench.check(all(connected(trials) == len(trials) for trials in cells.values()),
                "every trial connects")
    worse = [f"{a} x {b}" for (a, b), trials in cells.items()
             if direct(clean[a, b]) == len(clean[a, b]) and direct(trials) < 0.95 * len(trials)]
    bench.check(not worse, "every cell that is direct without loss is direct in at least 95 % of "
                           "trials" + (f" (not: {', '.join(worse)})" if worse else ""))


# ---- 5: round trips and packets ------------------------------------------------------------------


def packets_of(trials: list[Trial]) -> str:
    counts: dict[str, list[int]] = defaultdict(list)
    for trial in trials:
        packets = read_record(trial).get("packets")
        for side in "ab":
            if isinstance(packets, dict) and isinstance(packets.get(side), int):
                counts[side].append(packets[side])
    return " + ".join(f"{median(counts[side]):.0f}" if counts[side] else "-" for side in "ab")


def round_trips(bench: Bench) -> None:
    """Round trips and packets of each technique"""
    cases = [
        ("direct_connect", "open", "open", 3), ("direct_connect", "port-restricted", "full-cone", 3),
        ("reverse_connect", "open", "symmetric", 4),
        ("udp_punch", "port-restricted", "port-restricted", 4),
        ("udp_punch", "restricted", "symmetric", 4), ("udp_punch", "symmetric", "restricted", 4),
        ("tcp_punch", "port-restricted", "port-restricted", 6),
        ("tcp_punch", "restricted", "symmetric", 6), ("tcp_punch", "symmetric", "restricted", 6),
        ("turn", "symmetric", "symmetric", 8), ("auto", "symmetric", "symmetric", 8),
        ("auto", "port-restricted", "port-restricted", 4),
    ]
    rows = []
    for plugin, a, b, most in cases:
        arguments = ("run", "--a", a, "--b", b, "--plugin", plugin, "--trials", "9", "--seed",
                     str(SEED))
        found = bench.run(f"trips-{plugin}-{a}-{b}", *arguments) if not rows else \
            quietly(bench, f"trips-{plugin}-{a}-{b}", *arguments)
        middle = median(times_of(found) or [math.inf])
        rows.append([plugin, f"{a} x {b}", f"{connected(found)}/{len(found)}", f"{middle:.0f}",
                     f"{middle / RTT_MS:.1f}", str(most), packets_of(found)])
        bench.check(connected(found) == len(found) and middle <= most * RTT_MS,
                    f"{plugin}, {a} x {b}: {middle / RTT_MS:.1f} round trips (at most {most})")
    bench.say("", "and likewise for the other rows:", "")
    table(bench, ["technique", "pair", "connected", "median ms", "round trips", "at most",
                  "packets (a + b)"], rows)
    found = bench.run("trips-random", "run", "--a", "port-restricted", "--b", "symmetric", "--plugin",
                      "random_probe", "--transport", "udp", "--no-relay", "--trials", "100",
                      "--seed", str(SEED))
    middle = median(times_of(found) or [math.inf])
    bench.check(middle <= 2500 and connected(found) == len(found),
                f"port-restricted x symmetric by random probing: median {middle:.0f} ms (at most "
                f"2500), {connected(found)} of {len(found)}, packets {packets_of(found)}")


# ---- 7: both at once -----------------------------------------------------------------------------


def crossing(bench: Bench) -> None:
    """Both sides connect to each other at the same moment"""
    found = bench.run("crossing", "run", "--a", "port-restricted", "--b", "port-restricted",
                      "--cross", "--trials", "100", "--seed", str(SEED))
    bench.check(connected(found) == 100, f"{connected(found)} of 100: one pipe on each side, the same "
                                         "one (each read what the other wrote on its only pipe)")


EXPERIMENTS: dict[str, Callable[[Bench], None]] = {
    "udp-random": udp_random, "udp-sequential": udp_sequential, "udp-neighbours": udp_neighbours,
    "udp-preserving": udp_preserving, "udp-strict": udp_strict, "with-relay": with_relay,
    "tcp-drop": tcp_drop, "tcp-reset": tcp_reset, "birthday": birthday, "lossy": lossy,
    "round-trips": round_trips, "crossing": crossing,
}


INTRO = """# What traversal reaches, measured

Tables that `ci/traversal` made: two nodes in kernel NATs, {rtt} ms round trip between the sites and between a site and
the servers, on {cores} cores with {jobs} laboratories side by side, so that times hold some waiting for a processor.
`docs/traversal.md` says why a pair connects the way it does, `docs/nat-pairs.md` what each round trip is for. A line
that begins with "yes" is a check that the command makes; it fails where one of them does.
"""


def write_page(options: argparse.Namespace) -> None:
    """All tables that there are, as one page."""
    parts = [INTRO.format(rtt=RTT_MS, cores=os.cpu_count(), jobs=options.jobs)]
    parts += [(options.out / f"{name}.md").read_text(encoding="utf-8") for name in EXPERIMENTS
              if (options.out / f"{name}.md").is_file()]
    (options.out / "measured.md").write_text("\n".join(parts), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--natsim", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=8, help="labs side by side (8): trials mostly wait")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in EXPERIMENTS]
    if unknown:
        parser.error(f"there is no experiment {unknown[0]}: there are {', '.join(EXPERIMENTS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    failures = []
    for name in options.names or EXPERIMENTS:
        bench = Bench(options.natsim, options.out, options.jobs)
        bench.say(f"## {EXPERIMENTS[name].__doc__}", "")
        EXPERIMENTS[name](bench)
        (options.out / f"{name}.md").write_text("\n".join(bench.lines) + "\n", encoding="utf-8")
        failures += [f"{name}: {failure}" for failure in bench.failures]
        for failure in bench.failures:
            print(f"{name}: NOT REACHED: {failure}", file=sys.stderr)
    write_page(options)
    print(f"tables in {options.out}/measured.md; " + (f"{len(failures)} not reached" if failures else
                                               "everything reached"))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
