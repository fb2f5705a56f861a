"""What is read, what is left out, and that each line left out is named."""

import json

import pytest
from conftest import about, record
from report import results as reading
from report.results import Problems, Unusable, alike, clean, read_run


def read(folder):
    problems = Problems()
    run = read_run(folder, problems)
    return run, [line.replace(str(folder) + "/", "") for line in problems.all()]


def test_a_good_folder(results):
    run, problems = read(results("good", [record(), "", record(trial=2, ms=None)]))
    assert problems == []
    assert [(t.number, t.outcome, t.connect_ms, t.reason) for t in run.trials] == [
        (1, "connected", 100.0, ""), (2, "failed", None, "timed out")]
    assert run.trials[1].complaints == ("udp_punch: probed ADDRESS, nothing came back",)
    assert reading.read_record(run.trials[1])["trial"] == 2


@pytest.mark.parametrize(
    "line, why",
    [
        ("{", "no JSON ("),
        ('{"a":"open","b":', "no JSON ("),
        ("[1]", "no JSON object"),
        ("[" * 100_000, "nested too deep"),
        ("{}", "'outcome' is missing"),
        (record(outcome="won"), "'outcome' is 'won'"),
        (record(a=""), "'a' is no text"),
        (record(b=7), "'b' is no text"),
        (record(trial="1"), "'trial' is no whole number"),
        (record(trial=0), "'trial' is no whole number"),
        (record(seed=True), "'seed' is no whole number"),
        (record(ms=-1.0), "'connect_ms' is no time"),
        (record(connect_ms="fast"), "'connect_ms' is no time"),
        (json.dumps(record()).replace("100.0", "NaN"), "NaN is no number of JSON"),
        (json.dumps(record()).replace("100.0", "1e999"), "'connect_ms' is no time"),
        (json.dumps(record()).replace("100.0", "9" * 5000), ""),
    ],
)
def test_malformed_lines_are_named_and_left_out(results, line, why):
    run, problems = read(results("bad", [record(), line, record(trial=2)]))
    assert [trial.number for trial in run.trials] == [1, 2]
    (problem,) = problems
    assert problem.startswith("trials.jsonl:2: ") and why in problem


def test_bytes_that_are_no_text(results):
    folder = results("bytes", [])
    (folder / "trials.jsonl").write_bytes(b'{"a":"\xff"}\n\0\0\n')
    run, problems = read(folder)
    assert run.trials == [] and len(problems) == 2


def test_a_line_without_end_is_bounded(results, monkeypatch):
    monkeypatch.setattr(reading, "LINE_MAX", 2000)
    run, problems = read(results("long", ["x" * 5001, record(), "y" * 2000]))
    assert len(run.trials) == 1
    assert problems == ["trials.jsonl:1: longer than 2000 bytes",
                        "trials.jsonl:3: longer than 2000 bytes"]


def test_there_is_a_limit_of_trials(results, monkeypatch):
    monkeypatch.setattr(reading, "TRIALS_MAX", 2)
    run, problems = read(results("many", [record(trial=i) for i in range(1, 9)]))
    assert len(run.trials) == 2
    assert problems == ["trials.jsonl:3: more than 2 trials, the rest is not read"]


def test_many_problems_are_counted(results):
    _, problems = read(results("all bad", ["{"] * 50))
    assert len(problems) == reading.PROBLEMS_TOLD + 1
    assert problems[-1] == f"and {50 - reading.PROBLEMS_TOLD} more"


def test_attempts_may_be_anything(results):
    strange = record(ms=None, attempts={"a": ["words", 7, None, {"plugin": 3}], "b": "none"})
    run, problems = read(results("strange", [strange, record(attempts=None, packets=[1])]))
    assert len(run.trials) == 2 and problems == []


@pytest.mark.parametrize("text", ["[]", "{", "\udcff", '"seed"'])
def test_a_bad_run_json_is_named(results, text):
    folder = results("run", [record()])
    (folder / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    run, problems = read(folder)
    assert len(run.trials) == 1 and run.options == {}
    (problem,) = problems
    assert problem.startswith("run.json: ")


def test_run_json_of_strange_types(results):
    run, _ = read(results("types", [record()], {**about(), "a": [1, "x"], "options": [], "seed": {}}))
    assert run.names("a") == ["x"] and run.options == {}


def test_no_results_is_an_error(tmp_path):
    with pytest.raises(Unusable, match="no trials.jsonl"):
        read_run(tmp_path, Problems())


def test_words_of_others_cannot_steer_a_terminal():
    assert clean("a\x1b[2Jb\u202ec\n") == "a?[2Jb?c?"
    assert len(clean("x" * 10_000)) == reading.TEXT_MAX


@pytest.mark.parametrize(
    "reason, without",
    [
        ("no answer from 203.0.113.7:4000 after 1500 ms", "no answer from ADDRESS after N ms"),
        ("no answer from [2001:db8::7]:4000", "no answer from ADDRESS"),
        ("dial to 2001:db8::1 refused", "dial to ADDRESS refused"),
        ("b crashed (signal 11)", "b crashed (signal N)"),
        ("mapping/filtering is ei/apd here", "mapping/filtering is ei/apd here"),
        ("could not start: udp_punch: IPv4 only", "could not start: udp_punch: IPv4 only"),
    ],
)
def test_reasons_are_alike_but_for_numbers(reason, without):
    assert alike(reason) == without
