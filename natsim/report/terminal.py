"""The report for a terminal: aligned, and coloured if asked for."""

from __future__ import annotations

import re
import unicodedata

from report import tables
from report.summary import Group, about
from report.tables import Table

# Blue for what connects and orange for what does not are told apart by all eyes.
BOLD, FAINT, GOOD, BAD = "1", "2", "34", "33"


class Style:
    def __init__(self, coloured: bool) -> None:
        self.coloured = coloured

    def paint(self, text: str, how: str) -> str:
        return f"\033[{how}m{text}\033[0m" if self.coloured and text.strip() else text


def width(text: str) -> int:
    """Columns that it takes."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
               for c in text)


def _pad(text: str, columns: int, left: bool) -> str:
    space = " " * (columns - width(text))
    return text + space if left else space + text


def _cell_colour(text: str) -> str | None:
    """Of a success rate, with its mark or without."""
    match = re.fullmatch(r"([\d.]+)%[*+]?", text.strip())
    if not match:
        return None
    share = float(match[1])
    return GOOD if share == 100 else f"{BOLD};{BAD}" if share == 0 else BAD


def _table(table: Table, style: Style, rates: set[int]) -> list[str]:
    widths = [max(width(row[i]) for row in [table.head, *table.rows])
              for i in range(len(table.head))]
    lines = [style.paint(table.title, BOLD)]

    def line(row: list[str], head: bool) -> str:
        cells = []
        for i, text in enumerate(row):
            padded = _pad(text, widths[i], i in table.words)
            colour = FAINT if head else _cell_colour(text) if i in rates else None
            cells.append(style.paint(padded, colour) if colour else padded)
        return ("  " + "  ".join(cells)).rstrip()

    lines.append(line(table.head, True))
    lines += [line(row, False) for row in table.rows]
    return lines + [""]


def _group(group: Group, style: Style) -> list[str]:
    lines = []
    if group.name:
        lines += [style.paint(f"==== {group.name} ====", BOLD), ""]
    lines += [f"{style.paint(f'{key:>8}', FAINT)}  {value}" for key, value in about(group)] + [""]
    if not group.overall.trials:
        return lines + ["no trials", ""]
    lines += _table(tables.pairs(group), style, {3})
    if len(group.cells) > 1:
        lines += _table(tables.matrix(group), style, set(range(1, len(group.b) + 1)))
    if group.winners:
        lines += _table(tables.winners(group), style, set())
    if group.reasons:
        lines.append(style.paint("Why trials did not connect", BOLD))
        for reason, details in tables.reasons(group):
            lines.append("  " + style.paint(reason, BAD))
            lines += ["    " + detail for detail in details]
        lines.append("")
    return lines


def render(groups: list[Group], coloured: bool) -> str:
    style = Style(coloured)
    lines = [line for group in groups for line in _group(group, style)]
    lines += _table(tables.overall(groups), style, {2})[:-1]
    return "\n".join(lines) + "\n"
