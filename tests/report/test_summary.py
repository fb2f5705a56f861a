"""Which runs are taken together, and what is counted."""

import pytest
from conftest import about, record
from report.results import Problems, read_all
from report.summary import Sample, as_json, replay_command, summarise


def groups(*folders):
    problems = Problems()
    return summarise(read_all(list(folders), problems), problems), problems


def test_counts_rates_and_times(results):
    trials = [record(trial=i, ms=100.0 + i) for i in range(1, 9)]
    trials += [record(trial=9, ms=500.0, path="relay", winner="turn"), record(trial=10, ms=None),
               record(trial=11, ms=None, outcome="error", reason="a crashed (signal 11)")]
    (group,), problems = groups(results("one", trials))
    assert not problems
    cell = group.cells["open", "open"]
    assert (cell.trials, cell.connected, cell.direct, cell.relay) == (11, 9, 8, 1)
    assert (cell.failed, cell.errors) == (1, 1)
    assert cell.rate.share == 9 / 11
    assert (cell.times.count, cell.times.median) == (9, 105)
    assert cell.times.p90 == pytest.approx(108 + 0.2 * (500 - 108))
    assert cell.winners == {"udp_punch": 8, "turn": 1}
    assert [(w.name, w.path, w.connected) for w in group.winners] == [
        ("udp_punch", "direct", 8), ("turn", "relay", 1)]
    assert group.overall == cell


def test_what_a_trial_that_failed_claims_does_not_count(results):
    (group,), _ = groups(results("one", [record(ms=None, winner="turn", path="relay",
                                                connect_ms=3.0)]))
    assert (group.overall.relay, group.overall.times.count, group.winners) == (0, 0, [])


def test_reasons_are_grouped(results):
    trials = [record(trial=i, ms=None, reason=f"no answer from 192.0.2.{i}:40") for i in (1, 2)]
    trials += [record("open", "restricted", ms=None, reason="no answer from 192.0.2.9:41"),
               record(trial=3, ms=None, reason=None)]
    (group,), _ = groups(results("one", trials))
    first, second = group.reasons
    assert (first.text, first.trials) == ("no answer from ADDRESS", 3)
    assert first.pairs == [("open", "open", 2), ("open", "restricted", 1)]
    assert first.complaints == [("udp_punch: probed ADDRESS, nothing came back", 3)]
    assert (second.text, second.trials) == ("no reason was told", 1)


def test_rows_and_columns_are_in_the_order_of_the_plan(results):
    (group,), _ = groups(results("one", [record("x", "y"), record("b", "z")],
                                 about(a=("b", "a", "x"), b=("z", "y"))))
    assert (group.a, group.b) == (["b", "a", "x"], ["z", "y"])


def test_runs_of_the_same_options_are_taken_together(results):
    one = results("one", [record()], about(shard="1/2"))
    two = results("two", [record(trial=2)], about(shard="2/2", jobs=8))
    (group,), problems = groups(one, two)
    assert (group.name, group.overall.trials, bool(problems)) == ("", 2, False)


def test_others_are_kept_apart_and_named_by_what_differs(results):
    one = results("one", [record()])
    two = results("two", [record()], about(**{"no-relay": True, "loss": 2.5}))
    three = results("three", [record()], {**about(), "commit": "new"})
    found, _ = groups(one, two, three)
    assert [group.name for group in found] == [
        "commit 012345678", "no-relay, loss 2.5, commit 012345678", "commit new"]


def test_a_trial_counts_once(results):
    folder = results("one", [record(), record()])
    (group,), problems = groups(folder, folder)
    assert group.overall.trials == 1
    assert len(problems.all()) == 3
    assert "trial 1 of open x open is there twice" in problems.all()[0]


def test_results_without_run_json(results):
    (group,), problems = groups(results("bare", [record()], run=False))
    assert group.overall.trials == 1 and "run.json" in problems.all()[0]


def test_nothing_is_no_rate(results):
    (group,), _ = groups(results("empty", []))
    assert group.overall == Sample.of([])
    assert group.overall.rate.share is None


def test_a_trial_can_be_made_again(results):
    run = about(**{"no-relay": True, "loss": 2.5, "set": "random_probe.rate=5,x.y=1",
                   "event": ["300:reboot-a", "connected:uplink-down-b"],
                   "without": ["names", "turn"], "endpoint": "python3 'my peer'.py", "rate": 0.0})
    (group,), _ = groups(results("one", [record("map=ad,filter=apd", trial=4)], run))
    (trial,) = group.all_trials()
    assert replay_command(group.runs[0], trial) == (
        "natsim run --a map=ad,filter=apd --b open --plugin auto --no-relay --rtt 40 --loss 2.5 "
        "--set random_probe.rate=5 --set x.y=1 --without names,turn "
        "--event 300:reboot-a --event connected:uplink-down-b "
        "--endpoint 'python3 '\"'\"'my peer'\"'\"'.py' --seed 7 --only 4")


def test_json_has_every_figure(results):
    found, _ = groups(results("one", [record(), record(trial=2, ms=None)]))
    (group,) = as_json(found)["groups"]
    assert group["overall"]["rate"]["share"] == 0.5
    assert group["cells"][0]["a"] == "open" and group["cells"][0]["times"]["median"] == 100
    assert group["reasons"][0]["pairs"] == [("open", "open", 1)]
