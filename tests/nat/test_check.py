"""What the library measures of each NAT of the lab, by `warpgate check --json` behind it, and what
the NAT was declared to be. (test_verify.py does the same with natsim's own prober.)"""

import concurrent.futures
import json
import os
import signal
import subprocess

LIMIT_S = 300  # ends what hangs
GRID = [f"{m}-{f}" for m in ("ei", "ad", "apd") for f in ("ei", "ad", "apd")]


def spelled(name, **more):
    mapping, filtering = name.split("-")
    return ",".join([f"map={mapping}", f"filter={filtering}", *(f"{k}={v}" for k, v in more.items())])


# Every NAT as two hosts at a time see it.
NATS = [
    *(spelled(name, alloc="random") for name in GRID),
    *(spelled(name, alloc="sequential:2") for name in GRID),
    *(spelled(name, alloc="preserving", hairpin="on") for name in GRID),
    *(spelled(name, alloc="random", reuse="off") for name in ("ad-ei", "apd-ei", "apd-ad")),
    spelled("ei-ei", alloc="random", hairpin="on"),
    spelled("apd-apd", alloc="random", unsolicited="reset"),
    spelled("ei-apd", alloc="random", range="20000-21023"),
    "symmetric-seq", "cgnat", "open", "port-restricted", "udp-blocked",
]
NATS += ["full-cone"] * (len(NATS) % 2)


def check(natsim, warpgate, lab, host):
    done = subprocess.run(
        [natsim, "lab", "exec", "--name", lab, host, "--", warpgate, "check", "--json"],
        capture_output=True, text=True, timeout=LIMIT_S)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def measure_pair(natsim, warpgate, number, pair):
    """What `warpgate check` says behind both NATs of a laboratory."""
    name = f"check-{os.getpid()}-{number}"
    lab = subprocess.Popen(
        [natsim, "lab", "--a", pair[0], "--b", pair[1], "--name", name, "--rtt", "20",
         "--without", "names,broker,turn"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in lab.stdout:
            if "Ctrl-C here" in line:
                break
        else:
            raise AssertionError(lab.stderr.read())
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda host: check(natsim, warpgate, name, host), "ab"))
    finally:
        lab.send_signal(signal.SIGINT)
        lab.communicate(timeout=LIMIT_S)


def declared_axes(natsim, nat):
    """The axes of a profile's name, or of a NAT spelled out."""
    out = subprocess.run([natsim, "profiles", "--json"], capture_output=True, text=True, check=True)
    profiles = {row["profile"]: row for row in map(json.loads, out.stdout.splitlines())}
    if nat in profiles:
        return profiles[nat]
    row = dict(profiles["port-restricted"], profile=nat)
    for item in nat.split(","):
        key, value = item.split("=")
        row[key] = value == "on" if value in ("on", "off") else value
    return row


def differences(nat, seen, transport):
    """What is measured otherwise than declared; what cannot be measured may be unknown."""
    axes = seen["interfaces"][0][transport]
    if not nat["nat"]:
        want = {"translation": "none", "filtering": "ei"}
    else:
        alloc, _, step = nat["alloc"].partition(":")
        want = {"translation": "nat", "mapping": nat["map"], "filtering": nat["filter"],
                "allocation": alloc, "step": int(step or 1) if alloc == "sequential" else 0}
        if nat.get("carrier"):  # a carrier's NAT stands before it: ports and hairpin are that one's
            return {k: (want[k], axes[k]) for k in ("translation", "mapping", "filtering")
                    if axes[k] != want[k]}
        # Only where the packets of the test fit to each other.
        if transport == "udp" and "ei" in (nat["map"], nat["filter"]):
            want["hairpin"] = "yes" if nat["hairpin"] else "no"
        if transport == "udp" and nat["filter"] == "ei" and nat["map"] != "ei":
            want["reuse"] = "yes" if nat["reuse"] else "no"
    wrong = {k: (v, axes[k]) for k, v in want.items() if axes[k] != v}
    if nat.get("range", "1024-65535") != "1024-65535":
        low, high = map(int, nat["range"].split("-"))
        room = high - low
        if not axes["port_low"] or axes["port_low"] < low - room or axes["port_high"] > high + room:
            wrong["range"] = (nat["range"], (axes["port_low"], axes["port_high"]))
    if axes["confidence"] < 75:
        wrong["confidence"] = (">= 75", axes["confidence"])
    return wrong


def test_what_the_library_measures_is_what_is_declared(natsim, warpgate):
    pairs = list(zip(NATS[::2], NATS[1::2]))
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = list(pool.map(
            lambda job: measure_pair(natsim.program, warpgate, *job), enumerate(pairs)))
    wrong = {}
    for pair, both in zip(pairs, found):
        for name, seen in zip(pair, both):
            nat = declared_axes(natsim.program, name)
            for transport in ("tcp",) if nat.get("udp-blocked") else ("udp", "tcp"):
                bad = differences(nat, seen, transport)
                if bad:
                    wrong[f"{name} {transport}"] = bad
    assert not wrong, json.dumps(wrong, indent=1)


def test_a_firewall_without_translation(natsim, warpgate):
    (seen, _) = measure_pair(natsim.program, warpgate, "six", ("firewall6", "open"))
    (six,) = (i for i in seen["interfaces"] if i["family"] == 6)
    for transport in ("udp", "tcp"):
        axes = six[transport]
        assert (axes["translation"], axes["filtering"], axes["nat"]) == ("none", "apd", "firewall")
