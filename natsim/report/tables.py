"""The tables of a group as rows of words, the same in the terminal and in Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from report.figures import Rate
from report.summary import Group, Sample

PAIRS_TOLD = 4
COMPLAINTS_TOLD = 12


@dataclass
class Table:
    title: str
    head: list[str]
    rows: list[list[str]]
    words: set[int]  # the columns that are words: they begin at the left


def percent(share: float | None) -> str:
    """Never 100 or 0 for what is not all or nothing."""
    if share is None:
        return "-"
    if 0.99 < share < 1:
        return f"{min(share * 100, 99.9):.1f}%"
    if 0 < share < 0.01:
        return f"{max(share * 100, 0.1):.1f}%"
    return f"{share * 100:.0f}%"


def interval(rate: Rate) -> str:
    if rate.low is None or rate.high is None:
        return "-"
    return f"{rate.low * 100:.1f}-{rate.high * 100:.1f}%"


def ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _sample_row(sample: Sample) -> list[str]:
    counts = (sample.direct, sample.relay, sample.failed, sample.errors)
    return [str(sample.trials), percent(sample.rate.share), interval(sample.rate),
            *(str(count) if count else "." for count in counts),
            ms(sample.times.median), ms(sample.times.p90)]


_SAMPLE_HEAD = ["trials", "connected", "95% interval", "direct", "relay", "failed", "errors",
                "median ms", "p90 ms"]


def winners_text(winners: dict[str, int]) -> str:
    if len(winners) == 1:
        return next(iter(winners))
    return ", ".join(f"{name} {count}" for name, count in winners.items())


def matrix(group: Group) -> Table:
    rows = []
    for a in group.a:
        row = [a]
        for b in group.b:
            cell = group.cells.get((a, b))
            row.append(percent(cell.rate.share) + _path_mark(cell) if cell else "")
        rows.append(row)
    return Table("Connected, from a (rows) to b (columns); * by relay, + some by relay",
                 ["a \\ b", *group.b], rows, {0})


def _path_mark(cell: Sample) -> str:
    if not cell.relay:
        return ""
    return "*" if cell.relay == cell.connected else "+"


def pairs(group: Group) -> Table:
    rows = []
    for a in group.a:
        for b in group.b:
            cell = group.cells.get((a, b))
            if cell:
                rows.append([a, b, *_sample_row(cell), winners_text(cell.winners)])
    return Table("Pairs", ["a", "b", *_SAMPLE_HEAD, "winner"], rows, {0, 1, 11})


def winners(group: Group) -> Table:
    connected = group.overall.connected
    rows = [[winner.name, winner.path, str(winner.connected),
             percent(winner.connected / connected if connected else None),
             ms(winner.times.median), ms(winner.times.p90)] for winner in group.winners]
    return Table("Winners", ["technique", "path", "won", "share", "median ms", "p90 ms"], rows,
                 {0, 1})


def overall(groups: list[Group]) -> Table:
    """One row for each group, the last to be read."""
    rows = [[group.name or "all", *_sample_row(group.overall)] for group in groups]
    for row, group in zip(rows, groups):
        row += [ms(group.lookup.median)] if any(g.lookup.count for g in groups) else []
    head = ["", *_SAMPLE_HEAD]
    if any(group.lookup.count for group in groups):
        head.append("look-up median ms")
    return Table("Overall", head, rows, {0})


def pairs_text(found: list[tuple[str, str, int]]) -> str:
    told = [f"{a} x {b}" + (f" ({count})" if count > 1 else "")
            for a, b, count in found[:PAIRS_TOLD]]
    more = len(found) - PAIRS_TOLD
    return ", ".join(told) + (f" and {more} pairs more" if more > 0 else "")


def reasons(group: Group) -> list[tuple[str, list[str]]]:
    """Each reason with lines about it."""
    told = []
    for reason in group.reasons:
        lines = [pairs_text(reason.pairs)]
        lines += [f"{count} x {text}" for text, count in reason.complaints[:COMPLAINTS_TOLD]]
        more = len(reason.complaints) - COMPLAINTS_TOLD
        if more > 0:
            lines.append(f"and {more} more")
        told.append((f"{reason.trials} {reason.outcome}: {reason.text}", lines))
    return told
