"""Several brokers: what two nodes share is what they use, and the same message by two is one."""

import collections
import re

import pytest

# Neither can be dialled, so that nothing works without a broker.
PAIR = ["--a", "port-restricted", "--b", "port-restricted", "--no-relay"]
FIRST, SECOND, NOBODY = "203.0.113.10:1883", "198.51.100.10:1883", "203.0.113.10:1884"


def log_of(folder, side):
    (file,) = folder.glob(f"**/{side}.log")
    return file.read_text()


def lines(log, what):
    """How many of them there are of each broker."""
    return collections.Counter(re.findall(rf"broker (\S+): {what}$", log, re.M))


def connect(natsim, folder, brokers, *more):
    (trial,) = natsim.trials("run", *PAIR, "--brokers", brokers, "--pcap", "--out", folder, *more)
    return trial, log_of(folder, "a"), log_of(folder, "b")


@pytest.mark.parametrize("brokers", ["1,2/2", "2/1,2"])
def test_the_shared_one_is_used(natsim, tmp_path, brokers):
    trial, a, b = connect(natsim, tmp_path, brokers)
    assert trial["outcome"] == "connected" and trial["echo_ok"], trial
    both = a if brokers.startswith("1") else b
    assert set(lines(both, "subscribed")) == {FIRST, SECOND}
    for log in a, b:
        assert set(lines(log, "a message goes")) == {SECOND}
        assert set(lines(log, "a message came")) == {SECOND}


def test_the_first_one_is_dead(natsim, tmp_path):
    trial, a, b = connect(natsim, tmp_path, "0,2/2")
    assert trial["outcome"] == "connected" and trial["echo_ok"], trial
    assert lines(a, "connection refused: nothing listens there")[NOBODY] > 0
    assert set(lines(a, "subscribed")) == {SECOND}
    assert set(lines(a, "a message goes")) == {SECOND}


def test_each_message_by_both_counts_once(natsim, tmp_path):
    trial, a, b = connect(natsim, tmp_path, "1,2/2,1")
    assert trial["outcome"] == "connected" and trial["echo_ok"], trial
    for sender, receiver in (a, b), (b, a):
        sent = lines(sender, "a message goes")
        assert set(sent) == {FIRST, SECOND} and sent[FIRST] == sent[SECOND]
        came = sum(lines(receiver, "a message came").values())
        again = sum(lines(receiver, "a message came, and has come before").values())
        assert 0 < came <= sent[FIRST] and 0 < again <= came
    numbers = [row["attempt"] for row in trial["attempts"]["b"]]
    assert len(numbers) == len(set(numbers))


def test_without_a_shared_one_it_fails(natsim, tmp_path):
    """Or the tests above would show nothing."""
    trial, a, b = connect(natsim, tmp_path, "1/2", "--timeout", "10")
    assert trial["outcome"] == "failed"
    assert any("no broker to ask the peer through" in row["detail"] for row in trial["attempts"]["a"])
    assert not lines(a, "a message goes")


@pytest.mark.parametrize("brokers", ["", "1", "1/", "/1", "3/1", "1,/1", "1,1,1,1/1", "1/1/1", "1/1 "])
def test_what_is_no_list(natsim, brokers):
    done = natsim.run("run", *PAIR, "--brokers", brokers)
    assert done.returncode == 2
    assert "--brokers takes" in done.err
