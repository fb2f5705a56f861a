"""Pipes between two programs of this machine, without any server."""

import contextlib
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import TIMEOUT, Address, Running, kill_at_exit
from ports import reserve

MUCH = 6 << 20  # more than both queues and the system hold


def noise(size):
    """Every byte there is, and lines, and nothing that compresses away a mistake."""
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def connect(warpgate, listener, *args, **options):
    return warpgate("connect", "--loopback", *args, listener.address, **options)


@pytest.fixture
def echo(warpgate):
    with warpgate.listening("--loopback") as listener:
        yield listener


# ---- connect -------------------------------------------------------------------------------------


def test_what_goes_in_comes_back(warpgate, echo):
    done = connect(warpgate, echo, input=b"hello\0\xff\r\n")
    assert done.status == 0
    assert done.out == b"hello\0\xff\r\n"
    assert done.err == ""  # who is not asked says nothing


def test_nothing_goes_and_nothing_comes(warpgate, echo):
    done = connect(warpgate, echo)
    assert (done.status, done.out) == (0, b"")


def test_much_in_both_directions_at_once(warpgate, echo):
    data = noise(MUCH)
    done = connect(warpgate, echo, input=data)
    assert done.status == 0
    assert done.out == data


def test_from_file_to_file(warpgate, echo, tmp_path):
    data = noise(MUCH)
    (tmp_path / "in").write_bytes(data)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as sink:
        done = connect(warpgate, echo, input=None, stdin=source, stdout=sink)
    assert done.status == 0
    assert (tmp_path / "out").read_bytes() == data


def test_sockets_as_standard_input_and_output(warpgate, echo):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = warpgate.start("connect", "--loopback", echo.address, stdin=theirs, stdout=theirs)
        ours.sendall(b"ping")
        assert ours.recv(4) == b"ping"
        ours.shutdown(socket.SHUT_WR)
        assert process.wait(timeout=TIMEOUT) == 0
        process.stderr.close()


def test_nothing_at_standard_input(warpgate, echo):
    done = connect(warpgate, echo, input=None, stdin=subprocess.DEVNULL)
    assert done.status == 0
    closed = connect(warpgate, echo, input=None, stdin=None, preexec_fn=lambda: os.close(0))
    assert closed.status == 0


def test_several_at_once(warpgate, echo):
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(warpgate.running("connect", "--loopback", echo.address))
                   for _ in range(5)]
        for i, one in enumerate(started):
            one.process.stdin.write(b"%d" % i)
            one.process.stdin.flush()
        for i, one in enumerate(started):
            assert one.process.stdout.read(1) == b"%d" % i
        for one in started:
            assert one.end().status == 0


def test_events_say_how_it_went(warpgate, echo):
    began = time.monotonic()
    done = connect(warpgate, echo, "--json", input=b"x")
    whole_ms = (time.monotonic() - began) * 1000
    assert done.out == b"x"
    phases = [e["phase"] for e in done.events if e["event"] == "start"]
    assert phases[0] == "load_network_interfaces" and phases[-1] == "finalize_port_forwarding"
    connected = done.event("connected")
    assert connected["path"] == "direct" and connected["winner"] == "direct_connect"
    assert connected["transport"] == "tcp" and connected["kind"] == "stream"
    assert 0 < connected["ms"] < whole_ms and connected["family"] in (4, 6)
    (won,) = (row for row in connected["report"] if row["status"] == "WARP_OK")
    assert won["plugin"] == "direct_connect" and won["ms"] > 0
    theirs = echo.event("connected")
    assert theirs["local"] == connected["remote"] and theirs["remote"] == connected["local"]
    assert len(bytes.fromhex(connected["peer"])) == 33
    ended = echo.event("ended")
    assert ended["peer"] == theirs["peer"] and ended["status"] == "WARP_CLOSED"


def test_verbose_tells_the_story(warpgate, echo):
    done = connect(warpgate, echo, "-v", input=b"x")
    lines = done.err.splitlines()
    (first,) = (i for i, line in enumerate(lines) if line.split()[:1] == ["here:"])
    story = lines[first:]
    assert story[1].split()[0] == "there:"
    (won,) = (line for line in story if line.split()[0] == "won:")
    assert "direct_connect, TCP/IPv" in won and " ms: won, with " in won
    assert any(line.startswith("  ruled out: ") for line in story)
    assert len(story) <= 14
    assert "connected: direct over TCP" in done.err
    assert "build_node_address" in done.err
    assert not any("technique" in line for line in lines)


def test_verbose_twice_shows_a_table(warpgate, echo):
    done = connect(warpgate, echo, "-vv", input=b"x")
    lines = done.err.splitlines()
    (head,) = (line for line in lines if line.split()[:2] == ["technique", "way"])
    rows = lines[lines.index(head) + 1 :]
    assert any("direct_connect" in row and " won" in row for row in rows)


def test_events_explain_the_connect(warpgate, echo):
    done = connect(warpgate, echo, "--json", input=b"x")
    explained = done.event("explained")
    assert {row["attempt"] for row in explained["report"]} == {
        row["attempt"] for row in done.event("connected")["report"]
    }
    assert "not_direct" not in explained and explained["peer_report"] == []


def test_a_person_at_a_terminal(warpgate):
    """Lines go as they are typed; Ctrl-D is the end, and is asked for when the peer has ended."""
    person, terminal = pty.openpty()
    with warpgate.listening("--loopback", "--exec", "read line; echo got $line") as listener:
        process = warpgate.start("connect", "--loopback", listener.address, stdin=terminal)
        with kill_at_exit(process):
            os.close(terminal)
            os.write(person, b"hello\n")
            assert process.stdout.readline() == b"got hello\n"
            assert b"the other side has ended" in process.stderr.readline()
            os.write(person, b"\x04")
            assert process.wait(timeout=TIMEOUT) == 0
    os.close(person)


def test_progress_at_a_terminal(warpgate, echo):
    """A transfer that takes more than a second says how far it is, in one line."""
    person, terminal = pty.openpty()
    process = warpgate.start("connect", "--loopback", echo.address, stderr=terminal)
    os.close(terminal)
    seen = b""
    with kill_at_exit(process):
        process.stdin.write(noise(300_000))
        process.stdin.flush()
        assert len(process.stdout.read(300_000)) == 300_000
        while b"/s" not in seen:
            seen += os.read(person, 4096)
        process.stdin.close()
        with contextlib.suppress(OSError):  # the terminal's other end is closed
            while data := os.read(person, 4096):
                seen += data
        assert process.wait(timeout=TIMEOUT) == 0
    os.close(person)
    assert b"\r\x1b[K300.0 kB sent, 300.0 kB received, " in seen
    assert seen.endswith(b"/s\r\n"), "the last line stays"


def test_interrupt_is_130(warpgate, echo):
    for number in (signal.SIGINT, signal.SIGTERM):
        with warpgate.running("connect", "--loopback", echo.address) as one:
            one.event("connected")
            assert one.end(number).status == 128 + number
            assert echo.event("ended")["status"] == "WARP_RESET"


def test_interrupt_while_starting(warpgate, silent_udp):
    with warpgate.running("connect", "--loopback", "a", "--names", silent_udp) as one:
        one.event("start")
        assert one.end(signal.SIGINT).status == 130


def test_a_reader_that_goes_away_is_141(warpgate, echo):
    with warpgate.running("connect", "--loopback", echo.address) as one:
        one.event("connected")
        one.process.stdout.close()
        one.process.stdin.write(b"x")
        one.process.stdin.flush()
        assert one.process.wait(timeout=TIMEOUT) == 141


def test_a_full_disk_is_said(warpgate, echo):
    with open("/dev/full", "wb") as full:
        done = connect(warpgate, echo, input=b"x", stdout=full)
    assert done.status == 1
    assert "cannot write to standard output" in done.line


def test_input_that_cannot_be_read_is_said(warpgate, tmp_path):
    """It is no end of the input: the peer must not take what it has for the whole."""
    folder = os.open(tmp_path, os.O_RDONLY)
    with warpgate.listening("--loopback", "--pipe", stdin=subprocess.DEVNULL) as listener:
        done = connect(warpgate, listener, input=None, stdin=folder)
        assert done.status == 1
        assert "cannot read standard input" in done.line
        assert listener.end().status == 1
    os.close(folder)


def test_a_full_disk_at_the_other_end(warpgate):
    """Also the sender hears that not everything arrived."""
    with open("/dev/full", "wb") as full:
        with warpgate.listening("--loopback", "--pipe", stdin=subprocess.DEVNULL,
                                stdout=full) as listener:
            done = connect(warpgate, listener, input=b"x")
            assert done.status == 1
            assert "the connection broke" in done.line
            assert "cannot write to standard output" in listener.event("error")["message"]
            assert listener.end().status == 1


@pytest.mark.parametrize("who", ["sender", "receiver"])
def test_an_interrupted_transfer_is_a_failure_at_the_other_end(warpgate, who):
    """What came is not the whole, and whoever sent the rest must not take it for received."""
    with warpgate.listening("--loopback", "--pipe", stdin=subprocess.DEVNULL) as listener:
        with warpgate.running("connect", "--loopback", listener.address) as one:
            one.event("connected")
            one.process.stdin.write(b"the first half")
            one.process.stdin.flush()
            assert listener.process.stdout.read(14) == b"the first half"
            first, other = (one, listener) if who == "sender" else (listener, one)
            first.process.send_signal(signal.SIGTERM)  # and its input has not ended
            assert first.process.wait(timeout=TIMEOUT) == 128 + signal.SIGTERM
            assert "the connection broke" in other.event("error")["message"]
            assert other.end().status == 1


def test_descriptors_are_left_as_they_were(warpgate, echo):
    """Whoever shares our standard input and output goes on to use them."""
    reads, writes = os.pipe()
    back, forth = os.pipe()
    os.write(writes, b"x")
    os.close(writes)
    done = connect(warpgate, echo, input=None, stdin=reads, stdout=forth)
    assert done.status == 0
    assert os.get_blocking(reads) and os.get_blocking(forth)
    for fd in (reads, back, forth):
        os.close(fd)


# ---- what can go wrong ---------------------------------------------------------------------------


def test_nobody_there(warpgate):
    port = reserve()
    address = warpgate("address", "--loopback", "--port", port).out.decode().strip()
    done = warpgate("connect", "--loopback", "--plugin", "direct_connect", address)
    assert done.status == 1
    first, *attempts = done.err.splitlines()
    assert "could not connect to the address: every attempt failed" in first
    assert any("direct_connect (TCP/IPv4 interface): connection refused" in a for a in attempts)


def test_nobody_needs_a_relay_within_a_machine(warpgate):
    port = reserve()
    address = warpgate("address", "--loopback", "--port", port).out.decode().strip()
    done = warpgate("connect", "--loopback", "--port", port, address)  # it is the connect's own by now
    assert done.status == 1
    assert "TURN server" not in done.err


def test_what_needs_a_broker_says_so(warpgate, echo):
    done = connect(warpgate, echo, "--transport", "udp")
    assert done.status == 3
    assert "udp_punch (UDP/IPv4 interface): no broker to ask the peer through" in done.err
    assert "no MQTT broker is configured" in done.err.splitlines()[-1]


def test_failure_in_json_has_the_report(warpgate, echo):
    done = connect(warpgate, echo, "--transport", "udp", "--json")
    failed = done.event("failed")
    assert failed["status"] == "WARP_ALL_FAILED"
    assert {row["transport"] for row in failed["report"]} == {"udp"}
    assert [e["exit"] for e in done.events if e["event"] == "error"][-1] == done.status == 3


def test_a_peer_that_dies_is_a_failure(warpgate, echo):
    with warpgate.running("connect", "--loopback", echo.address) as one:
        one.event("connected")
        echo.process.kill()
        message = one.event("error")["message"]
        assert "the connection broke: connection reset" in message
        assert one.end().status == 1


def test_a_port_that_is_taken(warpgate):
    port = reserve()
    with socket.create_server(("127.0.0.1", port)):
        done = warpgate("listen", "--loopback", "--port", port)
    assert done.status == 1
    assert f"port {port} is in use: choose another with --port" in done.line


def test_a_key_that_cannot_be_read(warpgate, tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/default.key").write_text("this is no key")
    done = warpgate("address", "--loopback", "--data", tmp_path / "keys")
    assert done.status == 1
    assert 'the key "default" cannot be loaded' in done.line


def test_a_folder_that_cannot_be_made(warpgate, tmp_path):
    (tmp_path / "file").touch()
    done = warpgate("address", "--loopback", "--data", tmp_path / "file/keys")
    assert done.status == 1
    assert "there is no such folder, and it cannot be made" in done.line


# ---- listen --------------------------------------------------------------------------------------


def test_listen_says_its_address_and_ends_cleanly(warpgate):
    port = reserve()
    process = warpgate.start("listen", "--loopback", "--port", port)
    line = process.stderr.readline().decode()
    assert line.startswith("warpgate: address 51cB")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out, err) == (0, b"", b"")


def test_listen_says_when_its_address_changes(warpgate):
    ip = shutil.which("ip", path=os.environ["PATH"] + ":/usr/sbin:/sbin")

    def changed(*changes):
        return "".join(f"{ip} {change} && " for change in changes)

    first = changed("link add v0 type veth peer name v1", "link set v0 up", "link set v1 up",
                    "address add 192.0.2.2/24 dev v0", "route add default via 192.0.2.1")
    # Once there is a line on standard input, the interface has another address.
    then = changed("address del 192.0.2.2/24 dev v0", "address add 192.0.2.3/24 dev v0",
                   "route add default via 192.0.2.1")
    listen = f"{warpgate.program} listen --broker none --json --no-upnp & "
    process = subprocess.Popen(
        ["unshare", "--map-root-user", "--net", "sh", "-c",
         f"{first} {{ {listen} read line && {then} read line; kill $!; wait $!; }}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=warpgate.environment)
    with kill_at_exit(process):
        listener = Running(process)
        before = listener.event("ready")["address"]
        process.stdin.write(b"\n")
        process.stdin.flush()
        after = listener.event("address")["address"]
        process.stdin.write(b"\n")
        assert listener.end().status == 0
    here, there = (bytes([192, 0, 2, last]) for last in (2, 3))
    assert here in Address(before).bytes and there not in Address(before).bytes
    assert there in Address(after).bytes and here not in Address(after).bytes


def test_listen_tells_of_its_peers(warpgate):
    process = warpgate.start("listen", "--loopback")
    address = process.stderr.readline().decode().split()[-1]
    assert warpgate("connect", "--loopback", address, input=b"x").out == b"x"
    connected, ended = (process.stderr.readline().decode() for _ in range(2))
    assert " connected: direct over TCP/IPv" in connected
    name = connected.split()[1]
    assert name.startswith("n-") and ended == f"warpgate: {name} ended\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


def test_listen_pipe_is_for_the_first_peer(warpgate):
    with warpgate.listening("--loopback", "--pipe") as listener:
        with warpgate.running("connect", "--loopback", listener.address) as first:
            first.event("connected")
            listener.event("connected")
            second = connect(warpgate, listener)
            assert second.status == 1
            assert "refused by the peer's contact policy" in second.err
            listener.process.stdin.write(b"from the listener")
            listener.process.stdin.close()
            assert first.process.stdout.read() == b"from the listener"
            first.process.stdin.write(noise(MUCH))
            first.process.stdin.close()
            listener.process.stdin = first.process.stdin = None
            assert listener.process.stdout.read() == noise(MUCH)
            assert first.end().status == 0
            assert listener.end().status == 0


def feed_until_stuck(pipe, size):
    """Writes zeros until nothing more goes for a while; returns how many went."""
    os.set_blocking(pipe.fileno(), False)
    poll = select.poll()
    poll.register(pipe, select.POLLOUT)
    fed = 0
    while fed < size and poll.poll(500):
        fed += os.write(pipe.fileno(), bytes(min(65536, size - fed)))
    os.set_blocking(pipe.fileno(), True)
    return fed


def test_a_slow_reader_holds_the_peer_back(warpgate):
    """Nothing is lost, and nothing piles up where nobody reads."""
    size = 64 << 20
    with warpgate.listening("--loopback", "--pipe", stdin=subprocess.DEVNULL) as listener:
        with warpgate.running("connect", "--loopback", listener.address) as one:
            fed = feed_until_stuck(one.process.stdin, size)
            assert fed < size // 2
            rest = threading.Thread(target=lambda: one.process.communicate(bytes(size - fed)))
            rest.start()
            got = listener.process.stdout.read()
            rest.join()
            assert len(got) == size and not got.strip(b"\0")
            assert one.process.returncode == 0


def test_listen_exec_runs_a_command_for_each_peer(warpgate):
    command = 'read line; echo "$line to $WARPGATE_PEER by $WARPGATE_PATH"; cat'
    with warpgate.listening("--loopback", "--exec", command) as listener:
        for word in (b"one", b"two"):
            done = connect(warpgate, listener, input=word + b"\nrest")
            peer = listener.event("connected")["peer"]
            assert done.status == 0
            assert done.out == b"%s to %s by direct\nrest" % (word, peer.encode())


def test_listen_exec_runs_so_many_at_once(warpgate):
    """Also a command counts whose peer has gone, as long as it runs."""
    with warpgate.listening("--loopback", "--exec", "echo here; exec >&-; cat >/dev/null",
                            "--commands", "1") as listener:
        with warpgate.running("connect", "--loopback", listener.address) as one:
            assert one.process.stdout.readline() == b"here\n"
            done = connect(warpgate, listener)
            assert done.status != 0 and done.out == b""
            assert "refused" in done.err
            assert one.end().status == 0
        # The command is at its end now, and its place is free when it is over.
        assert any(connect(warpgate, listener).out == b"here\n" for _ in range(100))


def test_listen_exec_inherits_no_other_peer(warpgate):
    """A command that runs another listener: that one's commands have its peers, not the first one's."""
    stale = {"WARPGATE_PEER": "stale", "WARPGATE_PATH": "stale", "WARPGATE_REMOTE": "stale"}
    command = "env | grep -c ^WARPGATE_; env | grep -c stale; echo $WARPGATE_PEER"
    with warpgate.listening("--loopback", "--exec", command, env=stale) as listener:
        done = connect(warpgate, listener)
        peer = listener.event("connected")["peer"]
        assert done.out.split()[1:] == [b"0", peer.encode()]


def test_listen_exec_ends_with_the_command(warpgate):
    with warpgate.listening("--loopback", "--exec", "echo bye") as listener:
        with warpgate.running("connect", "--loopback", listener.address) as one:
            assert one.process.stdout.read() == b"bye\n"
            listener.event("ended")
            assert one.end().status == 0


def test_listen_exec_may_not_read(warpgate):
    """A command that never reads is no reason to break what it says."""
    with warpgate.listening("--loopback", "--exec", "exec <&-; seq 100000") as listener:
        done = connect(warpgate, listener, input=noise(MUCH))
        assert done.out.splitlines()[-1] == b"100000"


def test_listen_stop_ends_its_commands(warpgate):
    with warpgate.listening("--loopback", "--exec", "echo $$; exec cat >/dev/null") as listener:
        with warpgate.running("connect", "--loopback", listener.address) as one:
            pid = int(one.process.stdout.readline())
            descriptor = os.pidfd_open(pid)
            assert listener.end(signal.SIGINT).status == 0
            assert one.process.stdout.read() == b""
            signal_at_end(descriptor)


def test_listen_exec_ends_the_command_of_a_peer_that_breaks_off(warpgate):
    """Also one that neither reads nor writes, and so would not notice."""
    with warpgate.listening("--loopback", "--exec", "echo $$; exec sleep 1000") as listener:
        with warpgate.running("connect", "--loopback", listener.address) as one:
            descriptor = os.pidfd_open(int(one.process.stdout.readline()))
            one.process.send_signal(signal.SIGINT)
            assert one.process.wait(timeout=TIMEOUT) == 130
            assert listener.event("ended")["status"] == "WARP_RESET"
            signal_at_end(descriptor)


def signal_at_end(descriptor):
    """Waits until the process behind a pidfd is gone."""
    ready, _, _ = select.select([descriptor], [], [], TIMEOUT)
    os.close(descriptor)
    assert ready


def test_a_command_that_cannot_run(warpgate):
    with warpgate.listening("--loopback", "--exec", "/nonexistent/command") as listener:
        done = connect(warpgate, listener, input=b"x")
        assert done.status == 0 and done.out == b""
