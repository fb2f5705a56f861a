import os
import pathlib
import shlex
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent


def pytest_addoption(parser):
    parser.addoption("--build", default=ROOT / "build", type=pathlib.Path)
    parser.addoption("--cc", default="cc")
    parser.addoption("--flag", default="", help="one more for compiler and linker")


def run(*command, **options):
    done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def prefix(request, tmp_path_factory):
    """All that there is, installed where nobody knew of at configuration."""
    folder = tmp_path_factory.mktemp("a prefix")
    build = request.config.getoption("--build").resolve()
    run("cmake", "--install", build, "--prefix", folder)
    if (build / "bin/natsim").exists():
        run("cmake", "--install", build, "--prefix", folder, "--component", "lab")
    return folder


@pytest.fixture
def compiler(request):
    return request.config.getoption("--cc"), request.config.getoption("--flag").split()


@pytest.fixture(scope="session")
def pkg_config(prefix):
    (description,) = prefix.rglob("warpgate.pc")
    environment = {**os.environ, "PKG_CONFIG_PATH": str(description.parent)}

    def ask(*options):
        return shlex.split(run("pkg-config", *options, "warpgate", env=environment))

    return ask
