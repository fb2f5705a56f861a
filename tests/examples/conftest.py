import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path.append(str(ROOT / "tests"))


def pytest_addoption(parser):
    parser.addoption("--build", default=ROOT / "build", type=pathlib.Path)


@pytest.fixture
def build(request):
    return request.config.getoption("--build").resolve()


@pytest.fixture
def example(build):
    """The path of an example by its name."""
    return lambda name: build / "examples" / name


@pytest.fixture
def names(build, tmp_path):
    """A name server on loopback, as HOST:PORT."""
    process = subprocess.Popen(
        [build / "bin/warpgate-names", "--listen", "127.0.0.1:0", "--store", tmp_path / "names.db"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        word, address = process.stdout.readline().split()
        assert word == "ready"
        yield address
    finally:
        process.kill()
        process.communicate()
