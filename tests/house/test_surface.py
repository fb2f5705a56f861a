"""docs/surface.md: the calls it names are declared, the tests it names exist, and every row has one."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
PAGE = ROOT / "docs/surface.md"
PLACES = {"sim": "tests/sim", "cli": "tests/cli", "nat": "tests/nat", "example": "tests/examples"}


def rows(text):
    """(cells, whether it claims to be there) of each row of the tables."""
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        for line in section.splitlines():
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if cells and not set(cells[0]) <= set("-") and cells[0] != "Python":
                yield cells, not section.startswith("Not yet")


def source(entry):
    """The file of a ctest entry, or None."""
    kind, _, name = entry.partition(".")
    if kind == "unit":
        room, _, name = name.partition(".")
        found = [ROOT / "tests/unit" / room / f"test_{name}.c"]
    elif kind == "example":
        return ROOT / "tests/examples/test_examples.py" if (ROOT / f"examples/{name}.c").exists() else None
    elif kind in PLACES:
        found = [ROOT / PLACES[kind] / f"test_{name}.{ending}" for ending in ("c", "py")]
    else:
        found = []
    return next((file for file in found if file.exists()), None)


def missing_test(reference):
    """What is wrong with 'entry' or 'entry: function', or None."""
    entry, _, function = reference.partition(": ")
    file = source(entry)
    if file is None:
        return f"{reference}: no such entry"
    function = function or (f"test_{entry.split('.')[1]}" if entry.startswith("example.") else "")
    pattern = rf"^def {function}\(" if file.suffix == ".py" else rf"(?:cmocka_unit_test\w*|^\s*TEST)\(\s*{function}\b"
    return None if re.search(pattern, file.read_text(), re.M) else f"{reference}: no such test in {file.name}"


def declared():
    headers = (ROOT / "src/include/warpgate").glob("*.h")
    text = re.sub(r"/\*.*?\*/", "", "".join(header.read_text() for header in headers), flags=re.S)
    return set(re.findall(r"\b(?:warp|WARP)_\w+", text))


def test_every_row_has_a_test_that_exists():
    faults = []
    claimed = 0
    for cells, there in rows(PAGE.read_text()):
        if not there:
            continue
        claimed += 1
        references = re.findall(r"`([^`]+)`", cells[2])
        faults += [f"{cells[0]}: no test"] * (not references)
        faults += filter(None, map(missing_test, references))
    assert claimed > 40
    assert not faults, "\n".join(faults)


def test_every_call_is_declared():
    known = declared()
    named = {word for cells, _ in rows(PAGE.read_text()) for word in re.findall(r"\b(?:warp|WARP)_\w+", cells[1])}
    assert len(named) > 60
    assert not named - known


@pytest.mark.parametrize("reference", ["sim.nothing", "sim.gate: test_nothing", "unit.pipe.stream: nothing",
                                       "example.nothing", "other.gate"])
def test_what_does_not_exist_is_seen(reference):
    assert missing_test(reference)
