"""Joins the shards of a run."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report.results import TRIALS_MAX, Problems, Run, Trial, Unusable, read_all, read_line

# Options that are another on each machine and change no trial.
OF_THE_PLACE = {"shard", "jobs", "out", "expect", "json", "pcap"}

Key = tuple[str, str, int]


@dataclass(frozen=True)
class Shard:
    index: int  # from 1
    count: int


def _shard(run: Run) -> Shard:
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", str(run.options.get("shard", "1/1")))
    shard = Shard(int(match[1]), int(match[2])) if match else Shard(0, 0)
    if not 1 <= shard.index <= shard.count:
        raise Unusable(f"{run.folder}/run.json: 'shard' is {run.options['shard']!r:.40}")
    return shard


def _differences(first: Run, other: Run) -> list[str]:
    """What keeps two folders from being parts of one run."""
    def facts(run: Run) -> dict[str, Any]:
        plain = {key: run.about.get(key)
                 for key in ("version", "commit", "command", "seed", "pairs")}
        options = {f"--{key}": value for key, value in run.options.items()
                   if key not in OF_THE_PLACE}
        return {**plain, "shards": _shard(run).count, **options}

    one, two = facts(first), facts(other)
    return [f"{other.folder}: {key} is {json.dumps(two.get(key))[:80]}, but "
            f"{json.dumps(one.get(key))[:80]} in {first.folder}"
            for key in {**one, **two} if one.get(key) != two.get(key)]


def _plan(run: Run) -> dict[Key, int]:
    """All trials of the run with their place in its order: all pairs once, then all again."""
    pairs, only, trials = run.pairs(), run.options.get("only"), run.options.get("trials")
    if not pairs or not isinstance(trials, int) or len(pairs) * trials > TRIALS_MAX:
        raise Unusable(f"{run.folder}/run.json does not say which trials belong to the run: "
                       "'pairs' and 'options.trials' are needed")
    numbers = [only] if isinstance(only, int) and only else range(1, trials + 1)
    keys = ((a, b, number) for number in numbers for a, b in pairs)
    plan: dict[Key, int] = {}
    for place, key in enumerate(keys):
        plan.setdefault(key, place)
    return plan


def _name(key: Key) -> str:
    return f"trial {key[2]} of {key[0]} x {key[1]}"


def _collect(runs: list[Run], plan: dict[Key, int], problems: Problems) -> dict[Key, Trial]:
    """The trials of all shards; adds a problem for each that is there twice or not of the run."""
    found: dict[Key, Trial] = {}
    for run in runs:
        for trial in run.trials:
            key = (trial.a, trial.b, trial.number)
            if key in found:
                problems.add(f"{_name(key)} is in {found[key].file} and in {trial.file}")
            elif key not in plan:
                problems.add(f"{_name(key)} in {trial.file} is no trial of this run")
            else:
                found[key] = trial
    return found


def _tell_missing(missing: list[Key], runs: list[Run], plan: dict[Key, int],
                  problems: Problems) -> None:
    count = _shard(runs[0]).count
    given = {_shard(run).index: run for run in runs}
    for index in range(1, count + 1):
        if index not in given:
            problems.add(f"shard {index}/{count} is missing")
    for key in missing:
        index = plan[key] % count + 1
        if index in given:
            problems.add(f"{_name(key)} is missing, of shard {index}/{count} in "
                         f"{given[index].folder}")


def _about(runs: list[Run], planned: int) -> dict[str, Any]:
    """run.json of the whole."""
    def each(key: str) -> list[str]:
        return sorted({run.text(key) for run in runs if run.text(key)})

    first = runs[0].about
    options = {**runs[0].options, "shard": "1/1", "out": None}
    about = {**first, "trials": planned, "options": options,
             "kernel": ", ".join(each("kernel")),
             "merged": [str(run.folder) for run in runs]}
    if each("started"):
        about["started"] = each("started")[0]
    return about


def _write(out: Path, about: dict[str, Any], trials: list[Trial]) -> None:
    """Complete or not at all: each file gets its name when it is whole."""
    out.mkdir(parents=True, exist_ok=True)
    run_new, trials_new = out / "run.json.new", out / "trials.jsonl.new"
    run_new.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    with trials_new.open("wb") as file:
        for trial in trials:
            file.write(read_line(trial).rstrip(b"\r\n") + b"\n")
    os.replace(run_new, out / "run.json")
    os.replace(trials_new, out / "trials.jsonl")


def merge(folders: list[Path], out: Path, problems: Problems) -> str:
    """Writes `out` and returns what to say of it; "" when nothing was written, which the problems
    tell."""
    if out.exists() and any(folder.exists() and out.samefile(folder) for folder in folders):
        raise Unusable(f"--out {out} is one of the folders to be merged")
    runs = read_all(folders, problems)
    for run in runs:
        if not run.options:
            raise Unusable(f"{run.folder}/run.json does not tell the options of the run")
    # Checked by themselves, because lines that could not be read keep nothing from being written.
    serious = Problems()
    for run in runs[1:]:
        for line in _differences(runs[0], run):
            serious.add(line)
    plan = {} if serious else _plan(runs[0])
    found = {} if serious else _collect(runs, plan, serious)
    if serious:
        for line in serious.all():
            problems.add(line)
        problems.add("nothing was written")
        return ""
    missing = [key for key in plan if key not in found]
    _tell_missing(missing, runs, plan, problems)
    trials = [found[key] for key in plan if key in found]
    _write(out, _about(runs, len(plan)), trials)
    return f"{len(trials)} of {len(plan)} trials are in {out}"
