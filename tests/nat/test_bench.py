"""natsim bench, links by netem, and machines that have no room: what is said, and the status."""

import os
import resource
import subprocess

import pytest


def one_line(text):
    lines = text.splitlines()
    assert len(lines) == 1, text
    return lines[0]


def has_netem():
    """The kernel's own answer, through the tool that netem comes with."""
    done = subprocess.run(
        ["unshare", "-Urn", "tc", "qdisc", "add", "dev", "lo", "root", "netem"],
        capture_output=True,
        env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
    )
    return done.returncode == 0


@pytest.mark.parametrize(
    "args, line",
    [
        ([], "which? labs or link"),
        (["speed"], "unexpected argument 'speed'"),
        (["labs", "--labs", "0"], "--labs takes a whole number from 1"),
        (["labs", "--a", "half-cone"], "unknown profile 'half-cone'"),
        (["link", "--link", "wire"], "--link takes builtin or netem"),
        (["link", "--rtt", "5"], "unknown option '--rtt'"),
    ],
)
def test_usage(natsim, args, line):
    done = natsim.run("bench", *args)
    assert done.returncode == 2
    assert line in one_line(done.err)


def test_help_has_examples(natsim):
    done = natsim.run("bench", "--help")
    assert done.returncode == 0 and "Examples:" in done.out and "--labs N" in done.out


def test_labs_are_ready_when_they_are_built(natsim):
    """Its times are for a quiet machine (ci/full): here only the packets must pass."""
    done = natsim.run("bench", "labs", "--labs", 20)
    assert done.returncode in (0, 1), done.err
    assert done.err == ""
    assert "all 80 came and went, nothing lost" in done.out
    assert ("missed" in done.out) == (done.returncode == 1)


def test_many_descriptors_are_named(natsim):
    limits = (1500, 1500)
    done = natsim.run("bench", "labs", "--labs", 100,
                      preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits))
    assert done.returncode == 3
    assert "open files" in one_line(done.err) and "--labs" in done.err
    assert done.out == ""


def few_namespaces(natsim, limit, *args):
    """In a user namespace whose own limit is low."""
    script = f"echo {limit} >/proc/sys/user/max_net_namespaces && exec \"$0\" \"$@\""
    command = ["unshare", "-Ur", "sh", "-c", script, natsim.program, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_limit_of_namespaces_is_named(natsim):
    done = few_namespaces(natsim, 20, "bench", "labs", "--labs", 10)
    assert done.returncode == 3
    assert "user.max_net_namespaces" in one_line(done.stderr)


def test_a_prober_without_room_measures_nothing(natsim):
    """What no socket could send must not pass for what a NAT drops."""
    limits = (100, 100)
    done = natsim.run("verify", "full-cone",
                      preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits))
    assert done.returncode == 3 and done.out == ""
    assert "open files" in one_line(done.err)
    done = few_namespaces(natsim, 10, "verify", "--jobs", 4)
    assert done.returncode == 3 and done.stdout == ""
    assert "user.max_net_namespaces" in one_line(done.stderr) and "--jobs" in done.stderr


def test_jobs_that_find_no_namespace_end_the_run_in_one_line(natsim):
    args = ["matrix", "--profiles", "open,full-cone", *natsim.fake_options, "--jobs"]
    done = few_namespaces(natsim, 30, *args, 4)
    assert done.returncode == 3
    assert "user.max_net_namespaces" in one_line(done.stderr) and "--jobs" in done.stderr


@pytest.mark.skipif(has_netem(), reason="this kernel has netem")
@pytest.mark.parametrize("command", [["run", "--a", "open", "--b", "open"], ["bench", "link"]])
def test_a_kernel_without_netem_is_named(natsim, command):
    options = natsim.fake_options if command[0] == "run" else []
    done = natsim.run(*command, *options, "--link", "netem")
    assert done.returncode == 3
    assert "sch_netem" in one_line(done.err)


def test_a_bridge_stands_for_the_switch(natsim):
    """With nothing to be delayed or lost, links by netem need no netem."""
    args = ["--a", "full-cone", "--b", "restricted", "--rtt", 0, "--link", "netem"]
    records = natsim.trials("run", *args, *natsim.fake_options)
    assert [r["outcome"] for r in records] == ["connected"], records
