"""The page as a file: complete in itself, and nothing in the results can break out of its data."""

import html.parser
import json
import re

import pytest
from conftest import about, record
from report import page
from report.results import Problems, read_all
from report.summary import summarise


def make(*folders):
    problems = Problems()
    return page.render(summarise(read_all(list(folders), problems), problems), problems)


class Elements(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, text):
        if self.found and self.found[-1][0] == "script":
            self.scripts.append(text)


def embedded(text):
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])


def test_nothing_is_loaded_from_elsewhere(results):
    text = make(results("one", [record(), record(trial=2, ms=None)]))
    for tag, attributes in Elements(text).found:
        assert tag not in {"link", "iframe", "object", "embed", "img", "base"}
        assert not {"src", "href", "action"} & set(attributes)
    assert "default-src 'none'" in text
    # The only address is the name of SVG's namespace.
    assert set(re.findall(r"\w+://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\(|\bfetch\(|XMLHttpRequest|innerHTML|outerHTML|eval\(", text)


def test_words_of_others_stay_data(results):
    evil = "</script><script>alert(1)</script><!-- @@DATA@@ @@SCRIPT@@"
    trial = record(evil, evil, ms=None, reason=evil, attempts={"a": [{"plugin": evil}], "b": [evil]},
                   logs={"a": evil, "b": ""})
    text = make(results("evil", [trial], {**about(), "kernel": evil}))
    assert len(Elements(text).scripts) == len(Elements(make(results("good", [record()]))).scripts)
    (cell,) = embedded(text)["groups"][0]["cells"]
    assert cell["a"] == evil and evil in embedded(text)["strings"]


def test_the_data_tells_all_of_a_trial(results):
    data = embedded(make(results("one", [record(), record(trial=2, ms=None)])))
    (cell,) = data["groups"][0]["cells"]
    assert (cell["percent"], cell["median"], cell["interval"]) == ("50%", 100, "9.5-90.5%")
    good, bad = cell["told"]
    assert (good["winner"], good["ms"], good["packets"]) == ("udp_punch", 100, [5, 4])
    assert good["way"] == "spray udp IPv4"
    name, status, way, detail, start, took = good["attempts"][0][0]
    words = [data["strings"][number] for number in (name, status, way, detail)]
    assert words == ["udp_punch", "ok", "udp IPv4 ext spray", "won"] and (start, took) == (1.5, 80)
    assert data["strings"][bad["reason"]] == "timed out"
    assert data["strings"][bad["replay"]].endswith("--seed 7 --only 2")


def test_many_trials_are_bounded_and_those_that_failed_come_first(results, monkeypatch):
    monkeypatch.setattr(page, "TOLD", 5)
    trials = [record(trial=i, ms=None if i > 8 else 50.0) for i in range(1, 11)]
    (cell,) = embedded(make(results("many", trials)))["groups"][0]["cells"]
    assert [trial["trial"] for trial in cell["told"]] == [1, 2, 3, 9, 10]
    assert cell["trials"] == 10
    assert len(cell["dots"]) == 8, "what is fast and what is slow is shown of all"


def test_dots_of_many_trials_reach_from_the_fastest_to_the_slowest(results):
    (cell,) = embedded(make(results("dots", [record(trial=i, ms=float(i)) for i in range(1, 1001)])))[
        "groups"][0]["cells"]
    assert len(cell["dots"]) <= page.DOTS_OF_CELL
    assert cell["dots"][0] == [1000, 1000, 0] and cell["dots"][-1][1] < 10


def test_strange_attempts_are_told_as_they_are(results):
    strange = ["words", None, 7, {"plugin": ["x"], "start_ms": "soon", "ms": -1, "port": 9},
               {"plugin": "p", "start_ms": 10**400, "ms": True}]
    data = embedded(make(results("one", [record(attempts={"a": strange})])))
    attempts = data["groups"][0]["cells"][0]["told"][0]["attempts"][0]
    told = [[data["strings"][part] for part in attempt[:4]] + attempt[4:] for attempt in attempts]
    assert told == [["", "", "", "words", None, None], ["", "", "", "", None, None],
                    ["", "", "", "7", None, None], ['["x"]', "", "", "port 9", None, None],
                    ["p", "", "", "", None, None]]


@pytest.mark.parametrize("lines", [[], [record(ms=None)], [record(connect_ms=None, winner=None)]])
def test_little_is_enough_for_a_page(results, lines):
    assert len(embedded(make(results("few", lines)))["groups"]) == 1


def test_without_scripts_the_text_is_there(results):
    text = make(results("one", [record("map=ei,filter=<ad>")]))
    assert "<noscript><pre>" in text and "map=ei,filter=&lt;ad&gt;" in text
