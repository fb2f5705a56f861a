"""Two of our nodes meet through every ordered pair of five NATs, by the path the table says."""

import json
import pathlib

import pytest
from conftest import GUESS_ENOUGH

PROFILES = ["open", "full-cone", "restricted", "port-restricted", "symmetric"]
EXPECTED = pathlib.Path(__file__).parent / "expected.tsv"


@pytest.mark.parametrize("b", PROFILES)
@pytest.mark.parametrize("a", PROFILES)
def test_pair(natsim, tmp_path, a, b):
    guessed = {a, b} == {"port-restricted", "symmetric"}
    done = natsim.run("run", "--a", a, "--b", b, "--expect", EXPECTED, "--out", tmp_path,
                      *(GUESS_ENOUGH if guessed else []))
    records = [json.loads(line) for line in (tmp_path / "trials.jsonl").open()]
    explanation = done.err + json.dumps(records, indent=1)
    assert done.returncode == 0, explanation
    assert len(records) == 1, explanation
    assert records[0]["outcome"] == "connected" and records[0]["echo_ok"], explanation
