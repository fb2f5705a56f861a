"""What `cmake --install` leaves: a program built outside of the tree with pkg-config and with
find_package, against the shared and the static library, runs; and the rest lies where it is looked
for."""

import os
import pathlib
import shutil
import subprocess

import pytest
from conftest import ROOT, run

EXAMPLE = ROOT / "examples/two_nodes.c"
CONSUMER = pathlib.Path(__file__).parent / "consumer"
SAID = "bob got back: hello alice\n"


def library_folder(prefix):
    (shared,) = prefix.rglob("libwarpgate.so")
    return shared.parent


def needs(program):
    """Whether the program is linked with the shared library."""
    return "libwarpgate.so.0" in run("readelf", "-d", program)


# ---- programs ------------------------------------------------------------------------------------


def test_pkg_config_shared(prefix, pkg_config, compiler, tmp_path):
    cc, flags = compiler
    program = tmp_path / "program"
    words = pkg_config("--cflags", "--libs")
    assert not any(word in words for word in ("-luv", "-lssl")), "these are the library's own business"
    run(cc, *flags, EXAMPLE, *words, "-o", program)
    assert needs(program)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library_folder(prefix))}
    assert run(program, env=environment) == SAID


def test_pkg_config_static(pkg_config, compiler, tmp_path):
    cc, flags = compiler
    program = tmp_path / "program"
    words = pkg_config("--static", "--cflags", "--libs")
    words = ["-l:libwarpgate.a" if word == "-lwarpgate" else word for word in words]
    run(cc, *flags, EXAMPLE, *words, "-o", program)
    assert not needs(program)
    assert run(program) == SAID


def test_find_package(prefix, compiler, tmp_path):
    cc, flags = compiler
    run("cmake", "-S", CONSUMER, "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}", f"-DEXAMPLE={EXAMPLE}",
        f"-DCMAKE_C_COMPILER={cc}", f"-DCMAKE_C_FLAGS={' '.join(flags)}")
    run("cmake", "--build", tmp_path)
    for kind in ("warpgate", "warpgate_static"):
        program = tmp_path / f"with_{kind}"
        assert needs(program) == (kind == "warpgate")
        assert run(program) == SAID


def test_another_minor_version_is_not_taken(prefix, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(p LANGUAGES NONE)\nfind_package(warpgate 0.0 REQUIRED)\n")
    done = subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={prefix}"],
                          capture_output=True, text=True)
    assert done.returncode != 0 and "version: 0." in done.stderr


# ---- the rest ------------------------------------------------------------------------------------


def test_what_is_installed(prefix):
    headers = {file.name for file in prefix.rglob("*.h")}
    assert headers == {"warpgate.h", "plugin.h"}
    assert (prefix / "bin/warpgate").exists() and (prefix / "sbin/warpgate-names").exists()
    assert not list(prefix.rglob("warpgate-endpoint")), "it takes a seed"
    pages = {file.name for file in (prefix / "share/man").rglob("*.*")}
    assert {"warpgate.1", "warpgate-names.8"} <= pages


def test_installed_programs_run_without_their_build(prefix):
    for program in ("bin/warpgate", "sbin/warpgate-names"):
        assert run(prefix / program, "--help", env={"PATH": ""})


def test_installed_natsim(prefix):
    natsim = prefix / "bin/natsim"
    if not natsim.exists():
        pytest.skip("built without the laboratory")
    assert "port-restricted" in run(natsim, "profiles")
    assert "usage" in run(natsim, "report", "--help").lower()


def test_installed_natsim_finds_its_servers(request, prefix):
    natsim = prefix / "bin/natsim"
    if not natsim.exists():
        pytest.skip("built without the laboratory")
    build = request.config.getoption("--build").resolve()
    environment = {**os.environ}
    if (build / "fixtures/usr").is_dir():
        environment.setdefault("NATSIM_FIXTURES", str(build / "fixtures"))
    said = run(natsim, "run", "--a", "open", "--b", "open", "--endpoint", build / "bin/plain-punch", env=environment)
    assert "direct" in said
    missing = subprocess.run([natsim, "run", "--a", "open", "--b", "open"], capture_output=True, text=True,
                             env=environment)
    assert missing.returncode == 3 and "--endpoint CMD" in missing.stderr


# ---- completion ----------------------------------------------------------------------------------


def options_of(warpgate, *command):
    words = run(warpgate, *command, "--help").replace(",", " ").split("\n")
    return {word for line in words if line.startswith("  -") for word in line.split()[:2] if word.startswith("--")}


def complete_in_bash(prefix, *words):
    script = prefix / "share/bash-completion/completions/warpgate"
    array = " ".join(f"'{word}'" for word in words)
    return run("bash", "-c", f". '{script}'; COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; _warpgate; "
               'printf "%s\\n" "${COMPREPLY[@]}"').split()


def test_bash_completes_what_help_lists(prefix):
    warpgate = prefix / "bin/warpgate"
    commands = complete_in_bash(prefix, warpgate, "")
    assert {"listen", "connect", "address", "name", "check", "--help"} <= set(commands)
    for command in commands:
        if command.startswith("-"):
            continue
        options = options_of(warpgate, command)
        assert len(options) > 8
        assert set(complete_in_bash(prefix, warpgate, command, "-")) == options
    assert complete_in_bash(prefix, warpgate, "connect", "--no-r") == ["--no-relay"]
    assert complete_in_bash(prefix, warpgate, "connect", "--transport", "") == ["tcp", "udp", "any"]
    assert complete_in_bash(prefix, warpgate, "con") == ["connect"]


@pytest.mark.parametrize("shell, file", [("zsh", "zsh/site-functions/_warpgate"),
                                         ("fish", "fish/vendor_completions.d/warpgate.fish")])
def test_other_shells_read_their_file(prefix, shell, file):
    script = prefix / "share" / file
    assert script.exists()
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    run(shell, "-n", script)
