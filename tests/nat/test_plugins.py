"""Each technique by itself where it must win, and where it must fail and say why."""

import os

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
FIELDS = ("plugin", "a", "b")


def table():
    with open(f"{HERE}/plugins.tsv", encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines if not line.startswith("#")]
    return [dict(zip(rows[0], row)) for row in rows[1:]]


def said(trial):
    attempts = [row for rows in trial["attempts"].values() for row in rows or []]
    return [trial["reason"]] + [attempt["detail"] for attempt in attempts]


@pytest.mark.parametrize("row", table(), ids=lambda row: "-".join(row[key] for key in FIELDS))
def test_row(natsim, row):
    options = [] if row["options"] == "-" else row["options"].split()
    beside = row["outcome"] == "beside"
    plugins = f"{row['plugin']},udp_punch" if beside else row["plugin"]
    outcome = "failed" if row["outcome"] == "failed" else "connected"
    (trial,) = natsim.trials("run", "--plugin", plugins, "--transport", row["transport"],
                             "--a", row["a"], "--b", row["b"], "--rtt", "10", "--timeout",
                             "12" if outcome == "failed" else "60", *options)
    assert trial["outcome"] == outcome, said(trial)
    if outcome == "failed":
        assert any(row["words"] in line for line in said(trial)), said(trial)
    elif beside:
        helpers = [attempt for rows in trial["attempts"].values() for attempt in rows or []
                   if attempt["plugin"] == row["plugin"]]
        assert any(row["words"] in attempt["detail"] for attempt in helpers), helpers
        assert trial["winner"] == "udp_punch"
    else:
        assert trial["winner"] == row["plugin"]
        assert trial["path"] == row["outcome"]
        assert trial["echo_ok"]


def test_every_technique_is_in_the_table(natsim):
    done = natsim.run("run", "--a", "open", "--b", "open", "--plugin", "nonesuch")
    techniques = set(done.err.split("there are auto, ")[1].strip().split(", "))
    for outcome in ("won", "failed"):
        rows = [row for row in table() if row["outcome"] != "beside" and
                (row["outcome"] == "failed") == (outcome == "failed")]
        assert {row["plugin"] for row in rows} == techniques, outcome
