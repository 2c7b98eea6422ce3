"""A name server for the tests: names.py FILE, with lines `NAME ADDRESS...`. With an empty file it does not answer.

The server reads the file for each query, so a test changes the answers by writing the file.
"""

import ipaddress
import socket
import struct
import sys
from pathlib import Path

_KINDS = {1: 4, 28: 6}


def answer(question, table):
    """Return the response to one message."""
    name, at = [], 12
    while question[at]:
        name.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    kind = struct.unpack(">H", question[at + 1 : at + 3])[0]
    known = table.get(".".join(name).lower())
    records = [address.packed for address in known or () if address.version == _KINDS.get(kind)]
    status = 0x8180 if known is not None else 0x8183
    head = question[:2] + struct.pack(">HHHHH", status, 1, len(records), 0, 0)
    body = question[12 : at + 5]
    for packed in records:
        body += struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(packed)) + packed
    return head + body


def read(file):
    lines = [line.split() for line in file.read_text().splitlines()]
    return {words[0].lower(): [ipaddress.ip_address(word) for word in words[1:]] for words in lines if words}


def main(file):
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.bind(("127.0.0.53", 53))
    print("ready", flush=True)
    while True:
        question, addr = end.recvfrom(512)
        table = read(file)
        if table:
            end.sendto(answer(question, table), addr)


class NameServer:
    """The server in a namespace, and the mounts with which programs there use it."""

    def __init__(self, place, folder):
        self._file = Path(folder) / "names"
        self.set("")
        (Path(folder) / "resolv.conf").write_text("nameserver 127.0.0.53\noptions timeout:1 attempts:2\n")
        (Path(folder) / "nsswitch.conf").write_text("hosts: dns\n")
        self._child = place.spawn(sys.executable, str(Path(__file__)), str(self._file))
        self._child.expect("ready", 10)
        mounts = [f"mount --bind {Path(folder) / name} /etc/{name}" for name in ("resolv.conf", "nsswitch.conf")]
        self.prefix = ["unshare", "-m", "sh", "-c", f'{" && ".join(mounts)} && exec "$@"', "sh"]

    def set(self, text):
        fresh = self._file.with_name("names.new")
        fresh.write_text(text)
        fresh.rename(self._file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
