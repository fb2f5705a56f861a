import pathlib
import socket
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent


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
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    process = subprocess.Popen([build / "bin/warpgate-names", "--listen", address, "--store", tmp_path / "names.db"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert address in process.stdout.readline()
        yield address
    finally:
        process.kill()
        process.communicate()
