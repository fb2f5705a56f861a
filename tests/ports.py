"""Ports of loopback for servers that want to be told theirs.

A port that the system chose and that is free again may be anybody's a moment later: the system goes on
giving ports of that range to everything that runs beside a test. These lie below it, and below those
that nodes choose for themselves; and what is reserved here is passed over by other tests until this
process ends."""

import contextlib
import os
import random
import socket

RANGE = range(5000, 20000)
# A name for each port that is taken, held as long as this process lives, as ports are: by network
# namespace and without a file that could be left behind.
_held = []
_chance = random.Random(os.urandom(8))


def _is_free(port):
    """Nobody has it for TCP or UDP at any address, as whoever binds all of them finds out."""
    with contextlib.ExitStack() as stack:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            probe = stack.enter_context(socket.socket(type=kind))
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True


def reserve():
    """The number of a port at which nobody answers and that no other test takes."""
    for port in _chance.sample(RANGE, len(RANGE)):
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0warpgate-test-port-{port}")
        except OSError:
            name.close()
            continue
        if _is_free(port):
            _held.append(name)
            return port
        name.close()
    raise RuntimeError("no port is free")


def nobody():
    """An address of loopback where a connection is refused."""
    return f"127.0.0.1:{reserve()}"
