"""The command lines of `natsim report` and `natsim merge`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from report.results import Problems, Unusable, read_all

OK, FAILED, USAGE = 0, 1, 2


class Arguments(argparse.ArgumentParser):
    """Says what is wrong in one line. `natsim COMMAND --help` itself does not come here."""

    def error(self, message: str) -> NoReturn:
        raise Unusable(f"{message}: see {self.prog} --help")


def _report(arguments: list[str]) -> int:
    # The statistics library takes a second to load, and merging goes without.
    from report import markdown, page, terminal
    from report.summary import as_json, summarise

    parser = Arguments("natsim report", add_help=False, allow_abbrev=False)
    parser.add_argument("folders", nargs="+", metavar="DIR", type=Path)
    parser.add_argument("--html", metavar="FILE", type=Path)
    parser.add_argument("--markdown", metavar="FILE")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--colour", choices=["auto", "always", "never"], default="auto")
    options = parser.parse_args(arguments)

    problems = Problems()
    runs = read_all(options.folders, problems)
    groups = summarise(runs, problems)
    if options.html:
        options.html.write_text(page.render(groups, problems), encoding="utf-8")
    if options.markdown == "-":
        print(markdown.render(groups), end="")
    elif options.markdown:
        Path(options.markdown).write_text(markdown.render(groups), encoding="utf-8")
    if options.json:
        print(json.dumps(as_json(groups), allow_nan=False))
    elif options.markdown != "-":
        coloured = options.colour == "always" or (
            options.colour == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
        print(terminal.render(groups, coloured), end="")
    problems.tell("natsim report", sys.stderr)
    return FAILED if problems else OK


def _merge(arguments: list[str]) -> int:
    from report.merge import merge

    parser = Arguments("natsim merge", add_help=False, allow_abbrev=False)
    parser.add_argument("folders", nargs="+", metavar="DIR", type=Path)
    parser.add_argument("--out", required=True, metavar="DIR", type=Path)
    options = parser.parse_args(arguments)

    problems = Problems()
    told = merge(options.folders, options.out, problems)
    problems.tell("natsim merge", sys.stderr)
    if told:
        print(told)
    return FAILED if problems else OK


def main(arguments: list[str]) -> int:
    # A reader that has enough (`| head`), and Ctrl-C, end it as they end any program.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Where the locale is C a name may still hold any letter.
    sys.stdout.reconfigure(encoding="utf-8")
    sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")
    command, *rest = arguments
    try:
        return {"report": _report, "merge": _merge}[command](rest)
    except Unusable as error:
        print(f"natsim {command}: {error}", file=sys.stderr)
    except OSError as error:
        print(f"natsim {command}: {error.filename}: {error.strerror}", file=sys.stderr)
    return USAGE
