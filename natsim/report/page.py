"""The report as one HTML page that needs nothing but a browser: data, style and script are in it.

All figures are made here; the script only draws them.
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from report import tables, terminal
from report.figures import curve
from report.results import SIDES, Problems, Run, Trial, attempts_of, clean, finite, read_record
from report.summary import Group, Sample, about, replay_command

HERE = Path(__file__).parent

# Trials that the page tells one by one; with the attempts of both ends some 2 kB each.
TOLD_OF_CELL = 200
TOLD = 12_000
ATTEMPTS_TOLD = 200
DOTS_OF_CELL = 150
LOG_TOLD = 8000


class Strings:
    """Each text once; the data refers to it by number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))

    def all(self) -> list[str]:
        return list(self.numbers)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _sample(sample: Sample) -> dict[str, Any]:
    rate = sample.rate
    return {
        "trials": sample.trials, "connected": sample.connected, "direct": sample.direct,
        "relay": sample.relay, "failed": sample.failed, "errors": sample.errors,
        "share": rate.share, "low": rate.low, "high": rate.high,
        "percent": tables.percent(rate.share), "interval": tables.interval(rate),
        "median": _round(sample.times.median), "p90": _round(sample.times.p90),
        "winners": list(sample.winners.items()),
    }


# ---- trials --------------------------------------------------------------------------------------


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return clean(value if isinstance(value, str) else json.dumps(value))


def _attempt(attempt: Any, strings: Strings) -> list[Any]:
    """[technique, status, way, detail, start, ms]: texts by number, times or null."""
    if not isinstance(attempt, dict):
        return [strings.number(""), strings.number(""), strings.number(""),
                strings.number(_plain(attempt)), None, None]
    family = attempt.get("family")
    way = " ".join(filter(None, [
        _plain(attempt.get("transport")), f"IPv{_plain(family)}" if family else "",
        _plain(attempt.get("route")), _plain(attempt.get("phase"))]))
    known = {"plugin", "status", "transport", "family", "route", "phase", "detail", "start_ms", "ms"}
    other = [f"{clean(key)} {_plain(value)}" for key, value in attempt.items() if key not in known]
    detail = "; ".join(filter(None, [_plain(attempt.get("detail")), *other]))
    status = _plain(attempt.get("status")).removeprefix("WARP_").lower().replace("_", " ")
    start, ms = finite(attempt.get("start_ms")), finite(attempt.get("ms"))
    return [strings.number(_plain(attempt.get("plugin"))), strings.number(status),
            strings.number(way), strings.number(detail),
            _round(start) if start is not None and start >= 0 else None,
            _round(ms) if ms is not None and ms >= 0 else None]


def _trial(trial: Trial, run: Run, strings: Strings) -> dict[str, Any]:
    record = read_record(trial)
    packets, logs = record.get("packets"), record.get("logs")
    return {
        "trial": trial.number, "outcome": trial.outcome, "winner": trial.winner,
        "path": trial.path, "ms": _round(trial.connect_ms), "lookup": _round(trial.lookup_ms),
        "way": " ".join(filter(None, [
            _plain(record.get("phase")), _plain(record.get("transport")),
            f"IPv{_plain(record.get('family'))}" if record.get("family") else ""])),
        "packets": [finite(packets.get(side)) for side in SIDES]
        if isinstance(packets, dict) else None,
        "reason": strings.number(trial.reason),
        "attempts": [[_attempt(attempt, strings)
                      for attempt in attempts_of(record, side)[:ATTEMPTS_TOLD]] for side in SIDES],
        "logs": [str(logs.get(side) or "")[-LOG_TOLD:] for side in SIDES]
        if isinstance(logs, dict) else None,
        "replay": strings.number(replay_command(run, trial)),
    }


def _told_trials(trials: list[Trial], most: int) -> list[Trial]:
    """Those that did not connect before the others, in the order of their numbers."""
    if len(trials) <= most:
        return trials
    chosen = sorted(trials, key=lambda trial: trial.outcome == "connected")[:most]
    return sorted(chosen, key=lambda trial: (trial.number, trial.seed))


def _dots(trials: list[Trial]) -> list[list[Any]]:
    """[trial, milliseconds, by relay] of the trials that connected; of many, some of each speed."""
    timed = sorted((trial for trial in trials if trial.connect_ms is not None),
                   key=lambda trial: trial.connect_ms or 0)
    step = max(1, -(-len(timed) // DOTS_OF_CELL))
    return [[trial.number, _round(trial.connect_ms), int(trial.path == "relay")]
            for trial in timed[::-step]]


# ---- groups --------------------------------------------------------------------------------------


def _curves(group: Group) -> list[dict[str, Any]]:
    """Distributions of the time to connect, by path and by winner."""
    connected = [trial for trial in group.all_trials() if trial.connect_ms is not None]

    def points(trials: list[Trial]) -> list[list[float]]:
        found = curve([t.connect_ms for t in trials if t.connect_ms is not None])
        return [[round(x, 2), round(share, 4)] for x, share in found]

    curves = []
    for kind in ("path", "winner"):
        by_name: dict[str, list[Trial]] = {}
        for trial in connected:
            by_name.setdefault(getattr(trial, kind) or "?", []).append(trial)
        curves += [{"kind": kind, "name": name, "count": len(trials), "points": points(trials)}
                   for name, trials in sorted(by_name.items(), key=lambda item: -len(item[1]))]
    return curves


def _group(group: Group, most: int, strings: Strings) -> dict[str, Any]:
    run_of = {run.folder / "trials.jsonl": run for run in group.runs}
    cells = []
    for (a, b), sample in group.cells.items():
        told = _told_trials(group.trials[a, b], most)
        cells.append({
            "a": a, "b": b, **_sample(sample), "dots": _dots(group.trials[a, b]),
            "told": [_trial(trial, run_of[trial.file], strings) for trial in told],
        })
    return {
        "name": group.name, "about": about(group), "a": group.a, "b": group.b,
        "overall": _sample(group.overall), "cells": cells, "curves": _curves(group),
        "lookup": _round(group.lookup.median),
        "winners": [{"name": winner.name, "path": winner.path, "won": winner.connected,
                     "median": _round(winner.times.median), "p90": _round(winner.times.p90)}
                    for winner in group.winners],
        "reasons": [{"text": reason.text, "outcome": reason.outcome, "trials": reason.trials,
                     "pairs": reason.pairs, "complaints": reason.complaints}
                    for reason in group.reasons],
    }


def data(groups: list[Group], problems: Problems) -> dict[str, Any]:
    cells = sum(len(group.cells) for group in groups)
    most = max(1, min(TOLD_OF_CELL, TOLD // max(cells, 1)))
    strings = Strings()
    told = [_group(group, most, strings) for group in groups]
    return {"groups": told, "strings": strings.all(), "problems": problems.all()}


# ---- the page ------------------------------------------------------------------------------------


def _in_script(value: Any) -> str:
    """JSON that no HTML parser takes for the end of the script or a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def render(groups: list[Group], problems: Problems) -> str:
    parts = {
        "STYLE": (HERE / "page.css").read_text(encoding="utf-8"),
        "SCRIPT": (HERE / "page.js").read_text(encoding="utf-8"),
        "DATA": _in_script(data(groups, problems)),
        "TEXT": html.escape(terminal.render(groups, coloured=False)),
    }
    template = (HERE / "page.html").read_text(encoding="utf-8")
    # The pieces are put together by one pass, so that what stands in one is never taken for a mark.
    pieces = template.split("@@")
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))
