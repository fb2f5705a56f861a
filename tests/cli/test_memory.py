"""The command while memory runs out: it is run once for each allocation that fails, alone and with the nine
after it. Whatever fails, it ends by itself with a documented status, says why when it did not do what it was
asked for, leaves nothing behind, and what it did is right.

  WARPGATE_OOM_STEP=K  fails every K-th allocation instead of each walk's own choice
  WARPGATE_OOM_ONLY=N  fails only the N-th one
"""

import concurrent.futures
import contextlib
import itertools
import json
import os
import signal
import threading

import pytest

from conftest import TIMEOUT, Done, Warpgate, kill_at_exit

DATA = bytes(range(256)) * 64
BURSTS = (1, 10)
MISSING = "out of memory: an event is missing here"


class Run:
    """One run of the command with the allocations from `first` to `last` failing; 0: none."""

    def __init__(self, failing, folder, first, last, inside_openssl=False):
        self.failing = failing
        self.told = folder / f"{first}-{last}"
        self.env = {"WARPGATE_OOM_FAIL": f"{first}-{last}", "WARPGATE_OOM_TELL": str(self.told)}
        if inside_openssl:
            self.env["WARPGATE_OOM_OPENSSL"] = "1"
        self.done = None

    def start(self, *args):
        return self.failing.start(*args, env=self.env)

    def __call__(self, *args, input=b""):
        self.done = self.failing(*args, input=input, env=self.env)
        return self.done

    @property
    def hit(self):
        return self.numbers[1] == 1

    @property
    def numbers(self):
        """How many allocations there were, whether one failed, and how many blocks are left."""
        return [int(number) for number in self.told.read_text().split()]

    def check(self):
        """What is true of every run."""
        assert self.done.status in (0, 1, 2, 3), self.done.err
        assert self.numbers[2] == 0, self.done.err
        if not self.hit:
            return
        assert self.done.status != 2, self.done.err  # nobody typed anything wrong
        if self.done.status != 0:
            assert self.done.err, "it did not say why"


def check_events(done):
    """JSON from begin to end, which names the failure."""
    kinds = [(event["event"], event.get("message")) for event in done.events]
    if done.status != 0:
        assert any(kind == "error" or message == MISSING for kind, message in kinds), done.err


@pytest.fixture
def walk(request, tmp_path):
    """Runs `scenario(run)` for each failure that it can have."""
    program = request.config.getoption("--programs").resolve().parent / "tests/bin/warpgate_failing"

    def one(scenario, first, last, **options):
        home = tmp_path / f"home-{first}-{last}"
        home.mkdir()
        failing = Warpgate(program.parent, home)
        failing.program = program
        run = Run(failing, tmp_path, first, last, **options)
        try:
            scenario(run)
            run.check()
        except Exception as error:
            raise AssertionError(f"with allocations {first} to {last} failing: {error}") from error
        return run

    def walk(scenario, most, **options):
        whole = one(scenario, 0, 0, **options)
        count, hit, _ = whole.numbers
        assert count > 0 and not hit
        if only := int(os.environ.get("WARPGATE_OOM_ONLY", 0)):
            failures = [only]
        else:
            step = int(os.environ.get("WARPGATE_OOM_STEP", 0)) or -(-count // most)
            failures = range(1, count + 1, step)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            runs = [pool.submit(one, scenario, first, first + many - 1, **options)
                    for first, many in itertools.product(failures, BURSTS)]
            assert any(run.result().hit for run in runs)

    return walk


def test_address(walk):
    def scenario(run):
        done = run("address", "--loopback", "--data", run.failing.home)
        assert (done.status == 0) == (len(done.out) > 100)

    walk(scenario, 40)


def test_plugins(walk, tmp_path):
    folder = tmp_path / "plugins"
    folder.mkdir()

    def scenario(run):
        done = run("plugins", "--json", "--plugin-dir", folder)
        plugins = [json.loads(line)["plugin"] for line in done.out.splitlines()]
        if done.status == 0:
            assert {"direct_connect", "turn"} < set(plugins)
        check_events(done)

    walk(scenario, 40)


def test_check(walk, broker, names):
    def scenario(run):
        done = run("check", "--loopback", "--json", "--broker", broker.open, "--names", names)
        if done.out:  # whole, or not at all
            result = json.loads(done.out)
            assert list(result) == ["interfaces", "servers", "measuring", "router", "clock"]
            assert {len(row) for row in result["servers"]} == {5}
        assert done.status == 3 or (run.hit and done.status == 1)  # there is no STUN server
        check_events(done)

    walk(scenario, 40)


# ---- connect -------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(warpgate, *args):
    """A listener for many peers, which has no trouble of its own."""
    with warpgate.listening("--loopback", *args) as listener:
        # What it says of each must not fill the pipe.
        threading.Thread(target=listener.process.stderr.read, daemon=True).start()
        yield listener
        assert warpgate("connect", "--loopback", listener.address, input=DATA).out == DATA


def check_echo(run):
    """All of it, or a begin of it and why there is no more."""
    assert DATA.startswith(run.done.out)
    if run.done.status == 0:
        assert run.done.out == DATA
    else:
        assert run.hit and "out of memory" in run.done.err, run.done.err


def test_connect(walk, warpgate):
    with serving(warpgate) as listener:

        def scenario(run):
            run("connect", "--loopback", listener.address, input=DATA)
            check_echo(run)

        walk(scenario, 40)


def test_connect_by_name(walk, warpgate, names):
    with serving(warpgate, "alice", "--names", names):

        def scenario(run):
            done = run("connect", "--loopback", "--names", names, "--json", "alice", input=DATA)
            check_echo(run)
            check_events(done)

        walk(scenario, 40)


def test_name(walk, warpgate, names):
    with serving(warpgate, "alice", "--names", names) as listener:

        def scenario(run):
            done = run("name", "alice", "--loopback", "--names", names)
            assert done.status != 0 or done.out.decode().strip() == listener.address

        walk(scenario, 40)


# ---- listen --------------------------------------------------------------------------------------


def address_of(process, said):
    """What it says once it is up; None when it ends before."""
    for line in process.stderr:
        if line.startswith(b"warpgate: address "):
            return line.split()[2].decode()
        said.append(line)
    return None


def listen(run, warpgate, *args, ends=False):
    """One peer of a listener: what it got, or None when the listener did not come so far."""
    process = run.start("listen", "--loopback", *args)
    with kill_at_exit(process):
        said = []
        address = address_of(process, said)
        peer = None
        if address is not None:
            peer = warpgate("connect", "--loopback", "--timeout", "20", address, input=DATA)
            if not ends:
                process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=TIMEOUT)
    run.done = Done(process, out, b"".join(said) + err)
    return peer


def test_listen(walk, warpgate):
    def scenario(run):
        peer = listen(run, warpgate)
        if peer is not None:
            assert run.done.status == 0
            assert DATA.startswith(peer.out)
            assert peer.out == DATA or (run.hit and "out of memory" in run.done.err)
            assert peer.out == DATA or peer.status != 0, "a part was passed off as the whole"

    walk(scenario, 40)
