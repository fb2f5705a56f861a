import pathlib

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
