"""The page in a headless Chromium: it is drawn, and clicks and keys do what they say.

Each test adds a script to a copy of the page, which does what a person would and writes down what
it sees. ci/setup does not install a browser: without one these tests count as not run.
"""

import json
import re
import shutil
import subprocess

import pytest
from conftest import about, record

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync""".split()

pytestmark = pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")

PROBE = """<script>
const seen = {}, see = (name, value) => { seen[name] = value; };
const one = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];
const key = (name) => document.activeElement.dispatchEvent(
  new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
try {
%s
} catch (error) {
  see("error", error.stack);
}
const result = document.createElement("pre");
result.id = "seen";
result.textContent = JSON.stringify(seen);
document.body.append(result);
</script>"""


@pytest.fixture
def look(natsim, results, tmp_path):
    """Makes a page of two runs and returns what a script sees there."""
    def trials(a, ms):
        return [record(a, b, i, ms, reason=None if ms else f"<b>no</b> answer to {b}")
                for i in (1, 2) for b in ("open", "symmetric")]

    names = ("open", "symmetric")
    first = results("first", trials("open", 80.0) + trials("symmetric", None), about(names, names, 2))
    second = results("second", [record(ms=300.0, path="relay", winner="turn")], about(loss=9.0))
    assert natsim.run("report", first, second, "--html", tmp_path / "page.html").returncode == 0

    def run(script, address="", *options):
        page = tmp_path / "probed.html"
        page.write_text((tmp_path / "page.html").read_text().replace("</body>", PROBE % script + "</body>"))
        done = subprocess.run(
            [BROWSER, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *options, "--dump-dom",
             f"file://{page}{address}"], capture_output=True, text=True, timeout=90)
        found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)
        assert found, done.stderr
        seen = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        assert "error" not in seen, seen["error"]
        return seen

    return run


def test_a_click_shows_the_trials_and_why_they_failed(look):
    seen = look("""
      see("cells", all("#matrix button").map((cell) => cell.innerText.split("\\n")[0]));
      see("said", one("#matrix button").getAttribute("aria-label"));
      one("#matrix button[data-a=symmetric][data-b=open]").click();
      see("title", one("#cell-title").innerText);
      see("open", all("#cell details").map((trial) => trial.open));
      see("why", one("#cell details p").innerText);
      see("attempt", one("#cell .attempt").innerText.split("\\n"));
      see("again", one("#cell code").innerText);
      see("address", location.hash);
      see("pressed", all("[aria-pressed=true]").length);
      see("no dots", all("#cell circle").length);
      one("#matrix button[data-a=open][data-b=symmetric]").click();
      see("dots", all("#cell circle").map((dot) => dot.textContent));
      see("wide", document.documentElement.scrollWidth <= innerWidth);
    """)
    assert seen["cells"] == ["100%", "100%", "0%", "0%"]
    assert seen["said"] == "open to open: 2 of 2 connected, direct, median 80 milliseconds"
    assert seen["title"] == "symmetric → open"
    assert seen["open"] == [True, False]
    assert seen["why"] == "<b>no</b> answer to open"
    assert "probed 203.0.113.7:4000, nothing came back" in seen["attempt"]
    assert any("timeout" in line for line in seen["attempt"])
    assert seen["again"].startswith("natsim run --a symmetric --b open")
    assert seen["no dots"] == 0
    assert seen["dots"] == ["trial 2: 80 ms", "trial 1: 80 ms"]
    assert "a=symmetric" in seen["address"] and seen["pressed"] == 1
    assert seen["wide"]


def test_views_switch_between_rate_path_and_milliseconds(look):
    seen = look("""
      for (const view of ["path", "ms", "rate"]) {
        one(`input[value=${view}]`).click();
        see(view, all("#matrix button b").map((word) => word.innerText));
      }
      see("strips", all("#matrix .strip").length);
    """)
    assert seen["path"] == ["direct", "direct", "failed", "failed"]
    assert seen["ms"] == ["80", "80", "–", "–"]
    assert seen["rate"] == ["100%", "100%", "0%", "0%"] and seen["strips"] == 0


def test_the_keyboard_is_enough(look):
    seen = look("""
      see("stops", all("#matrix button").filter((cell) => cell.tabIndex === 0).length);
      one("#matrix button").focus();
      key("ArrowDown"); key("ArrowRight"); key("ArrowRight");
      see("at", [document.activeElement.dataset.a, document.activeElement.dataset.b]);
      document.activeElement.click();
      see("title", one("#cell-title").innerText);
      see("still", [document.activeElement.dataset.a, document.activeElement.dataset.b]);
      key("Home"); key("ArrowUp");
      see("home", [document.activeElement.dataset.a, document.activeElement.dataset.b]);
      see("unnamed", all("button, input, select").filter((control) => !control.innerText.trim() &&
        !control.ariaLabel && !control.closest("label")).length);
    """)
    assert seen == {"stops": 1, "at": ["symmetric", "symmetric"], "title": "symmetric → symmetric",
                    "still": ["symmetric", "symmetric"], "home": ["open", "open"], "unnamed": 0}


def test_runs_and_curves_can_be_chosen(look):
    seen = look("""
      see("names", all("#group option").map((option) => option.innerText));
      one("#group").value = "1";
      one("#group").dispatchEvent(new Event("change"));
      see("figures", one("#overall").innerText);
      one("input[value=winner]").click();
      see("reading", one("#reading").innerText);
      one("#curves input").value = 1000;
      one("#curves input").dispatchEvent(new Event("input"));
      see("end", one("#reading").innerText);
      see("curves", all(".curve").map((curve) => curve.getTotalLength() > 100));
      see("reasons", one("#reasons-section").hidden);
    """)
    assert len(seen["names"]) == 2 and "loss 9" in seen["names"][1]
    assert "300 ms" in seen["figures"] and "1 relay" in seen["figures"]
    assert seen["reading"].split()[-5:] == ["turn", "0", "%", "of", "1"]
    assert seen["end"].split()[-5:] == ["turn", "100", "%", "of", "1"]
    assert seen["curves"] == [True] and seen["reasons"]


def test_an_address_opens_the_same_view(look):
    seen = look("""
      see("view", one("input[name=view]:checked").value);
      see("title", one("#cell-title").innerText);
      see("open", all("#cell details").map((trial) => trial.open));
      see("dark", document.documentElement.classList.contains("dark"));
      one("#theme").click();
      see("light", !document.documentElement.classList.contains("dark"));
    """, "#view=ms&a=symmetric&b=open&trial=2&theme=dark&kind=nonsense&group=99")
    assert seen == {"view": "ms", "title": "symmetric → open", "open": [False, True], "dark": True,
                    "light": True}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_on_colours_can_be_read(look, theme):
    """Contrast of at least 4.5, as WCAG asks for small text."""
    seen = look("""
      const light = (rgb) => rgb.map((v) => v / 255).map((v) =>
        v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const numbers = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number)
        .map((v) => colour.startsWith("color(srgb") ? v * 255 : v);
      const worst = {};
      for (const view of ["rate", "path", "ms"]) {
        one(`input[value=${view}]`).click();
        worst[view] = Math.min(...all("#matrix button").map((cell) => {
          const style = getComputedStyle(cell);
          const [a, b] = [light(numbers(style.color)), light(numbers(style.backgroundColor))];
          return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        }));
      }
      const soft = getComputedStyle(one(".hint")).color;
      const [a, b] = [light(numbers(soft)), light(numbers(getComputedStyle(document.body).backgroundColor))];
      worst.hint = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      see("worst", worst);
    """, f"#theme={theme}")
    assert all(contrast >= 4.5 for contrast in seen["worst"].values()), seen


def test_a_narrow_screen_does_not_scroll_sideways(look):
    seen = look("""one("#matrix button").click();
      see("width", innerWidth); see("content", document.documentElement.scrollWidth);""",
                "#a=open&b=open", "--window-size=500,900")
    assert seen["content"] <= seen["width"]
