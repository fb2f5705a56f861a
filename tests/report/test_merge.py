"""`natsim merge`: what is joined is the whole run, and what is wrong with the parts is named."""

import json

import pytest
from conftest import about, record

A, B = ("open", "symmetric"), ("open", "restricted")
PLAN = [(a, b, trial) for trial in (1, 2) for a in A for b in B]


def shard(results, index, count=2, leave_out=(), **changes):
    run = about(A, B, 2, f"{index}/{count}", jobs=index, out=f"place {index}")
    run["options"].update(changes.pop("options", {}))
    trials = [record(*key) for i, key in enumerate(PLAN)
              if i % count == index - 1 and key not in leave_out]
    # Jobs finish in any order.
    return results(f"shard{index}", trials[::-1], {**run, **changes})


def merged(out):
    keys = [tuple(json.loads(line)[key] for key in ("a", "b", "trial"))
            for line in (out / "trials.jsonl").open()]
    return keys, json.loads((out / "run.json").read_text())


def test_shards_become_the_whole_run_in_its_order(natsim, results, tmp_path):
    parts = [shard(results, i, 3, kernel=f"6.{i}") for i in (3, 1, 2)]
    out = tmp_path / "new/all"
    done = natsim.run("merge", *parts, "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"8 of 8 trials are in {out}\n"
    keys, run = merged(out)
    assert keys == PLAN
    assert run["trials"] == 8 and run["options"]["shard"] == "1/1" and run["seed"] == 7
    assert run["kernel"] == "6.1, 6.2, 6.3" and run["merged"] == [str(part) for part in parts]
    assert natsim.run("report", out).returncode == 0
    again = natsim.run("merge", out, "--out", tmp_path / "again")
    assert again.returncode == 0, "a whole run is one shard"


def test_lines_are_kept_to_the_byte(natsim, results, tmp_path):
    parts = [shard(results, 1), shard(results, 2)]
    natsim.run("merge", *parts, "--out", tmp_path / "all")
    lines = sorted(line for part in parts for line in (part / "trials.jsonl").open())
    assert sorted((tmp_path / "all/trials.jsonl").open()) == lines


def test_trials_that_are_there_twice_are_named_and_nothing_is_written(natsim, results, tmp_path):
    one, two = shard(results, 1), shard(results, 2)
    with (two / "trials.jsonl").open("a") as file:
        file.write(json.dumps(record(*PLAN[0])) + "\n")
    done = natsim.run("merge", one, two, "--out", tmp_path / "all")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.splitlines() == [
        f"natsim merge: trial 1 of open x open is in {one}/trials.jsonl and in {two}/trials.jsonl",
        "natsim merge: nothing was written"]
    assert not (tmp_path / "all").exists()


def test_missing_trials_and_shards_are_named_and_the_others_written(natsim, results, tmp_path):
    parts = [shard(results, 1, 3), shard(results, 2, 3, leave_out={PLAN[4]})]
    done = natsim.run("merge", *parts, "--out", tmp_path / "all")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "natsim merge: shard 3/3 is missing",
        f"natsim merge: trial 2 of open x open is missing, of shard 2/3 in {parts[1]}"]
    assert done.stdout.startswith("5 of 8 trials")
    assert merged(tmp_path / "all")[0] == [key for i, key in enumerate(PLAN) if i not in (2, 4, 5)]


def test_a_half_written_line_is_named_and_missing(natsim, results, tmp_path):
    one, two = shard(results, 1), shard(results, 2)
    text = (two / "trials.jsonl").read_text()
    (two / "trials.jsonl").write_text(text[:-100])
    done = natsim.run("merge", one, two, "--out", tmp_path / "all")
    assert done.returncode == 1
    assert "trials.jsonl:4: no JSON" in done.stderr and "is missing, of shard 2/2" in done.stderr


@pytest.mark.parametrize("changes, words", [
    ({"seed": 8}, "seed is 8, but 7 in"),
    ({"version": "0.2.0"}, 'version is "0.2.0", but "0.1.0" in'),
    ({"commit": "other"}, 'commit is "other"'),
    ({"options": {"loss": 3.0}}, "--loss is 3.0, but 0.0 in"),
    ({"options": {"trials": 3}}, "--trials is 3, but 2 in"),
    ({"pairs": [["open", "open"]]}, 'pairs is [["open", "open"]]'),
])
def test_parts_of_different_runs_are_refused(natsim, results, tmp_path, changes, words):
    parts = [shard(results, 1), shard(results, 2, **changes)]
    done = natsim.run("merge", *parts, "--out", tmp_path / "all")
    assert done.returncode == 1
    assert f"natsim merge: {parts[1]}: {words}" in done.stderr
    assert not (tmp_path / "all").exists()


def test_a_place_may_have_only_some_pairs(natsim, results, tmp_path):
    pairs = [["open", "open"], ["symmetric", "symmetric"]]
    one = results("one", [record("open", "open")], {**about(shard="1/2"), "pairs": pairs})
    two = results("two", [record("symmetric", "symmetric")], {**about(shard="2/2"), "pairs": pairs})
    done = natsim.run("merge", one, two, "--out", tmp_path / "all")
    assert (done.returncode, done.stdout) == (0, f"2 of 2 trials are in {tmp_path}/all\n")


def test_a_trial_of_another_run_is_named(natsim, results, tmp_path):
    one, two = shard(results, 1), shard(results, 2)
    with (two / "trials.jsonl").open("a") as file:
        file.write(json.dumps(record("cgnat", "open")) + "\n")
    done = natsim.run("merge", one, two, "--out", tmp_path / "all")
    assert done.returncode == 1
    assert f"trial 1 of cgnat x open in {two}/trials.jsonl is no trial of this run" in done.stderr


def test_usage(natsim, results, tmp_path):
    one = shard(results, 1)
    bare = results("bare", [record()], run=False)
    for arguments, words in [
        ([one], "required: --out"),
        (["--out", tmp_path / "x"], "required: DIR"),
        ([one, "--out", one], "is one of the folders"),
        ([tmp_path / "nowhere", "--out", tmp_path / "x"], "no trials.jsonl"),
        ([bare, "--out", tmp_path / "x"], "does not tell the options"),
    ]:
        done = natsim.run("merge", *arguments)
        assert done.returncode == 2, arguments
        assert words in done.stderr
    assert not (tmp_path / "x").exists()
