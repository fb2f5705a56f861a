"""Run inside a host with two uplinks: takes away the rules that send packets out by the interface of
their source, and leaves the two default routes of an ordinary machine, one better than the other."""

import socket
import struct
import sys

RTM_NEWROUTE, RTM_DELRULE = 24, 33
REQUEST_ACK, CREATE = 5, 0x400
DST_OR_SRC, OIF, GATEWAY, PRIORITY = 2, 4, 5, 6
TABLES = range(1, 252)


def talk(netlink, kind, flags, body):
    """Sends one request; returns the kernel's error, 0 for none."""
    netlink.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
    return struct.unpack_from("=i", netlink.recv(65536), 16)[0]


def attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data


def main(own, gateway, interface):
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    source = attribute(DST_OR_SRC, socket.inet_aton(own))
    gone = [talk(netlink, RTM_DELRULE, REQUEST_ACK,
                 struct.pack("=8BI", socket.AF_INET, 0, 32, 0, table, 0, 0, 1, 0) + source)
            for table in TABLES]
    assert gone.count(0) == 1
    route = struct.pack("=8BI", socket.AF_INET, 0, 0, 0, 254, 4, 0, 1, 0)
    route += attribute(GATEWAY, socket.inet_aton(gateway))
    route += attribute(OIF, struct.pack("=I", socket.if_nametoindex(interface)))
    route += attribute(PRIORITY, struct.pack("=I", 500))
    assert talk(netlink, RTM_NEWROUTE, REQUEST_ACK | CREATE, route) == 0


main(*sys.argv[1:])
