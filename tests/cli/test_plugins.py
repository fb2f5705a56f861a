"""Plugins from outside, as somebody makes them who has warpgate installed: built out of tree against the
installed headers, loaded by the installed command, and used to connect."""

import json
import os
import re
import subprocess

import pytest
from conftest import ROOT, Warpgate


def run(*command, **options):
    done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def installed(request, tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", request.config.getoption("--programs").resolve().parent, "--prefix", prefix)
    return prefix


@pytest.fixture(scope="session")
def folder(installed, tmp_path_factory):
    """A folder with the example's plugin, which is built here."""
    (description,) = installed.rglob("warpgate.pc")
    build = tmp_path_factory.mktemp("build")
    environment = {**os.environ, "PKG_CONFIG_PATH": str(description.parent)}
    run("cmake", "-S", ROOT / "examples/plugin", "-B", build, env=environment)
    run("cmake", "--build", build)
    path = tmp_path_factory.mktemp("plugins")
    run("install", "-m", "644", build / "forwarded_port.so", path)
    return path


@pytest.fixture
def warpgate(installed, tmp_path):
    return Warpgate(installed / "bin", tmp_path)


# ---- what there is -------------------------------------------------------------------------------


def listed(done):
    return {line["plugin"]: line for line in map(json.loads, done.out.splitlines())}


def test_the_built_in_ones(warpgate):
    done = warpgate("plugins")
    assert done.status == 0 and done.err == ""
    assert re.search(r"^direct_connect +direct +tcp$", done.out.decode(), re.M)
    assert re.search(r"^ +random_probe\.rate=100 +\(1 to 100000\) guesses", done.out.decode(), re.M)
    plugins = listed(warpgate("plugins", "--json"))
    assert plugins["turn"]["phase"] == "relay" and plugins["turn"]["built_in"]
    assert plugins["get_addr"]["phase"] is None and plugins["get_addr"]["transports"] == []
    assert {s["name"] for s in plugins["random_probe"]["settings"]} >= {"rate", "sockets", "probes"}


def test_and_one_from_outside(warpgate, folder):
    done = warpgate("plugins", "--plugin-dir", folder)
    assert done.status == 0
    assert re.search(r"^forwarded_port +direct +tcp, from outside$", done.out.decode(), re.M)
    plugin = listed(warpgate("plugins", "--plugin-dir", folder, "--json"))["forwarded_port"]
    assert not plugin["built_in"]
    assert plugin["settings"][0]["name"] == "port"


def test_the_program_has_all_that_plugins_may_call(installed):
    headers = "".join(header.read_text() for header in installed.rglob("*.h"))
    headers = re.sub(r"/\*.*?\*/", "", headers, flags=re.S)
    declared = set(re.findall(r"^WARP_API\b[^;{]*?\b(warp_\w+)\(", headers, re.M))
    exported = {line.split()[-1] for line in run("nm", "-D", "--defined-only", installed / "bin/warpgate").splitlines()}
    assert len(declared) > 50
    assert declared <= exported


# ---- using it ------------------------------------------------------------------------------------


def test_it_connects(warpgate, folder):
    with warpgate.listening("--loopback", "--plugin-dir", folder) as listener:
        port = listener.events[-1]["port"]
        done = warpgate("connect", "--loopback", "--plugin-dir", folder, "--plugin", "forwarded_port", "--set",
                        f"forwarded_port.port={port}", "--json", listener.address, input=b"hello")
        assert done.status == 0 and done.out == b"hello"
        assert done.event("connected")["winner"] == "forwarded_port"
        assert listener.event("connected")["winner"] == "forwarded_port"


def test_it_is_one_of_the_race(warpgate, folder):
    with warpgate.listening("--loopback", "--plugin-dir", folder) as listener:
        done = warpgate("connect", "--loopback", "--plugin-dir", folder, "-v", listener.address, input=b"hello")
        assert done.status == 0 and done.out == b"hello"
        assert "forwarded_port" in done.err


def test_the_configuration_names_the_folder(warpgate, folder):
    warpgate.config(f"plugin-dir = {folder}\nset = forwarded_port.port=9\n")
    plugins = listed(warpgate("plugins", "--json"))
    assert "forwarded_port" in plugins
    with warpgate.listening("--loopback") as listener:
        done = warpgate("connect", "--loopback", "--plugin", "forwarded_port", listener.address)
        assert done.status == 1
        assert "forwarded_port" in done.err


def test_a_peer_without_it(warpgate, folder):
    with warpgate.listening("--loopback") as listener:
        port = listener.events[-1]["port"]
        done = warpgate("connect", "--loopback", "--plugin-dir", folder, "--plugin", "forwarded_port", "--set",
                        f"forwarded_port.port={port}", listener.address)
        assert done.status == 1
        assert "forwarded_port (TCP/IPv4 interface)" in done.err


PROGRAM = r"""
#include <stdio.h>
#include <warpgate/warpgate.h>

static warp_loop *loop;

static void on_event(void *arg, const warp_start_event *event) {
  (void)arg;
  if (event->phase == WARP_START_SETUP_TRAVERSAL_PLUGINS)
    printf("%s: %s\n", warp_err_name(event->status), event->detail);
}

static void on_start(void *arg, warp_node *node, int status) {
  (void)arg;
  if (status == WARP_OK)
    warp_node_close(node, NULL, NULL);
}

int main(int argc, char **argv) {
  warp_conf conf = warp_conf_test();
  warp_node *node;
  conf.key_name = "";
  conf.plugin_dir = argc > 1 ? argv[1] : NULL;
  conf.on_start_event = on_event;
  loop = warp_loop_new();
  if (warp_node_start(loop, &conf, on_start, NULL, &node) != WARP_OK)
    return 1;
  warp_loop_run(loop);
  return warp_loop_close(loop) == WARP_OK ? 0 : 1;
}
"""


def test_a_program_with_the_shared_library(installed, folder, tmp_path):
    (description,) = installed.rglob("warpgate.pc")
    (library,) = installed.rglob("libwarpgate.so")
    source = tmp_path / "program.c"
    source.write_text(PROGRAM)
    sanitized = "__asan_init" in run("nm", "-D", library)
    flags = run("pkg-config", "--cflags", "--libs", "warpgate",
                env={**os.environ, "PKG_CONFIG_PATH": str(description.parent)}).split()
    run("cc", "-o", tmp_path / "program", source, *flags, *["-fsanitize=address,undefined"] * sanitized)
    said = run(tmp_path / "program", folder, env={**os.environ, "LD_LIBRARY_PATH": str(library.parent)})
    assert re.fullmatch(r"WARP_OK: \d+ built-in plugins and 1 from outside\n", said)


# ---- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, said",
    [
        (["--set", "forwarded_port.door=1"], 'setting "forwarded_port.door=1": the plugin has no such setting'),
        (["--set", "forwarded_port.port=70000"], "not a number from 0 to 65535"),
        (["--set", "nothing.at=1"], "there is no such plugin"),
        (["--set", "rubbish"], "--set: takes PLUGIN.NAME=NUMBER"),
        (["--plugin", "forwarded_door"], "--plugin: one of 'forwarded_door' is no plugin"),
    ],
)
def test_what_there_is_not(warpgate, folder, options, said):
    with warpgate.listening("--loopback") as listener:
        done = warpgate("connect", "--loopback", "--plugin-dir", folder, *options, listener.address)
        assert done.status == 2
        assert said in done.line


def test_a_bad_file_is_named_and_the_rest_goes_on(warpgate, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir(mode=0o755)
    (bad / "broken.so").write_text("not an object")
    done = warpgate("plugins", "--plugin-dir", bad)
    assert done.status == 1
    assert "broken.so is left out" in done.line
    assert b"direct_connect" in done.out
    with warpgate.listening("--loopback") as listener:
        done = warpgate("connect", "--loopback", "--plugin-dir", bad, listener.address, input=b"hello")
        assert done.status == 0 and done.out == b"hello"
        assert "broken.so is left out" in done.err


def test_a_folder_that_others_may_write_to(warpgate, folder, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    run("install", "-m", "644", folder / "forwarded_port.so", shared)
    shared.chmod(0o777)
    done = warpgate("plugins", "--plugin-dir", shared)
    assert done.status == 1
    assert b"forwarded_port" not in done.out
    assert "shared" in done.line
