"""`natsim report` as a person runs it."""

import json
import re
import shutil
import subprocess

import pytest
from conftest import about, record


@pytest.fixture
def two(results):
    """Two pairs: one of which always connects, one never."""
    trials = [record("open", b, i, ms) for i in (1, 2) for b, ms in
              (("open", 80.0 + i), ("symmetric", None))]
    return results("two", trials, about(b=("open", "symmetric"), trials=2))


def test_tables_in_the_terminal(natsim, two):
    done = natsim.run("report", two)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {tuple(line.split()) for line in done.stdout.splitlines()}
    assert ("open", "open", "2", "100%", "34.2-100.0%", "2", ".", ".", ".", "82", "82",
            "udp_punch") in rows
    assert ("open", "symmetric", "2", "0%", "0.0-65.8%", ".", ".", "2", ".", "-", "-") in rows
    assert ("all", "4", "50%", "15.0-85.0%", "2", ".", "2", ".", "82", "82") in rows
    assert ("2", "failed:", "timed", "out") in rows
    assert "\033" not in done.stdout


def test_columns_are_aligned(natsim, two):
    lines = natsim.run("report", two).stdout.splitlines()
    head, first, second = lines[lines.index("Pairs") + 1:][:3]
    end = head.index("median ms") + len("median ms")
    assert (first[:end].split()[-1], second[:end].split()[-1]) == ("82", "-")
    assert first.index("open", 4) == second.index("symmetric") == head.index(" b ") + 1


def test_colour_only_when_asked(natsim, two):
    assert "\033[" in natsim.run("report", two, "--colour", "always").stdout
    assert "\033[" not in natsim.run("report", two, "--colour", "never").stdout


def test_markdown(natsim, two, tmp_path):
    file = tmp_path / "out.md"
    done = natsim.run("report", two, "--markdown", file)
    assert done.returncode == 0 and "Overall" in done.stdout
    text = file.read_text()
    assert "| open | symmetric | 2 | 0% | 0.0-65.8% | . | . | 2 | . | - | - |  |" in text
    assert natsim.run("report", two, "--markdown", "-").stdout == text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_json(natsim, two):
    report = json.loads(natsim.run("report", two, "--json").stdout)
    assert [cell["rate"]["connected"] for cell in report["groups"][0]["cells"]] == [2, 0]


def test_bad_lines_are_named_and_end_in_status_1(natsim, results):
    folder = results("bad", [record(), "half a li"])
    done = natsim.run("report", folder)
    assert done.returncode == 1
    assert done.stderr.startswith(f"natsim report: {folder}/trials.jsonl:2: no JSON")
    assert "all" in done.stdout


def test_hostile_names_change_no_table(natsim, results):
    name = "x|y\x1b[31m`<b>\n|"
    folder = results("hostile", [record(name, name, winner="*a* [l](http://x)")])
    done = natsim.run("report", folder)
    assert done.returncode == 0 and "\x1b" not in done.stdout
    markdown = natsim.run("report", folder, "--markdown", "-").stdout
    escaped = "x\\|y?\\[31m\\`\\<b\\>?\\|"
    assert f"| {escaped} | {escaped} | 1 | 100%" in markdown
    assert "| \\*a\\* \\[l\\](http://x) |" in markdown


@pytest.mark.parametrize("arguments, words", [
    ([], "the following arguments are required: DIR"),
    (["/nonexistent"], "/nonexistent: no trials.jsonl"),
    (["DIR", "--bogus"], "unrecognized arguments: --bogus"),
    (["DIR", "--colour", "red"], "invalid choice: 'red'"),
    (["DIR", "--html", "/nonexistent/x.html"], "/nonexistent/x.html: No such file"),
])
def test_usage_is_one_line_and_status_2(natsim, two, arguments, words):
    done = natsim.run("report", *(two if word == "DIR" else word for word in arguments))
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("natsim report: ") and words in line


@pytest.mark.parametrize("command", ["report", "merge"])
def test_help_has_examples_without_python(natsim, command):
    done = natsim.run(command, "--help", env={"PATH": "/nonexistent"})
    assert done.returncode == 0 and "Examples:" in done.stdout


def test_a_reader_that_has_enough_gets_no_complaint(natsim, two):
    done = subprocess.run(f"{natsim.program} report {two} | head -1", shell=True,
                          capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_missing_scripts_are_status_3(natsim, two, tmp_path):
    (tmp_path / "bin").mkdir()
    shutil.copy(natsim.program, tmp_path / "bin")
    done = subprocess.run([tmp_path / "bin/natsim", "report", two], capture_output=True, text=True)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert "share/natsim/report: No such file" in line


def test_a_missing_package_is_status_3_and_named(natsim, two, tmp_path):
    """A python3 that has nothing is first on the PATH, and mounted over the system's."""
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)

    def hidden(*command):
        script = 'mount --bind "$0" /usr/bin/python3 && PATH=${0%/*} exec "$@"'
        return subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script,
                               python, *command], capture_output=True, text=True, timeout=60)

    if hidden("/bin/true").returncode:
        pytest.skip("no namespace can be made here to hide /usr/bin/python3 in")
    done = hidden(natsim.program, "report", two)
    assert done.returncode == 3
    assert done.stderr == ("natsim report: it needs Python 3.9 with scipy: install the Debian "
                           "packages python3 and python3-scipy\n")
    assert hidden(natsim.program, "merge", two).stderr == (
        "natsim merge: it needs Python 3.9: install the Debian package python3\n")
