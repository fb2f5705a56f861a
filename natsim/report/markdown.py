"""The report as Markdown, for a README or a pull request."""

from __future__ import annotations

import re

from report import tables
from report.summary import Group, about
from report.tables import Table


def escape(text: str) -> str:
    """Words of others as themselves: no markup, no end of a table's cell."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", text)


def _table(table: Table, level: str) -> list[str]:
    lines = [f"{level} {escape(table.title)}", ""]
    lines.append("| " + " | ".join(map(escape, table.head)) + " |")
    lines.append("|" + "|".join(":--" if i in table.words else "--:"
                                for i in range(len(table.head))) + "|")
    lines += ["| " + " | ".join(map(escape, row)) + " |" for row in table.rows]
    return lines + [""]


def _group(group: Group) -> list[str]:
    lines = [f"## {escape(group.name) if group.name else 'Trials'}", ""]
    lines += [f"- {key}: {escape(value)}" for key, value in about(group)] + [""]
    if not group.overall.trials:
        return lines + ["No trials.", ""]
    if len(group.cells) > 1:
        lines += _table(tables.matrix(group), "###")
    lines += _table(tables.pairs(group), "###")
    if group.winners:
        lines += _table(tables.winners(group), "###")
    if group.reasons:
        lines += ["### Why trials did not connect", ""]
        for reason, details in tables.reasons(group):
            lines.append(f"- {escape(reason)}")
            lines += [f"  - {escape(detail)}" for detail in details]
        lines.append("")
    return lines


def render(groups: list[Group]) -> str:
    lines = ["# Connections through NATs", "", *_table(tables.overall(groups), "##")]
    lines += [line for group in groups for line in _group(group)]
    return "\n".join(lines).rstrip("\n") + "\n"
