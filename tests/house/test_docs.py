"""ci/docs: the API pages have everything that the headers declare, and it sees what has no comment."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).parent.parent.parent


def docs(*args):
    return subprocess.run([ROOT / "ci/docs", *map(str, args)], capture_output=True, text=True)


def test_every_function_is_explained():
    done = docs("--check")
    assert done.returncode == 0, done.stderr


def test_pages_have_every_function(tmp_path):
    assert docs("--to", tmp_path).returncode == 0
    pages = "".join(file.read_text() for file in tmp_path.glob("*.html"))
    anchors = set(re.findall(r'id="(\w+)"', pages))
    text = "".join(file.read_text() for file in (ROOT / "src/include/warpgate").glob("*.h"))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    functions = set(re.findall(r"^WARP_API\b[^;{]*?\b(warp_\w+)\(", text, re.M))
    assert len(functions) > 90 and functions <= anchors
    assert set(re.findall(r"^} (warp_\w+);", text, re.M)) <= anchors
    assert set(re.findall(r'href="\w+\.html#(\w+)"', pages)) <= anchors


def test_what_has_no_comment_is_named(tmp_path):
    header = tmp_path / "some.h"
    header.write_text("/* A header. */\n\n/* Explained. */\nWARP_API int warp_one(void);\nWARP_API int warp_two(\n"
                      "    int a);\n\nWARP_API int warp_three(int a,\n  int b);\ntypedef void (*warp_four)(void *arg);\n")
    done = docs("--check", header)
    assert done.returncode == 1
    assert done.stderr == ("ci/docs: some.h:8: warp_three has no comment\n"
                           "ci/docs: some.h:10: warp_four has no comment\n")
