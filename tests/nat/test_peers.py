"""Programs as peers: ours and the example in plain C through the same matrix, each with its table of
what must come of it."""

import json
import pathlib

import pytest
from conftest import GUESS_ENOUGH

HERE = pathlib.Path(__file__).parent
EXAMPLE = HERE.parent.parent / "examples/plain-punch"
PLAIN = ["--without", "broker,turn,names,ntp"]


def plain(natsim):
    return ["--endpoint", natsim.program.parent / "plain-punch", *PLAIN]


@pytest.mark.parametrize("peer", ["warpgate", "plain-punch"])
def test_matrix_of_five_profiles(natsim, tmp_path, peer):
    ours = peer == "warpgate"
    options = GUESS_ENOUGH if ours else plain(natsim)
    table = HERE / "expected.tsv" if ours else EXAMPLE / "expected.tsv"
    done = natsim.run("matrix", *options, "--expect", table, "--out", tmp_path)
    assert done.returncode == 0, done.err
    records = [json.loads(line) for line in (tmp_path / "trials.jsonl").open()]
    assert len(records) == 25
    assert all(r["echo_ok"] for r in records if r["outcome"] == "connected"), records


def ports(natsim, seed, *options):
    """What the NATs gave out: towards the STUN server, and as the other peer saw it."""
    pair = ["--a", "symmetric", "--b", "map=ad,filter=ei,alloc=random"]
    args = ["run", *pair, *plain(natsim), "--seed", seed, "--trials", 2, *options]
    records = natsim.trials(*args)
    assert [r["outcome"] for r in records] == ["connected"] * 2, records
    seen = sorted((r["trial"], r["seed"], side, report["mapped"], report["heard_from"])
                  for r in records for side in "ab" for report in r["attempts"][side])
    assert len(seen) == 4
    return seen


def test_a_seed_decides_the_ports_of_random_nats(natsim):
    first = ports(natsim, 7)
    assert ports(natsim, 7, "--jobs", 1) == first
    other = ports(natsim, 8)
    assert not {line[3] for line in first} & {line[3] for line in other}
    # Each trial has its own, and a symmetric NAT another for each destination.
    mapped = {line[3] for line in first} | {line[4] for line in first}
    assert len(mapped) >= 6, first


def test_a_trial_is_replayed_with_its_ports(natsim):
    pair = ["--a", "symmetric", "--b", "open", *plain(natsim), "--seed", 3, "--trials", 3]
    second = [r["attempts"] for r in natsim.trials("run", *pair) if r["trial"] == 2]
    assert [r["attempts"] for r in natsim.trials("run", *pair, "--only", 2)] == second
