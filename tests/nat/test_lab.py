"""natsim lab and natsim lab exec, as a person at a terminal uses them."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

LIMIT_S = 300  # ends what hangs
PAIR = ["--a", "port-restricted", "--b", "symmetric"]
PLAIN = ["--without", "names,broker,stun,turn,ntp", "--rtt", "10"]


@contextlib.contextmanager
def laboratory(natsim, *args, end=signal.SIGINT, status=0):
    """A laboratory that stands, with what it has drawn."""
    name = f"test-{os.getpid()}" if "--name" not in args else args[args.index("--name") + 1]
    lab = natsim.start("lab", *PAIR, "--name", name, *args)
    lab.name, lab.text = name, ""
    try:
        while "Ctrl-C here" not in lab.text:
            line = lab.stdout.readline()
            assert line, lab.stderr.read()
            lab.text += line
        yield lab
        lab.send_signal(end)
        assert lab.wait(LIMIT_S) == status, lab.stderr.read()
    finally:
        if lab.poll() is None:
            lab.kill()
            lab.wait()
        lab.stdout.close()
        lab.stderr.close()


@pytest.fixture(scope="module")
def lab(natsim):
    with laboratory(natsim, *PLAIN) as standing:
        yield standing


@pytest.fixture
def inside(natsim, lab):
    """Runs a command in the laboratory."""

    def run(*args, **options):
        return subprocess.run([natsim.program, "lab", "exec", "--name", lab.name, *args],
                              capture_output=True, text=True, timeout=LIMIT_S, **options)

    return run


# ---- what is drawn -------------------------------------------------------------------------------


def test_the_picture_has_everybody_with_their_addresses(lab):
    for words in ("server  203.0.113.10", "router-a  203.0.113.101", "router-b  203.0.113.102",
                  "a  192.168.1.2", "b  192.168.2.2", "NAT map=ei filter=apd alloc=preserving\n",
                  "NAT map=apd filter=apd alloc=random\n", "10 ms round trip",
                  f"natsim lab exec --name {lab.name} a -- sh"):
        assert words in lab.text
    assert "stun" not in lab.text.split("In another terminal")[0]


def test_what_is_drawn_fits_the_terminal_s_characters(natsim):
    for locale, twig in (("C", "|-- server"), ("C.UTF-8", "├── server")):
        env = {**os.environ, "LC_ALL": locale}
        process = natsim.start("lab", *PAIR, *PLAIN, "--name", f"locale-{os.getpid()}", env=env)
        text = ""
        while "Ctrl-C here" not in text:
            text += process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
        assert twig in text


def test_the_servers_are_told(natsim):
    with laboratory(natsim, "--name", f"servers-{os.getpid()}", "--without", "names,ntp") as standing:
        assert "warpgate listen --broker 203.0.113.10:1883 --stun 203.0.113.10:3488," \
            "203.0.113.10:3478 --turn" in standing.text
        done = subprocess.run(
            [natsim.program, "lab", "exec", "--name", standing.name, "a", "--", "sh", "-c",
             "echo $NATSIM_STUN $WARPGATE_BROKERS"], capture_output=True, text=True,
            timeout=LIMIT_S)
        assert done.stdout == "203.0.113.10:3488,203.0.113.10:3478 203.0.113.10:1883\n"


# ---- exec ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host, ip", [("a", "192.168.1.2"), ("b", "192.168.2.2"),
                                      ("server", "203.0.113.10"), ("router-a", "203.0.113.101"),
                                      ("router-b", "203.0.113.102")])
def test_commands_run_where_they_should(inside, host, ip):
    done = inside(host, "--", "cat", "/proc/net/fib_trie")
    assert done.returncode == 0 and f"-- {ip}\n" in done.stdout


def test_input_output_folder_and_environment_are_the_caller_s(inside, tmp_path):
    done = inside("a", "--", "sh", "-c", "cat; pwd; echo $COLOUR; echo oops >&2", input="bytes\n",
                  cwd=tmp_path, env={**os.environ, "COLOUR": "blue"})
    assert done.stdout == f"bytes\n{tmp_path}\nblue\n"
    assert done.stderr == "oops\n"


def test_much_data_goes_through_whole(inside):
    data = "0123456789abcdef" * 65536
    assert inside("b", "--", "cat", input=data).stdout == data


def test_statuses_are_passed_back(inside):
    assert inside("a", "--", "true").returncode == 0
    assert inside("a", "--", "sh", "-c", "exit 42").returncode == 42
    assert inside("a", "--", "sh", "-c", "kill -TERM $$").returncode == 128 + signal.SIGTERM
    for args, status, words in [
        (["a", "--", "no-such-program"], 127, "program not found"),
        (["a", "--", "/etc/passwd"], 126, "Permission denied"),
        (["moon", "--", "true"], 2, "there is no host 'moon'"),
        (["a"], 2, "which command"),
        ([], 2, "on which host"),
    ]:
        done = inside(*args)
        assert done.returncode == status
        assert words in done.stderr and len(done.stderr.splitlines()) == 1


def start_inside(natsim, lab, *args, **options):
    return subprocess.Popen([natsim.program, "lab", "exec", "--name", lab.name, *args],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_are_passed_on(natsim, lab, number):
    name = number.name[3:]
    script = f"trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.02; done"
    process = start_inside(natsim, lab, "a", "--", "sh", "-c", script)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate(timeout=LIMIT_S)[0] == f"got {name}\n"
    assert process.returncode == 9


def test_a_killed_exec_takes_its_program_along(natsim, lab, inside):
    process = start_inside(natsim, lab, "a", "--", "sh", "-c", "echo $$; exec sleep 1000")
    pid = process.stdout.readline().strip()
    assert inside("a", "--", "kill", "-0", pid).returncode == 0
    process.kill()
    process.wait()
    end = time.monotonic() + LIMIT_S
    while inside("a", "--", "kill", "-0", pid).returncode == 0:
        assert time.monotonic() < end


def test_many_at_once(natsim, lab):
    waiting = [start_inside(natsim, lab, "ab"[i % 2], "--", "cat") for i in range(20)]
    for i, process in enumerate(waiting):
        assert process.communicate(f"{i}", timeout=LIMIT_S)[0] == f"{i}"
        assert process.returncode == 0


# ---- a terminal ----------------------------------------------------------------------------------


class Terminal:
    """natsim lab exec on a pseudo terminal of 33 lines and 77 columns."""

    def __init__(self, natsim, lab, *command):
        self.master, slave = pty.openpty()
        self.resize(33, 77)
        self.before = termios.tcgetattr(slave)
        self.slave = slave

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [natsim.program, "lab", "exec", "--name", lab.name, *command], stdin=slave,
            stdout=slave, stderr=slave, preexec_fn=own_terminal)
        self.text = ""

    def resize(self, lines, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def until(self, words):
        end = time.monotonic() + LIMIT_S
        while words not in self.text:
            ready = select.select([self.master], [], [], max(0, end - time.monotonic()))[0]
            assert ready, self.text
            self.text += os.read(self.master, 4096).decode()
        before, self.text = self.text.split(words, 1)
        return before

    def end(self):
        status = self.process.wait(LIMIT_S)
        assert termios.tcgetattr(self.slave) == self.before
        os.close(self.slave)
        os.close(self.master)
        return status


def test_a_shell_has_a_terminal_of_its_own(natsim, lab):
    terminal = Terminal(natsim, lab, "a", "--", "sh", "-i")
    terminal.type("stty size; tty; echo en''d1\n")
    text = terminal.until("end1")
    assert "33 77" in text and "/dev/pts/" in text
    assert "job control" not in text
    terminal.type("sh -c 'echo go\"\"ing; exec sleep 1000'\n")
    terminal.until("going")
    terminal.type("\x03")  # Ctrl-C ends the sleep, not the shell, not the laboratory
    terminal.type("echo status $?; echo en''d2\n")
    assert f"status {128 + signal.SIGINT}" in terminal.until("end2")
    terminal.type("exit 5\n")
    assert terminal.end() == 5


def test_a_terminal_that_changes_its_size_says_so(natsim, lab):
    script = "trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.02; done"
    terminal = Terminal(natsim, lab, "b", "--", "sh", "-c", script)
    terminal.until("ready")
    terminal.resize(44, 99)
    terminal.until("44 99")
    assert terminal.end() == 3


def test_what_a_program_writes_last_is_seen(natsim, lab):
    terminal = Terminal(natsim, lab, "a", "--", "sh", "-c", "seq 2000; echo the-end")
    terminal.until("the-end")
    assert terminal.end() == 0


# ---- several, and their ends ---------------------------------------------------------------------


def test_names_tell_laboratories_apart(natsim, lab, inside):
    again = natsim.run("lab", *PAIR, *PLAIN, "--name", lab.name)
    assert again.returncode == 3 and "runs already" in again.err
    with laboratory(natsim, *PLAIN, "--name", f"other-{os.getpid()}") as other:
        done = subprocess.run([natsim.program, "lab", "exec", "--name", other.name, "a", "--",
                               "cat", "/proc/net/arp"], capture_output=True, text=True,
                              timeout=LIMIT_S)
        assert done.returncode == 0
        mac = done.stdout.splitlines()[1].split()[3]
        assert mac in inside("a", "--", "cat", "/proc/net/arp").stdout  # the same seed
    missing = natsim.run("lab", "exec", "--name", other.name, "a", "--", "true")
    assert missing.returncode == 3 and lab.name in missing.err


def test_the_end_ends_who_is_inside(natsim):
    with laboratory(natsim, *PLAIN, "--name", f"end-{os.getpid()}") as standing:
        guest = start_inside(natsim, standing, "a", "--", "sh", "-c", "echo in; exec sleep 1000",
                             stderr=subprocess.PIPE)
        assert guest.stdout.readline() == "in\n"
    guest.communicate(timeout=LIMIT_S)
    assert guest.returncode == 128 + signal.SIGTERM


def processes_with(words):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if words in open(f"/proc/{pid}/environ", errors="replace").read():
                found.append(pid)
    return found


def test_nothing_survives_a_kill(natsim):
    mark = f"NATSIM_TEST_MARK={os.getpid()}"
    key, value = mark.split("=")
    env = {**os.environ, key: value}
    name = f"killed-{os.getpid()}"
    process = natsim.start("lab", *PAIR, "--without", "names,ntp", "--name", name, env=env)
    while "Ctrl-C here" not in process.stdout.readline():
        pass
    guest = subprocess.Popen(
        [natsim.program, "lab", "exec", "--name", name, "a", "--", "sh", "-c",
         "echo in; exec sleep 1000"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=env)
    assert guest.stdout.readline() == "in\n"
    process.kill()
    assert guest.wait(LIMIT_S) == 3
    assert "the laboratory has ended" in guest.stderr.read()
    process.communicate()
    end = time.monotonic() + LIMIT_S
    while processes_with(mark):
        assert time.monotonic() < end
    assert natsim.run("lab", "exec", "--name", name, "a", "--", "true").returncode == 3


def test_another_user_may_not_enter(natsim, lab):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    become = "import os, socket; os.setgid(65534); os.setuid(65534); "
    knock = (become + f"s = socket.socket(socket.AF_UNIX); s.connect('\\0natsim-lab/0/{lab.name}'); "
             "s.sendall(bytes(64)); print(s.recv(1))")
    done = subprocess.run(["/usr/bin/env", "python3", "-c", knock], capture_output=True, text=True,
                          timeout=LIMIT_S)
    assert done.stdout.strip() == "b''" or "ConnectionResetError" in done.stderr \
        or "BrokenPipeError" in done.stderr


# ---- usage and packets ---------------------------------------------------------------------------


@pytest.mark.parametrize("args, words", [
    (["lab"], "--a PROFILE and --b PROFILE are needed"),
    (["lab", "--a", "open", "--b", "open", "--trials", "2"], "unknown option '--trials'"),
    (["lab", "--a", "open", "--b", "open", "--name", "../x"], "--name takes letters"),
    (["lab", "--a", "open", "--b", "nat"], "unknown profile 'nat'"),
    (["lab", "exec", "--name", "a b", "a", "--", "true"], "no name of a laboratory"),
])
def test_usage_errors_are_one_line(natsim, args, words):
    done = natsim.run(*args)
    assert done.returncode == 2
    assert words in done.err and len(done.err.splitlines()) == 1


def test_help_has_examples(natsim):
    for args in (["lab", "--help"], ["lab", "exec", "--help"]):
        done = natsim.run(*args)
        assert done.returncode == 0 and "natsim lab exec a -- sh" in done.out


# Sends to a port of the server where nobody listens. Until the server's first packet, which the
# other one draws from it, the switch does not know where it is, and everybody gets what is for it.
LOOK_FOR_ME = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.connect(("203.0.113.10", 9999))
    s.send(b"anybody there")
    try:
        s.recv(1)
    except ConnectionRefusedError:
        s.send(b"look for me")
"""


def test_packets_of_all_hosts_are_written(natsim, tmp_path):
    with laboratory(natsim, *PLAIN, "--pcap", tmp_path / "packets",
                    "--name", f"pcap-{os.getpid()}") as standing:
        subprocess.run([natsim.program, "lab", "exec", "--name", standing.name, "a", "--",
                        "python3", "-c", LOOK_FOR_ME], check=True, timeout=LIMIT_S)
        seen = tmp_path / "packets/server.pcap"
        end = time.monotonic() + LIMIT_S
        while b"look for me" not in seen.read_bytes():  # while it still stands
            assert time.monotonic() < end
    for host, times in (("a", 1), ("router-a", 2), ("server", 1), ("router-b", 0)):
        packets = (tmp_path / f"packets/{host}.pcap").read_bytes()
        assert packets[:4] == struct.pack("=I", 0xA1B23C4D)
        found = packets.count(b"look for me")
        assert found >= times if times else found == 0
