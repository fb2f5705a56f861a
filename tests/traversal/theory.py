"""What the 81 pairs of mapping x filtering can come to, by the experiments with two honest peers in
kernel NATs that docs/traversal.md tells of. Apart from the library's own plan, so that one can be
held against the other."""

from __future__ import annotations

BEHAVIOURS = ("ei", "ad", "apd")
KINDS = [f"{mapping}-{filtering}" for mapping in BEHAVIOURS for filtering in BEHAVIOURS]
CELLS = [(a, b) for a in KINDS for b in KINDS]

LEGEND = {
    "P": "plain: one socket each, both send to the address that STUN saw and answer what comes",
    "B": "birthday: one side opens 256 ports, the other guesses",
    "B2": "birthday with a second round, because the answer leaves from a new port",
    "W": "prediction: the next ports of a counter are sprayed",
    "K": "prediction by a walk: many sockets to one port against one packet to each of the next ports",
    "V": "virgin sockets: a fresh socket is seen under its own port number",
    ".": "out of reach: both would have to guess, some 10^5 packets; the relay's part",
}


def axes(kind: str) -> tuple[str, str]:
    mapping, filtering = kind.split("-")
    return mapping, filtering


def plain(a: str, b: str) -> bool:
    (a_map, a_filter), (b_map, b_filter) = axes(a), axes(b)
    return (a_filter == "ei" or b_filter == "ei" or a_map == b_map == "ei"
            or (a_map, a_filter) == ("ei", "ad") or (b_map, b_filter) == ("ei", "ad"))


def out_of_reach(a: str, b: str) -> bool:
    """With random ports: both map by destination and both filter by port."""
    return all(mapping != "ei" and filtering == "apd" for mapping, filtering in map(axes, (a, b)))


def strict_letter(a: str, b: str) -> str:
    """Random ports, NATs whose answer to a session that began outside leaves from a new port."""
    rows = {  # in the order of KINDS
        "ei-ei": "P P P P P P P P P", "ei-ad": "P P P P P P P P P",
        "ei-apd": "P P P B B B B B B", "ad-ei": "P P B P P B P P B",
        "ad-ad": "P P B P B B P B B", "ad-apd": "P P B B B . B2 B2 .",
        "apd-ei": "P P B P P B2 P P .", "apd-ad": "P P B P B B2 P B .",
        "apd-apd": "P P B B B . . . .",
    }
    return rows[a].split()[KINDS.index(b)]


def expected(a: str, b: str, allocation: str) -> str:
    """The letter of a cell's way; `allocation` is random, strict (random, without reuse of
    sessions), sequential or preserving."""
    if allocation == "strict":
        return strict_letter(a, b)
    if plain(a, b):
        return "P"
    if allocation == "preserving":
        return "V"
    if allocation == "sequential":
        both_by_port = axes(a)[0] == axes(b)[0] == "apd"
        return "K" if both_by_port else "W"
    return "." if out_of_reach(a, b) else "B"


PUBLISHED = [cell for cell in CELLS if plain(*cell)]  # the 57 of the best published full grid
