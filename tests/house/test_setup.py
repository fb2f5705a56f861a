"""ci/setup on machines that lack something: what it says, what it runs and as whom.

The script runs in a copy of ci/, with a PATH of its own: links to the ordinary tools, and stand-ins
for apt, dpkg, sudo and id that write down how they were called.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

CI = Path(__file__).resolve().parents[2] / "ci"
TOOLS = "basename bash cat dirname env find grep mkdir mv rm tail uname".split()


class Machine:
    """A machine where `missing` packages are not installed and all else is."""

    def __init__(self, folder):
        self.folder = folder
        self.missing = []
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        shutil.copytree(CI, folder / "tree" / "ci")
        # Servers that are installed on the real machine must not be found.
        common = folder / "tree/ci/common.sh"
        path_line = "PATH=$PATH:/usr/sbin:/sbin\n"
        assert path_line in common.read_text()
        common.write_text(common.read_text().replace(path_line, ""))
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.program("id", "echo 1000")
        self.program("apt-cache", "")
        self.program("dpkg-deb", "")
        self.program("ldd", "")
        self.records("apt-get")
        # On the PATH, so that they need not be fetched.
        self.program("mosquitto", "")
        self.program("turnserver", "")
        self.program("miniupnpd", "")
        self.program("chronyd", "")

    def program(self, name, script):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def records(self, name, script=""):
        self.program(name, f'echo "{name} $*" >>{self.calls}\n{script}')

    def setup(self, *arguments):
        cases = "".join(f"*' {name}') exit 1 ;; " for name in self.missing)
        self.program("dpkg-query", f'case "$*" in {cases} *) echo installed ;; esac')
        run = subprocess.run([self.folder / "tree/ci/setup", *arguments], text=True,
                             env={"PATH": str(self.bin)}, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, check=False)
        calls = self.calls.read_text().splitlines() if self.calls.exists() else []
        return run, calls


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_nothing_happens_when_all_is_there(machine):
    run, calls = machine.setup()
    assert (run.returncode, run.stderr, calls) == (0, "", [])
    assert len(run.stdout.splitlines()) == 1


def test_without_sudo_one_line_says_what_root_must_run(machine):
    machine.missing = ["libuv1-dev", "clang"]
    run, calls = machine.setup()
    assert (run.returncode, calls) == (1, [])
    assert run.stderr == ("ci/setup: packages are missing and there is no sudo: as root, run: "
                          "apt-get install libuv1-dev clang\n")


def test_sudo_installs_exactly_what_is_missing_and_says_so_before(machine):
    machine.missing = ["libuv1-dev", "clang"]
    machine.records("sudo")
    run, calls = machine.setup()
    assert run.returncode == 0
    assert calls == ["sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y "
                     "--no-install-recommends install libuv1-dev clang"]
    assert "installing packages: libuv1-dev clang" in run.stdout


def test_building_needs_no_test_packages(machine):
    machine.missing = ["clang", "libcmocka-dev", "gcc-mingw-w64-x86-64", "python3-scipy"]
    run, calls = machine.setup("build")
    assert (run.returncode, calls) == (0, [])


def test_reports_need_a_statistics_library_and_no_tests(machine):
    machine.missing = ["clang", "libcmocka-dev", "python3-scipy"]
    machine.records("sudo")
    run, calls = machine.setup("report")
    assert run.returncode == 0
    assert [call.split()[-1] for call in calls] == ["python3-scipy"]
    assert "installing packages: python3-scipy" in run.stdout


def test_old_package_lists_are_fetched_once(machine):
    machine.missing = ["libuv1-dev"]
    machine.records("sudo", 'case "$*" in *update) ;; *) exit 100 ;; esac')
    run, calls = machine.setup()
    assert run.returncode == 1
    assert [call.split()[-1] for call in calls] == ["libuv1-dev", "update", "libuv1-dev"]
    assert run.stderr.splitlines()[-1].startswith("ci/setup: apt-install failed")


def test_servers_are_downloaded_as_the_user_and_never_installed(machine):
    (machine.bin / "mosquitto").unlink()
    machine.records("apt-get", """
      case "$*" in *--simulate*)
        echo 'Inst libcjson1 (1.7 Debian:12 [amd64])'
        echo 'Inst telnet (0.17 Debian:12 [all])'
        echo 'Inst mosquitto (2.0 Debian:12 [amd64])' ;;
      *download*) : >mosquitto.deb ;;
      esac""")
    machine.program("dpkg-deb", 'mkdir -p "$3/usr/sbin" && : >"$3/usr/sbin/mosquitto"')
    run, calls = machine.setup()
    assert (run.returncode, run.stderr) == (0, "")
    assert "fetching mosquitto into build/fixtures/" in run.stdout
    assert [call for call in calls if "--simulate" not in call] == [
        "apt-get -q -o APT::Sandbox::User=root download libcjson1 mosquitto"]
    assert (machine.folder / "tree/build/fixtures/usr/sbin/mosquitto").is_file()

    machine.calls.unlink()
    _, calls = machine.setup()
    assert calls == [], "fetched again although it is there"


def test_a_server_that_lacks_a_library_is_refused(machine):
    (machine.bin / "turnserver").unlink()
    machine.records("apt-get", """
      case "$*" in
      *--simulate*) echo 'Inst coturn (4.6 Debian:12 [amd64])' ;;
      *download*) : >coturn.deb ;;
      esac""")
    machine.program("dpkg-deb", 'mkdir -p "$3/usr/bin" && : >"$3/usr/bin/turnserver"')
    machine.program("ldd", "echo 'libhiredis.so.0.14 => not found'")
    run, _ = machine.setup()
    assert run.returncode == 1
    assert "libhiredis.so.0.14 => not found" in run.stderr
    assert run.stderr.splitlines()[-1].startswith("ci/setup: check-servers failed")
    assert not (machine.folder / "tree/build/fixtures").exists()


def test_usage(machine):
    run, calls = machine.setup("everything")
    assert (run.returncode, run.stderr, calls) == (1, "ci/setup: usage: ci/setup [build|report]\n", [])
