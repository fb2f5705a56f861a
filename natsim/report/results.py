"""Reads folders of results: run.json and trials.jsonl.

Others may have written them, and a run that was killed leaves half a line: what is no result is
named and left out, and everything is bounded.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

# A record holds the attempts of both ends, some kilobytes.
LINE_MAX = 4 << 20
# Some hundred bytes each stay in memory.
TRIALS_MAX = 1_000_000
# Names and reasons of the contract are shorter.
TEXT_MAX = 1000
# Complaints that are told; the rest is counted.
PROBLEMS_TOLD = 20

OUTCOMES = ("connected", "failed", "error")
SIDES = ("a", "b")


class Unusable(Exception):
    """Nothing can be done with what was given; one line says why."""


class Problems:
    """Lines about what was left out."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.untold = 0

    def add(self, line: str) -> None:
        if len(self.lines) < PROBLEMS_TOLD:
            self.lines.append(line)
        else:
            self.untold += 1

    def __bool__(self) -> bool:
        return bool(self.lines)

    def all(self) -> list[str]:
        return self.lines + ([f"and {self.untold} more"] if self.untold else [])

    def tell(self, who: str, out: TextIO) -> None:
        for line in self.all():
            print(f"{who}: {line}", file=out)


@dataclass(slots=True)
class Trial:
    """A record without its attempts; those are read again where they are shown."""

    a: str
    b: str
    number: int
    seed: int
    outcome: str
    winner: str
    path: str
    connect_ms: float | None
    lookup_ms: float | None
    reason: str
    complaints: tuple[str, ...]  # what each attempt of a trial that did not connect came to
    file: Path
    offset: int


@dataclass
class Run:
    """A folder of results."""

    folder: Path
    about: dict[str, Any]  # run.json, or empty
    trials: list[Trial] = field(default_factory=list)

    def text(self, key: str) -> str:
        value = self.about.get(key)
        return clean(value) if isinstance(value, str) else ""

    def names(self, side: str) -> list[str]:
        """The profiles of a side in the order of the plan; empty when it is not told."""
        value = self.about.get(side)
        return [clean(name) for name in value if isinstance(name, str)] \
            if isinstance(value, list) else []

    def pairs(self) -> list[tuple[str, str]]:
        """All pairs of the run, whatever the shard, in the order of the plan; empty when they are
        not told."""
        value = self.about.get("pairs")
        pairs = value if isinstance(value, list) else []
        return [(clean(pair[0]), clean(pair[1])) for pair in pairs
                if isinstance(pair, list) and [type(name) for name in pair] == [str, str]]

    @property
    def options(self) -> dict[str, Any]:
        value = self.about.get("options")
        return value if isinstance(value, dict) else {}


def clean(text: str) -> str:
    """Without what could take over a terminal or turn the writing around, and not too long."""
    return "".join(c if c.isprintable() else "?" for c in text[:TEXT_MAX])


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def parse_object(text: str | bytes) -> dict[str, Any]:
    """A JSON object, or ValueError with a few words."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON ({error.msg} at character {error.pos + 1})") from None
    except UnicodeDecodeError:
        raise ValueError("no UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def _text(record: dict[str, Any], key: str, required: bool = False) -> str:
    value = record.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value):
        raise ValueError(f"'{key}' is {'missing' if value is None else 'no text'}")
    return clean(value)


def _milliseconds(record: dict[str, Any], key: str) -> float | None:
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
        raise ValueError(f"'{key}' is no time")
    return float(value)


def _whole(record: dict[str, Any], key: str, low: int) -> int:
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value < 1 << 63:
        raise ValueError(f"'{key}' is {'missing' if value is None else 'no whole number'}")
    return value


def attempts_of(record: dict[str, Any], side: str) -> list[Any]:
    """The report of one end: usually objects, but another program may list anything."""
    attempts = record.get("attempts")
    value = attempts.get(side) if isinstance(attempts, dict) else None
    return value if isinstance(value, list) else []


# What differs between trials that fail alike: addresses with or without port, and other numbers.
_ADDRESS = re.compile(r"\b\d+(?:\.\d+){3}(?::\d+)?\b|\[?\b[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*(?:\]:\d+)?")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\w)")


def alike(reason: str) -> str:
    """The reason without what is particular to one trial."""
    return _NUMBER.sub("N", _ADDRESS.sub("ADDRESS", reason))


def _complaints(record: dict[str, Any]) -> tuple[str, ...]:
    found = []
    for side in SIDES:
        for attempt in attempts_of(record, side):
            if not isinstance(attempt, dict):
                continue
            plugin, detail = attempt.get("plugin"), attempt.get("detail")
            if isinstance(plugin, str) and isinstance(detail, str) and detail:
                found.append(alike(clean(f"{plugin}: {detail}")))
    return tuple(dict.fromkeys(found))


def _read_trial(record: dict[str, Any], file: Path, offset: int) -> Trial:
    outcome = _text(record, "outcome", required=True)
    if outcome not in OUTCOMES:
        raise ValueError(f"'outcome' is '{outcome[:40]}'")
    connected = outcome == "connected"
    return Trial(
        a=_text(record, "a", required=True),
        b=_text(record, "b", required=True),
        number=_whole(record, "trial", 1),
        seed=_whole(record, "seed", 0),
        outcome=outcome,
        winner=_text(record, "winner") if connected else "",
        path=_text(record, "path") if connected else "",
        connect_ms=_milliseconds(record, "connect_ms") if connected else None,
        lookup_ms=_milliseconds(record, "lookup_ms"),
        reason="" if connected else _text(record, "reason"),
        complaints=() if connected else _complaints(record),
        file=file,
        offset=offset,
    )


def _lines(path: Path, problems: Problems) -> Iterator[tuple[int, int, bytes]]:
    """(number, offset, line) of every line that is not too long."""
    with path.open("rb") as file:
        number = 0
        while True:
            offset = file.tell()
            line = file.readline(LINE_MAX + 1)
            if not line:
                return
            number += 1
            if len(line) <= LINE_MAX:
                yield number, offset, line
                continue
            problems.add(f"{path}:{number}: longer than {LINE_MAX} bytes")
            while line and not line.endswith(b"\n"):
                line = file.readline(LINE_MAX)


def _read_about(folder: Path, problems: Problems) -> dict[str, Any]:
    path = folder / "run.json"
    try:
        with path.open("rb") as file:
            text = file.read(LINE_MAX + 1)
        if len(text) > LINE_MAX:
            raise ValueError(f"longer than {LINE_MAX} bytes")
        return parse_object(text)
    except OSError as error:
        problems.add(f"{path}: {error.strerror}")
    except ValueError as error:
        problems.add(f"{path}: {error}")
    return {}


def read_run(folder: Path, problems: Problems) -> Run:
    path = folder / "trials.jsonl"
    if not path.is_file():
        raise Unusable(f"{folder}: no trials.jsonl: is it a folder that --out was given?")
    run = Run(folder, _read_about(folder, problems))
    for number, offset, line in _lines(path, problems):
        if not line.strip():
            continue
        if len(run.trials) == TRIALS_MAX:
            problems.add(f"{path}:{number}: more than {TRIALS_MAX} trials, the rest is not read")
            break
        try:
            run.trials.append(_read_trial(parse_object(line), path, offset))
        except ValueError as error:
            problems.add(f"{path}:{number}: {error}")
    return run


def read_all(folders: list[Path], problems: Problems) -> list[Run]:
    return [read_run(folder, problems) for folder in folders]


def read_line(trial: Trial) -> bytes:
    """The line of the trial as it stands in its file."""
    with trial.file.open("rb") as file:
        file.seek(trial.offset)
        return file.readline(LINE_MAX)


def read_record(trial: Trial) -> dict[str, Any]:
    """The whole record of the trial; empty when the file has changed meanwhile."""
    try:
        return parse_object(read_line(trial))
    except ValueError:
        return {}


def finite(value: Any) -> float | None:
    """A number that can be drawn, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
