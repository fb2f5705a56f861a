"""What the trials came to: by run, pair, winner, path and reason."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from report.figures import Rate, Times, rate, times
from report.results import Problems, Run, Trial, alike, clean

# Options that change how a run is made or which trials it has, and not what a trial is.
NOT_OF_THE_TRIAL = {"a", "b", "profiles", "grid", "trials", "seed", "only", "jobs", "shard", "out",
                    "expect", "json", "pcap"}
UNSET: tuple[Any, ...] = (None, False, 0, "", [])


@dataclass
class Sample:
    """Some trials together."""

    trials: int
    connected: int
    direct: int
    relay: int
    failed: int
    errors: int
    rate: Rate
    times: Times
    winners: dict[str, int]  # most frequent first

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> Sample:
        trials = list(trials)
        outcomes = Counter(trial.outcome for trial in trials)
        paths = Counter(trial.path for trial in trials if trial.outcome == "connected")
        winners = Counter(trial.winner or "?" for trial in trials if trial.outcome == "connected")
        return cls(
            trials=len(trials),
            connected=outcomes["connected"],
            direct=paths["direct"],
            relay=paths["relay"],
            failed=outcomes["failed"],
            errors=outcomes["error"],
            rate=rate(outcomes["connected"], len(trials)),
            times=times([t.connect_ms for t in trials if t.connect_ms is not None]),
            winners=dict(winners.most_common()),
        )


@dataclass
class Winner:
    name: str
    path: str
    connected: int
    times: Times


@dataclass
class Reason:
    """Why trials did not connect, and what their attempts came to, each with how many trials."""

    text: str
    outcome: str
    trials: int
    pairs: list[tuple[str, str, int]]  # a, b, trials
    complaints: list[tuple[str, int]]


@dataclass
class Group:
    """Runs of the same program with the same options."""

    name: str  # what tells it from the other groups; empty when there is one
    runs: list[Run]
    a: list[str]
    b: list[str]
    trials: dict[tuple[str, str], list[Trial]]  # by trial number and seed
    cells: dict[tuple[str, str], Sample]
    overall: Sample
    lookup: Times
    winners: list[Winner]
    reasons: list[Reason]

    def all_trials(self) -> list[Trial]:
        return [trial for trials in self.trials.values() for trial in trials]


# ---- which runs belong together ------------------------------------------------------------------


def number_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else clean(str(value))


def _value_text(key: str, value: Any) -> str:
    if value is True:
        return clean(key)
    if isinstance(value, list):
        value = ",".join(map(str, value))
    return f"{clean(key)} {number_text(value)}"


def options_of_trials(run: Run) -> dict[str, str]:
    """The options that decide what a trial is, as they would be said."""
    return {key: _value_text(key, value) for key, value in run.options.items()
            if key not in NOT_OF_THE_TRIAL and value not in UNSET}


def _identity(run: Run) -> dict[str, str]:
    commit = run.text("commit")
    identity = options_of_trials(run)
    if run.text("version"):
        identity["version"] = "version " + run.text("version")
    if commit:
        identity["commit"] = "commit " + short_commit(commit)
    if not run.about:
        identity["folder"] = clean(str(run.folder))
    return identity


def short_commit(commit: str) -> str:
    return re.sub(r"^([0-9a-f]{9})[0-9a-f]{31}", r"\1", commit)


def _group_names(identities: list[dict[str, str]]) -> list[str]:
    """What each has that not all have."""
    if len(identities) == 1:
        return [""]
    shared = set.intersection(*(set(identity.values()) for identity in identities))
    names = []
    for identity in identities:
        words = [text for text in identity.values() if text not in shared]
        names.append(", ".join(words) or "otherwise the same")
    return names


def _order(runs: list[Run], side: str, trials: list[Trial]) -> list[str]:
    names = [name for run in runs for name in run.names(side)]
    return list(dict.fromkeys(names + [getattr(trial, side) for trial in trials]))


# ---- the figures ---------------------------------------------------------------------------------


def _without_repeats(runs: list[Run], problems: Problems) -> list[Trial]:
    seen: dict[tuple[str, str, int, int], Trial] = {}
    for run in runs:
        for trial in run.trials:
            key = (trial.a, trial.b, trial.number, trial.seed)
            if key in seen:
                problems.add(f"{trial.file}: trial {trial.number} of {trial.a} x {trial.b} is there "
                             f"twice, also in {seen[key].file}: the second one is left out")
            else:
                seen[key] = trial
    return list(seen.values())


def _winners(trials: list[Trial]) -> list[Winner]:
    found: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        if trial.outcome == "connected":
            found.setdefault((trial.winner or "?", trial.path or "?"), []).append(trial)
    winners = [Winner(name, path, len(some),
                      times([t.connect_ms for t in some if t.connect_ms is not None]))
               for (name, path), some in found.items()]
    return sorted(winners, key=lambda winner: (-winner.connected, winner.name))


def _reasons(trials: list[Trial]) -> list[Reason]:
    found: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        if trial.outcome != "connected":
            text = alike(trial.reason) or "no reason was told"
            found.setdefault((trial.outcome, text), []).append(trial)
    reasons = []
    for (outcome, text), some in found.items():
        pairs = Counter((trial.a, trial.b) for trial in some)
        complaints = Counter(line for trial in some for line in trial.complaints)
        reasons.append(Reason(text, outcome, len(some),
                              [(a, b, count) for (a, b), count in pairs.most_common()],
                              complaints.most_common()))
    return sorted(reasons, key=lambda reason: -reason.trials)


def _make_group(name: str, runs: list[Run], problems: Problems) -> Group:
    trials = _without_repeats(runs, problems)
    cells: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        cells.setdefault((trial.a, trial.b), []).append(trial)
    for some in cells.values():
        some.sort(key=lambda trial: (trial.number, trial.seed))
    return Group(
        name=name,
        runs=runs,
        a=_order(runs, "a", trials),
        b=_order(runs, "b", trials),
        trials=cells,
        cells={pair: Sample.of(some) for pair, some in cells.items()},
        overall=Sample.of(trials),
        lookup=times([t.lookup_ms for t in trials if t.lookup_ms is not None]),
        winners=_winners(trials),
        reasons=_reasons(trials),
    )


def summarise(runs: list[Run], problems: Problems) -> list[Group]:
    together: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run in runs:
        together.setdefault(tuple(sorted(_identity(run).items())), []).append(run)
    identities = [_identity(some[0]) for some in together.values()]
    return [_make_group(name, some, problems)
            for name, some in zip(_group_names(identities), together.values())]


# ---- telling -------------------------------------------------------------------------------------


def about(group: Group) -> list[tuple[str, str]]:
    """What the trials were made with, as pairs of words."""
    def each(values: Iterable[str]) -> str:
        return ", ".join(dict.fromkeys(value for value in values if value))

    runs = group.runs
    pairs = [
        ("folders", each(clean(str(run.folder)) for run in runs)),
        ("version", each(run.text("version") for run in runs)),
        ("commit", each(short_commit(run.text("commit")) for run in runs)),
        ("kernel", each(run.text("kernel") for run in runs)),
        ("started", each(run.text("started") for run in runs)),
        ("seed", each(number_text(run.about.get("seed", "")) for run in runs)),
        ("options", each(options_of_trials(runs[0]).values())),
    ]
    return [(key, value) for key, value in pairs if value]


def replay_command(run: Run, trial: Trial) -> str:
    """The command that makes this trial again."""
    words = ["natsim", "run", "--a", trial.a, "--b", trial.b]
    for key, value in run.options.items():
        if key in NOT_OF_THE_TRIAL or value in UNSET:
            continue
        if value is True:
            words.append(f"--{key}")
        elif key == "set":
            for setting in str(value).split(","):
                words += ["--set", setting]
        elif key == "event" and isinstance(value, list):
            for event in value:
                words += ["--event", str(event)]
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else number_text(value)
            words += [f"--{key}", text]
    seed = run.about.get("seed")
    if isinstance(seed, int):
        words += ["--seed", str(seed)]
    return clean(shlex.join(words + ["--only", str(trial.number)]))


def as_json(groups: list[Group]) -> dict[str, Any]:
    return {
        "groups": [
            {
                "name": group.name,
                "about": dict(about(group)),
                "overall": asdict(group.overall),
                "lookup_ms": asdict(group.lookup),
                "cells": [{"a": a, "b": b, **asdict(cell)}
                          for (a, b), cell in group.cells.items()],
                "winners": [asdict(winner) for winner in group.winners],
                "reasons": [asdict(reason) for reason in group.reasons],
            }
            for group in groups
        ]
    }
