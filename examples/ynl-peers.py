#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is sealed with whom, from nothing but the spec of the netlink family.

    ynl-peers.py [Documentation/netlink/specs/tcpseal.yaml]

What ynl does, in the hundred lines that it takes to list the pairs: a start for
languages for which nobody has made a library. Needs CAP_NET_ADMIN and python3-yaml.
Prints one JSON object a line, with the names of the spec.
"""
import ipaddress
import json
import socket
import struct
import sys

import yaml

NETLINK_GENERIC, GENL_ID_CTRL = 16, 16
CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 3, 1, 2
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
NUMBERS = {"u8": "=B", "u16": "=H", "u32": "=I", "u64": "=Q"}


class Spec:
    """What is needed of it: numbers of commands and attributes, types, names."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            spec = yaml.safe_load(file)
        self.sets = {s["name"]: s["attributes"] for s in spec["attribute-sets"]}
        self.enums = {d["name"]: d for d in spec["definitions"]}
        # commands and events count on from 1, in the order of the file
        self.commands = {op["name"]: (number, op["attribute-set"])
                         for number, op in enumerate(spec["operations"]["list"], 1)}

    def value(self, attr, data):
        kind = attr["type"]
        if kind == "nest":
            return self.decode(attr["nested-attributes"], data)
        if kind == "string":
            return data.rstrip(b"\0").decode("utf-8", "replace")
        if kind == "binary":
            return str(ipaddress.ip_address(data)) if len(data) in (4, 16) else data.hex()
        if kind == "flag":
            return True
        number = struct.unpack(NUMBERS[kind], data)[0]
        return self.name(attr["enum"], number) if "enum" in attr else number

    def name(self, enum, number):
        entries = self.enums[enum]["entries"]
        if self.enums[enum]["type"] == "flags":
            return [entry for bit, entry in enumerate(entries) if number >> bit & 1]
        at = number - self.enums[enum].get("value-start", 0)
        return entries[at] if 0 <= at < len(entries) else number

    def decode(self, which, data):
        """Attributes count on from 1, too; what is newer than the spec is left out."""
        found = {}
        for number, value in attributes(data):
            if number <= len(self.sets[which]) and self.sets[which][number - 1]["type"] != "pad":
                attr = self.sets[which][number - 1]
                found[attr["name"]] = self.value(attr, value)
        return found


def attributes(data):
    while len(data) >= 4:
        length, number = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield number & 0x3fff, data[4:length]
        data = data[(length + 3) & ~3:]


def ask(sock, family, command, flags, payload=b""):
    """The messages of the answer, each without its two headers."""
    sock.send(struct.pack("=IHHIIBBH", 20 + len(payload), family, NLM_F_REQUEST | flags,
                          1, 0, command, 1, 0) + payload)
    while True:
        data = sock.recv(65536)
        while data:
            length, kind = struct.unpack_from("=IH", data)
            if kind in (NLMSG_ERROR, NLMSG_DONE):
                error = struct.unpack_from("=i", data, 16)[0]
                if error:
                    raise OSError(-error, "the kernel refuses")
                return
            yield data[20:length]
            data = data[(length + 3) & ~3:]


def main():
    spec = Spec(sys.argv[1] if len(sys.argv) > 1 else
                "Documentation/netlink/specs/tcpseal.yaml")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as sock:
        sock.bind((0, 0))
        name = struct.pack("=HH8s", 12, CTRL_ATTR_FAMILY_NAME, b"tcpseal")
        family = [dict(attributes(message))[CTRL_ATTR_FAMILY_ID] for message in
                  ask(sock, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_ACK, name)][0]
        command, which = spec.commands["pair-get"]
        for message in ask(sock, struct.unpack("=H", family)[0], command, NLM_F_DUMP):
            print(json.dumps(spec.decode(which, message)))


main()
