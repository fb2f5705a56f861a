"""The command, run as a person or a script runs it, and the servers it may need, all on loopback."""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import threading

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
TIMEOUT = 300  # ends what hangs

sys.path.append(str(HERE.parent))
from ports import reserve  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--programs", default=ROOT / "build/bin", type=pathlib.Path)


# ---- the command ---------------------------------------------------------------------------------


class Done:
    """A command that has ended."""

    def __init__(self, process, out, err):
        self.status = process.returncode
        self.out = out
        self.err = err.decode()

    @property
    def line(self):
        """The one line it said."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]

    @property
    def events(self):
        return [json.loads(line) for line in self.err.splitlines()]

    def event(self, kind):
        (found,) = (e for e in self.events if e["event"] == kind)
        return found


class Running:
    """A command in the background, with --json: its events as they come."""

    def __init__(self, process):
        self.process = process
        self.events = []

    def event(self, kind):
        """The next event of this kind; what comes before it is kept in `events`."""
        for line in self.process.stderr:
            event = json.loads(line)
            self.events.append(event)
            if event["event"] == kind:
                return event
        raise AssertionError(f"ended without an event '{kind}': {self.events}")

    def end(self, signal=None):
        with contextlib.ExitStack() as held:
            if signal is not None:
                if self.process.stdin is not None:  # the signal ends it, not the end of its input
                    held.callback(os.close, os.dup(self.process.stdin.fileno()))
                self.process.send_signal(signal)
            out, err = self.process.communicate(timeout=TIMEOUT)
        return Done(self.process, out, err)


class Warpgate:
    def __init__(self, programs, home):
        self.program = programs.resolve() / "warpgate"
        self.home = home
        self.environment = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")},
        }

    def start(self, *args, env={}, **options):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        options = {**pipes, **options}
        return subprocess.Popen(
            [self.program, *map(str, args)],
            env={**self.environment, **env},
            cwd=self.home,
            **options,
        )

    def __call__(self, *args, input=b"", env={}, **options):
        """Runs it to its end."""
        process = self.start(*args, env=env, **options)
        with kill_at_exit(process):
            out, err = process.communicate(input, timeout=TIMEOUT)
        return Done(process, out, err)

    @contextlib.contextmanager
    def running(self, *args, **options):
        process = self.start(*args, "--json", **options)
        with kill_at_exit(process):
            yield Running(process)

    @contextlib.contextmanager
    def listening(self, *args, **options):
        """A listener that is up; its address and name are attributes."""
        with self.running("listen", *args, **options) as listener:
            ready = listener.event("ready")
            listener.address, listener.name = ready["address"], ready.get("name")
            yield listener

    def config(self, text):
        path = self.home / ".config/warpgate/warpgate.conf"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        return path


@contextlib.contextmanager
def kill_at_exit(process):
    """However a test ends, nothing of it goes on; what hangs is cut off, and so fails the test."""
    guard = threading.Timer(TIMEOUT, process.kill)
    guard.start()
    try:
        yield
    finally:
        guard.cancel()
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


@pytest.fixture
def warpgate(request, tmp_path):
    return Warpgate(request.config.getoption("--programs"), tmp_path)


# ---- addresses -----------------------------------------------------------------------------------


class Address:
    """The text of a signed record, and what one may do to it."""

    signature_len = 64

    def __init__(self, text):
        self.bytes = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    @staticmethod
    def text(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def signed_like(self, other):
        """With the signature that another key made, for its own record."""
        return self.text(self.bytes[: -self.signature_len] + other.bytes[-self.signature_len :])

    @classmethod
    def expired(cls):
        """A good record of the year 2023, made by another implementation."""
        lines = (ROOT / "tests/unit/identity/vectors.h").read_text().split("#define RECORD_A")[1]
        digits = "".join(part.split('"')[1] for part in lines.split("#define")[0].splitlines() if '"' in part)
        return cls.text(bytes.fromhex(digits))


# ---- servers -------------------------------------------------------------------------------------


def silent(kind):
    """Somebody listens here and never says a word."""
    with socket.socket(type=kind) as server:
        server.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def silent_tcp():
    yield from silent(socket.SOCK_STREAM)


@pytest.fixture
def silent_udp():
    yield from silent(socket.SOCK_DGRAM)


@pytest.fixture(scope="session")
def fixtures_folder(request):
    """Where ci/setup unpacked the servers that this machine lacks."""
    beside = request.config.getoption("--programs").resolve().parent
    folders = [os.environ.get("NATSIM_FIXTURES"), beside / "fixtures", ROOT / "build/fixtures"]
    return next((pathlib.Path(f) for f in folders if f and pathlib.Path(f, "usr").is_dir()), None)


@pytest.fixture(scope="session")
def start_server(fixtures_folder, tmp_path_factory):
    """Starts a server by name; `ready(process)` waits until it answers."""
    with contextlib.ExitStack() as stack:

        def start(name, *args, ready):
            path = os.environ["PATH"] + ":/usr/sbin"
            env = {**os.environ}
            if fixtures_folder is not None:
                path = f"{fixtures_folder}/usr/sbin:{fixtures_folder}/usr/bin:{path}"
                libraries = [str(f) for f in (fixtures_folder / "usr/lib").glob("*-linux-*")]
                env["LD_LIBRARY_PATH"] = ":".join(libraries)
            program = shutil.which(name, path=path)
            if program is None:
                pytest.fail(f"no {name} here: run ci/setup, which fetches it")
            process = subprocess.Popen([program, *map(str, args)], stdout=subprocess.PIPE, env=env,
                                       stderr=subprocess.STDOUT, cwd=tmp_path_factory.mktemp(name))
            stack.enter_context(kill_at_exit_of_session(process))
            ready(process)
            # Whatever it goes on to say must not fill the pipe.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return process

        yield start


@contextlib.contextmanager
def kill_at_exit_of_session(process):
    try:
        yield
    finally:
        process.kill()
        process.wait()


def says(text):
    """Waits for a line of its output."""

    def wait(process):
        for line in process.stdout:
            if text in line.decode():
                return
        raise AssertionError(f"{process.args[0]} ended without saying '{text}'")

    return wait


def answers_stun(port):
    """Asks until it answers (RFC 8489 section 6.2.1 repeats requests, too)."""

    def wait(process):
        request = struct.pack(">HHI12s", 1, 0, 0x2112A442, os.urandom(12))
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(0.05)
            for _ in range(200):
                client.sendto(request, ("127.0.0.1", port))
                with contextlib.suppress(TimeoutError):
                    if client.recv(2048)[8:20] == request[8:20]:
                        return
                assert process.poll() is None, process.stdout.read().decode()
        raise AssertionError("the STUN server does not answer")

    return wait


class Broker:
    """Two listeners of one broker: for everybody, and for users it does not have."""

    def __init__(self, start, folder):
        self.open, self.closed = (f"127.0.0.1:{reserve()}" for _ in range(2))
        conf = folder / "mosquitto.conf"
        conf.write_text(
            "per_listener_settings true\npersistence false\nlog_dest stderr\n"
            f"listener {self.open.split(':')[1]} 127.0.0.1\nallow_anonymous true\n"
            "set_tcp_nodelay true\n"
            f"listener {self.closed.split(':')[1]} 127.0.0.1\nallow_anonymous false\n"
        )
        start("mosquitto", "-c", conf, ready=says("running"))


@pytest.fixture(scope="session")
def broker(start_server, tmp_path_factory):
    return Broker(start_server, tmp_path_factory.mktemp("broker"))


class Turn:
    """STUN and TURN; `with_password` is how to write it."""

    def __init__(self, start, folder):
        port = reserve()
        self.stun = f"127.0.0.1:{port}"
        conf = folder / "turnserver.conf"
        conf.write_text(
            f"listening-ip=127.0.0.1\nrelay-ip=127.0.0.1\nlistening-port={port}\n"
            "lt-cred-mech\nuser=natsim:laboratory\nrealm=lab.test\nno-tls\nno-dtls\nno-cli\n"
            f"allow-loopback-peers\nlog-file=stdout\npidfile={folder}/pid\nuserdb={folder}/db\n"
        )
        start("turnserver", "-c", conf, ready=answers_stun(port))

    def with_password(self, password):
        return f"natsim:{password}@{self.stun}"


@pytest.fixture(scope="session")
def turn(start_server, tmp_path_factory):
    return Turn(start_server, tmp_path_factory.mktemp("turn"))


@pytest.fixture
def names(request, tmp_path):
    """A fresh name server of our own."""
    program = request.config.getoption("--programs").resolve() / "warpgate-names"
    process = subprocess.Popen([program, "--listen", "127.0.0.1:0", "--store", tmp_path / "names.db"],
                               stdout=subprocess.PIPE, text=True)
    with kill_at_exit(process):
        yield process.stdout.readline().split()[1]
