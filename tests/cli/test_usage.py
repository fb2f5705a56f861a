"""What is wrong with a command line, a configuration or an address: one line that says what to do."""

import json
import subprocess

import pytest

from conftest import Address

WHERE = ".config/warpgate/warpgate.conf"


@pytest.mark.parametrize(
    "args, said",
    [
        ([], "which command? listen, connect, address, name, check or plugins"),
        (["bogus"], "unknown command 'bogus'"),
        (["frobnicate"], "unknown command 'frobnicate'"),
        (["-v", "connect", "a"], "'-v' comes before the command: options follow it"),
        (["help", "bogus"], "unknown command 'bogus'"),
        (["connect"], "NAME or ADDRESS is missing"),
        (["name"], "NAME is missing"),
        (["connect", "a", "b"], "'b' is one argument too many"),
        (["address", "a"], "'a' is one argument too many"),
        (["connect", "--warp", "a"], "unknown option '--warp'"),
        (["connect", "-x", "a"], "unknown option '-x'"),
        (["connect", "a", "--port"], "--port needs N"),
        (["connect", "a", "--strict=1"], "'--strict=1' takes no value"),
        (["listen", "--timeout", "3"], "--timeout is not for listen"),
        (["connect", "a", "--exec", "true"], "--exec is not for connect"),
        (["name", "a", "--port", "2"], "--port is not for name"),
        (["listen", "--pipe", "--exec", "true"], "--pipe and --exec exclude each other"),
        (["listen", "--exec", ""], "--exec: takes a command"),
        (["listen", "--commands", "0"], "--commands: takes a number from 1 to"),
        (["listen", "--commands", "2"], "--commands needs --exec"),
        (["connect", "a", "--port", "65536"], "--port: a port is a number from 1 to 65535"),
        (["connect", "a", "--port", "12x"], "--port: a port is a number from 1 to 65535"),
        (["connect", "a", "--key", "../key"], "--key: a key's name has 1 to 63"),
        (["connect", "a", "--timeout", "0"], "--timeout: takes whole seconds from 1 to"),
        (["connect", "a", "--transport", "sctp"], "--transport: takes tcp, udp or any"),
        (["connect", "a", "--plugin", "teleport"], "--plugin: no plugin 'teleport': there are auto,"),
        (["connect", "a", "--plugin", "turn,teleport"], "no plugin 'turn,teleport'"),
        (["connect", "a", "--broker", "host"], "--broker: not a server: write it as host:port"),
        (["connect", "a", "--broker", "a:1,,b:2"], "--broker: not a server"),
        (["connect", "a", "--ntp", "2001:db8::1"], "--ntp: not a server: write it as host or host:port"),
        (["connect", "a", "--stun", "a:1,b:2,c:3,d:4,e:5"], "--stun: more than 4 servers"),
        (["connect", "a", "--turn", "host:3478"], "write it as user:password@host:port"),
        (["connect", "a", "--config", "/nonexistent/x"], "/nonexistent/x: No such file"),
        (["connect", "no_name"], "'no_name' is neither a name (as alice) nor an address"),
        (["listen", "no name"], "'no name' is no name"),
        (["name", "-name"], "unknown option '-n'"),
        (["name", "--", "-name"], "'-name' is no name"),
    ],
)
def test_usage_errors_are_one_line_and_status_2(warpgate, args, said):
    done = warpgate(*args)
    assert done.status == 2
    assert said in done.line
    assert done.out == b""


def test_a_password_is_never_repeated(warpgate):
    for option in ("--turn", "--broker"):
        done = warpgate("connect", "a", option, "user:secret@host")
        assert done.status == 2 and "secret" not in done.line


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["help"], ["listen", "--help"], ["connect", "-h"],
                                  ["address", "--help"], ["name", "--help"], ["check", "--help"],
                                  ["plugins", "--help"], ["help", "listen"]])
def test_help_has_examples(warpgate, args):
    done = warpgate(*args)
    assert done.status == 0 and done.err == ""
    assert "Examples:\n  " in done.out.decode()
    assert all(len(line) < 100 for line in done.out.decode().splitlines())


@pytest.mark.parametrize("args", [["--version"], ["connect", "--version"]])
def test_version(warpgate, args):
    done = warpgate(*args)
    assert done.status == 0
    assert done.out.startswith(b"warpgate 0.")


def test_json_says_errors_in_json(warpgate):
    done = warpgate("connect", "a", "--json", "--port", "x")
    event = json.loads(done.line)
    assert event == {"event": "error", "exit": 2,
                     "message": "--port: a port is a number from 1 to 65535"}
    assert json.loads(warpgate("connect", b"\xff\x1b[2J", "--json").line)["exit"] == 2


# ---- configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, said",
    [
        ("broker\n", "line 1: not a line 'name = value'"),
        ("# one\n\nbroker = a:1\nbrocker = b:2\n", "line 4: no setting 'brocker'"),
        ("turn = host:3478\n", "line 1: host:3478 has no user and password"),
        ("port = 70000\n", "line 1: a port is a number"),
        ("broker = " + "x" * 5000, "line 1: longer than"),
    ],
)
def test_a_bad_configuration_names_the_line(warpgate, text, said):
    warpgate.config(text)
    done = warpgate("connect", "a")
    assert done.status == 2
    assert said in done.line and WHERE in done.line


def test_a_bad_environment_names_the_variable(warpgate):
    done = warpgate("connect", "a", env={"WARPGATE_STUN": "host"})
    assert done.status == 2
    assert "WARPGATE_STUN: not a server: write it as host:port" in done.line


# ---- servers that are not configured -------------------------------------------------------------


@pytest.mark.parametrize("args", [["listen"], ["address"], ["listen", "a", "--names", "h:1"],
                                  ["connect", "a", "--names", "h:1"]])
def test_no_broker_is_status_3_and_says_which_file_to_write(warpgate, args):
    done = warpgate(*args)
    assert done.status == 3
    assert "no MQTT broker is configured" in done.line
    assert f"'broker = broker.example.net:1883' into {warpgate.home}/{WHERE}" in done.line


@pytest.mark.parametrize("args", [["listen", "a"], ["connect", "a"], ["connect", "a.p2p"], ["name", "a"]])
def test_no_name_server_is_status_3(warpgate, args):
    done = warpgate(*args, "--loopback")
    assert done.status == 3
    assert "no name server is configured: write the line 'names = " in done.line


def test_the_file_to_write_is_the_one_that_would_be_read(warpgate):
    done = warpgate("address", env={"XDG_CONFIG_HOME": "/conf"})
    assert "into /conf/warpgate/warpgate.conf" in done.line
    (warpgate.home / "mine.conf").write_text("")
    done = warpgate("address", "--config", "mine.conf")
    assert "into mine.conf" in done.line


def test_no_network(warpgate):
    alone = ["unshare", "--map-root-user", "--net"]
    done = subprocess.run([*alone, warpgate.program, "address", "--broker", "none"],
                          capture_output=True, text=True, env=warpgate.environment)
    assert done.returncode == 1
    assert "no network interface to use" in done.stderr.splitlines()[-1]


# ---- addresses -----------------------------------------------------------------------------------


@pytest.fixture
def address(warpgate):
    done = warpgate("address", "--loopback")
    assert done.status == 0, done.err
    return done.out.decode().strip()


def refuses(warpgate, address):
    done = warpgate("connect", "--loopback", address)
    assert done.status == 2
    assert done.out == b""
    return done.line


def test_a_truncated_address(warpgate, address):
    for cut in (1, 10, len(address) - 20, len(address) - 6):
        assert "damaged or cut off" in refuses(warpgate, address[:-cut])
    assert "damaged or cut off" in refuses(warpgate, address + "!")


def test_an_address_signed_by_another_key(warpgate, address):
    other = warpgate("address", "--loopback", "--key", "other").out.decode().strip()
    assert other != address
    forged = Address(address).signed_like(Address(other))
    assert "not signed by its key" in refuses(warpgate, forged)


def test_an_expired_address(warpgate):
    assert "has expired" in refuses(warpgate, Address.expired())


def test_an_address_of_another_version(warpgate, address):
    data = Address(address).bytes
    assert "another version" in refuses(warpgate, Address.text(data[:2] + b"\x02" + data[3:]))


def test_the_address_of_a_key_names_that_key(warpgate, address):
    again = warpgate("address", "--loopback").out.decode().strip()
    key = slice(8, 8 + 33)
    assert Address(again).bytes[key] == Address(address).bytes[key]
    done = warpgate("connect", "--loopback", "--key", "default", address)
    assert done.status == 2
    assert "is this node itself" in done.line
