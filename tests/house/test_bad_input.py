"""Every public function is called with NULL for each of its pointers: see tests/unit/support/bad_input.h.

`void *arg` may be anything, so that it is left out; all other pointers and callbacks count, those too
that may be NULL.
"""

import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent.parent


def split(text):
    """What stands between commas that are in no brackets and no string."""
    parts, depth, last, quote, i = [], 0, 0, None, 0
    while i < len(text):
        c = text[i]
        if quote:
            if c == "\\":
                i += 1
            elif c == quote:
                quote = None
        elif c in "\"'":
            quote = c
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
            if depth < 0:
                break
        elif c == "," and depth == 0:
            parts.append(text[last:i].strip())
            last = i + 1
        i += 1
    return parts + [text[last:i].strip()]


def headers():
    text = "".join(file.read_text() for file in sorted((ROOT / "src/include/warpgate").glob("*.h")))
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def functions(text):
    """name -> {index: parameter} of its pointers, of all functions that take anything."""
    callbacks = set(re.findall(r"\(\*(\w+)\)\(", text))
    found = {}
    for name, rest in re.findall(r"^WARP_API\b[^;{(]*?\b(warp_\w+)\(([^;]*);", text, re.M):
        parameters = split(rest)
        if parameters == ["void"]:
            continue
        found[name] = {
            i: parameter for i, parameter in enumerate(parameters)
            if (set("*[") & set(parameter) or parameter.split()[0] in callbacks) and parameter != "void *arg"}
    return found


def calls(text):
    """(function, arguments) of each call by REFUSES or BADLY."""
    for match in re.finditer(r"\b(REFUSES|BADLY)\(", text):
        parts = split(text[match.end():])[match[1] == "REFUSES":]
        yield parts[0], parts[1:]


def missing(header_text, test_texts):
    """What was never tried, one line each."""
    untried = {name: dict(pointers) for name, pointers in functions(header_text).items()}
    uncalled = set(untried)
    for text in test_texts:
        for name, arguments in calls(text):
            uncalled.discard(name)
            for i, argument in enumerate(arguments):
                if argument == "NULL":
                    untried.get(name, {}).pop(i, None)
    faults = [f"{name}: no call with bad input" for name in sorted(uncalled)]
    return faults + [f"{name}: never with NULL for '{parameter}'" for name in sorted(untried)
                     for parameter in untried[name].values() if name not in uncalled]


def sources():
    return [file.read_text() for folder in ("unit", "sim") for file in (ROOT / "tests" / folder).rglob("test_*.c")]


def test_every_function_is_called_badly():
    text = headers()
    assert len(functions(text)) > 110
    faults = missing(text, sources())
    assert not faults, "\n".join(faults)


HEADER = """
typedef void (*warp_cb)(void *arg, int status);
WARP_API const char *warp_version(void);
WARP_API int warp_one(const struct a *a, size_t len,
                      warp_cb cb, void *arg);
WARP_API void warp_two(int number) __attribute__((format(printf, 2, 3)));
"""


def test_what_is_missing_is_seen():
    full = "REFUSES(WARP_INVALID, warp_one, NULL, f(1, 2), cb, NULL); REFUSES(1, warp_one, &a, 1,\n NULL, 0);"
    assert missing(HEADER, [full, "BADLY(warp_two, -1)"]) == []
    assert missing(HEADER, [full]) == ["warp_two: no call with bad input"]
    assert missing(HEADER, ['REFUSES(1, warp_one, NULL, "),", cb, NULL); BADLY(warp_two, 0);']) == [
        "warp_one: never with NULL for 'warp_cb cb'"]
    assert missing(HEADER, ["BADLY(warp_two, 1); warp_one(NULL, 0, NULL, NULL);"]) == [
        "warp_one: no call with bad input"]
