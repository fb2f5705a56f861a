"""With servers: names, a broker, a relay; and what is said when they are not what they should be."""

import json
import signal
import subprocess
import threading

import pytest

from conftest import TIMEOUT
from ports import nobody


# ---- names ---------------------------------------------------------------------------------------


def test_a_name_leads_to_its_owner(warpgate, names):
    with warpgate.listening("Alice.p2p", "--loopback", "--names", names) as alice:
        assert alice.name == "alice.p2p"
        for name in ("alice", "ALICE", "alice.p2p"):
            done = warpgate("connect", name, "--loopback", "--names", names, input=b"hello")
            assert (done.status, done.out) == (0, b"hello")
        found = warpgate("name", "alice", "--loopback", "--names", names)
        assert found.status == 0
        assert found.out.decode().strip() == alice.address
        done = warpgate("connect", "--loopback", found.out.decode().strip(), input=b"hello")
        assert done.out == b"hello"
        timed = warpgate("connect", "alice", "--loopback", "--names", names, "--json")
        assert timed.event("connected")["lookup_ms"] > 0


def test_without_a_name_it_is_that_of_the_key(warpgate, names):
    with warpgate.listening("--loopback", "--names", names) as listener:
        assert listener.name.startswith("n-") and listener.name.endswith(".p2p")
        done = warpgate("connect", listener.name, "--loopback", "--names", names, input=b"x")
        assert done.out == b"x"


def test_nobody_has_the_name(warpgate, names):
    for args in (["name", "bob"], ["connect", "bob"]):
        done = warpgate(*args, "--loopback", "--names", names)
        assert done.status == 1
        assert "nobody is registered as bob" in done.line


def test_a_name_that_another_key_has(warpgate, names):
    with warpgate.listening("alice", "--loopback", "--names", names):
        done = warpgate("listen", "alice", "--key", "mallory", "--loopback", "--names", names)
    assert done.status == 1
    assert "the name alice belongs to another key" in done.line


@pytest.mark.parametrize("args", [["name", "a"], ["connect", "a"], ["listen", "a"]])
def test_no_name_server_answers(warpgate, silent_udp, args):
    done = warpgate(*args, "--loopback", "--names", silent_udp)
    assert done.status == 3
    assert f"name server {silent_udp}: " in done.line


def test_listen_without_a_name_lives_without_names(warpgate, silent_udp):
    with warpgate.listening("--loopback", "--names", silent_udp) as listener:
        assert listener.name is None
        assert any("no name server answers" in e.get("message", "") for e in listener.events)


# ---- brokers -------------------------------------------------------------------------------------


def test_signals_go_through_the_broker(warpgate, broker):
    with warpgate.listening("--loopback", "--broker", broker.open) as listener:
        done = warpgate("connect", "--loopback", "--broker", broker.open, "--transport", "udp",
                        "--json", listener.address, input=b"by message")
        assert (done.status, done.out) == (0, b"by message")
        connected = done.event("connected")
        assert (connected["winner"], connected["kind"]) == ("udp_punch", "messages")


def test_all_of_it_arrives_over_messages(warpgate, broker):
    """More than any queue holds, each direction with an end of its own."""
    data = bytes(range(251)) * 40000
    with warpgate.listening("--loopback", "--broker", broker.open, "--pipe") as listener:
        with warpgate.running("connect", "--loopback", "--broker", broker.open, "--plugin",
                              "udp_punch", listener.address) as one:
            sender = threading.Thread(target=lambda: (one.process.stdin.write(data),
                                                      one.process.stdin.close()))
            sender.start()
            assert listener.process.stdout.read() == data
            sender.join()
            listener.process.stdin.write(b"got it")
            listener.process.stdin.close()
            assert one.process.stdout.read() == b"got it"
            one.process.stdin = listener.process.stdin = None
            assert one.end().status == 0
            assert listener.end().status == 0


@pytest.mark.parametrize("who", ["sender", "receiver"])
def test_an_interrupted_transfer_over_messages(warpgate, broker, who):
    """The other end is told at once, instead of waiting until nothing has come for long."""
    with warpgate.listening("--loopback", "--broker", broker.open, "--pipe",
                            stdin=subprocess.DEVNULL) as listener:
        with warpgate.running("connect", "--loopback", "--broker", broker.open, "--plugin",
                              "udp_punch", listener.address) as one:
            one.event("connected")
            one.process.stdin.write(b"the first half")
            one.process.stdin.flush()
            assert listener.process.stdout.read(14) == b"the first half"
            first, other = (one, listener) if who == "sender" else (listener, one)
            first.process.send_signal(signal.SIGTERM)
            assert first.process.wait(timeout=TIMEOUT) == 128 + signal.SIGTERM
            assert "the connection broke" in other.event("error")["message"]
            assert other.end().status == 1


def test_reverse_connect(warpgate, broker):
    with warpgate.listening("--loopback", "--broker", broker.open) as listener:
        done = warpgate("connect", "--loopback", "--broker", broker.open, "--plugin",
                        "reverse_connect", listener.address, input=b"x")
        assert (done.status, done.out) == (0, b"x")


@pytest.mark.parametrize("args", [["listen"], ["address"]])
def test_a_broker_that_refuses_us(warpgate, broker, args):
    done = warpgate(*args, "--loopback", "--broker", "user:wrong@" + broker.closed)
    assert done.status == 3
    assert f"MQTT broker {broker.closed}: the server refused the credentials" in done.line
    assert "wrong" not in done.line


@pytest.mark.parametrize("args", [["listen"], ["address"]])
def test_a_broker_that_is_not_there(warpgate, args):
    server = nobody()
    done = warpgate(*args, "--loopback", "--broker", server)
    assert done.status == 3
    assert f"MQTT broker {server}: connection refused" in done.line


def test_a_broker_that_says_nothing(warpgate, silent_tcp):
    done = warpgate("address", "--loopback", "--broker", silent_tcp)
    assert done.status == 3
    assert f"MQTT broker {silent_tcp}: timed out" in done.line


def test_connect_lives_without_its_broker_where_it_can(warpgate, broker):
    refusing = "user:wrong@" + broker.closed
    with warpgate.listening("--loopback") as listener:
        done = warpgate("connect", "--loopback", "--broker", refusing, listener.address, input=b"x")
        assert (done.status, done.out) == (0, b"x")
        done = warpgate("connect", "--loopback", "--broker", refusing, "--transport", "udp",
                        listener.address)
        assert done.status == 3
        assert "the server refused the credentials" in done.err.splitlines()[-1]


# ---- the relay -----------------------------------------------------------------------------------


@pytest.fixture
def relayed(warpgate, broker, turn):
    """A listener with a broker and STUN, and the arguments to reach it by relay."""
    shared = ["--loopback", "--broker", broker.open, "--stun", turn.stun]
    with warpgate.listening(*shared) as listener:
        yield [*shared, "--plugin", "turn", listener.address]


def test_the_relay_connects(warpgate, turn, relayed):
    done = warpgate("connect", "--turn", turn.with_password("laboratory"), "--json", *relayed,
                    input=b"x")
    assert (done.status, done.out) == (0, b"x")
    assert done.event("connected")["path"] == "relay"


def test_no_turn_server(warpgate, relayed):
    done = warpgate("connect", *relayed)
    assert done.status == 3
    assert "turn (UDP/IPv4 external): no relay" in done.err
    assert "no TURN server is configured: write the line 'turn = " in done.err.splitlines()[-1]


def test_a_turn_server_that_refuses_us(warpgate, turn, relayed):
    done = warpgate("connect", "--turn", turn.with_password("wrong"), *relayed)
    assert done.status == 3
    last = done.err.splitlines()[-1]
    assert f"TURN server {turn.stun}: the server refused the credentials" in last
    assert "wrong" not in done.err


def test_no_relay_is_wanted(warpgate, turn, relayed):
    done = warpgate("connect", "--no-relay", "--turn", turn.with_password("laboratory"), *relayed)
    assert done.status == 1
    assert "every attempt failed" in done.err


def test_a_stun_server_that_says_nothing(warpgate, silent_udp):
    with warpgate.listening("--loopback", "--stun", silent_udp) as listener:
        (step,) = (e for e in listener.events if e.get("phase") == "load_p2p_stun_clients")
        assert step["status"] == "WARP_TIMEOUT"
        assert listener.end(signal.SIGINT).status == 0


# ---- where settings come from --------------------------------------------------------------------


def asked_for(done):
    """The one server that an attempt to start names."""
    return json.loads(done.err.splitlines()[-1])["message"].split()[2].rstrip(":")


def test_flags_are_stronger_than_environment_and_file(warpgate):
    file, environment, flag = nobody(), nobody(), nobody()
    warpgate.config(f"# ours\nbroker = {file}  # of the house\nkey = mine\ndata = {warpgate.home}/keys\n")
    args = ["address", "--loopback", "--json"]
    assert asked_for(warpgate(*args)) == file
    assert (warpgate.home / "keys/mine.key").exists()
    env = {"WARPGATE_BROKERS": environment}
    assert asked_for(warpgate(*args, env=env)) == environment
    assert asked_for(warpgate(*args, "--broker", flag, env=env)) == flag
    assert warpgate(*args, "--broker", "none", env=env).status == 0
    data = {"WARPGATE_DATA": str(warpgate.home / "elsewhere")}
    warpgate(*args, "--broker", "none", env=data)
    assert (warpgate.home / "elsewhere/mine.key").exists()


def test_several_servers_of_a_kind(warpgate, broker):
    """One broker that is up is enough, wherever it stands in the list."""
    both = f"{nobody()},{broker.open}"
    assert warpgate("address", "--loopback", "--broker", both).status == 0
    args = ["--broker", nobody(), "--broker", broker.open]
    assert warpgate("address", "--loopback", *args).status == 0
