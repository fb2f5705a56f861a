"""Files from one site of natsim to another, every byte of them: over TCP, UDP and the relay, on good
and on bad lines, one way and both ways."""

import pytest

from transfers import Lab, digest_of, noise

GOOD = ("--rtt", "10", "--without", "names,ntp")
BAD = (*GOOD, "--loss", "5")


@pytest.fixture(scope="module", params=[GOOD, BAD], ids=["good", "bad"])
def line(request, fixtures_folder, tmp_path_factory):
    """A laboratory, and how much of each file to take there."""
    programs = request.config.getoption("--programs").resolve()
    lab = Lab(programs, tmp_path_factory.mktemp("lab"), fixtures_folder)
    with lab.standing(*request.param):
        yield lab, 1 if request.param == GOOD else 0.05


@pytest.mark.parametrize("plugin, size, path", [
    ("tcp_punch", 8 << 20, "direct"), ("udp_punch", 8 << 20, "direct"), ("turn", 4 << 20, "relay")])
def test_a_file_arrives(line, tmp_path, plugin, size, path):
    lab, share = line
    digest = noise(tmp_path / "in", int(size * share))
    done = lab.transfer(plugin, tmp_path / "in", tmp_path / "out")
    assert (done.winner, done.path) == (plugin, path)
    assert digest_of(tmp_path / "out") == digest


@pytest.mark.parametrize("plugin", ["tcp_punch", "udp_punch", "turn"])
def test_a_command_answers_after_the_end_of_its_input(line, tmp_path, plugin):
    lab, share = line
    size = int((2 << 20) * share)
    noise(tmp_path / "in", size)
    data = (tmp_path / "in").read_bytes()
    command = "cat && printf '\\0\\377%s' end"
    lab.transfer(plugin, tmp_path / "in", tmp_path / "unused", listen=("--exec", command),
                 returned=tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data + b"\0\xffend"


def test_both_directions_at_once(line, tmp_path):
    """Each end sends a file of its own, and neither waits for the other's end."""
    lab, share = line
    digests = [noise(tmp_path / name, int((3 << 20) * share)) for name in ("there", "here")]
    lab.transfer("udp_punch", tmp_path / "there", tmp_path / "out", returned=tmp_path / "back",
                 gives=tmp_path / "here")
    assert [digest_of(tmp_path / name) for name in ("out", "back")] == digests
