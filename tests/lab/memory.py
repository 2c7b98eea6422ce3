"""The memory of a process, as root can read it."""

import base64
from pathlib import Path


def writable(pid, without=()):
    """Yield the content of each writable part of the memory, except the parts named in `without`."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, mode, *_, last = line.split()
            if not mode.startswith("rw") or last in without:
                continue
            start, end = (int(word, 16) for word in place.split("-"))
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except (OSError, ValueError):
                continue


def forms(secret):
    """The forms of a key: binary, hexadecimal and base64. Of the latter two, the part that is the same in every spelling."""
    return {"raw": secret, "hex": secret.hex().encode(), "base64": base64.b64encode(secret)[:-2]}


def found(pid, secrets, without=()):
    """How often each form of each secret (name -> bytes) is in the memory: {(name, form): count}, without zeros."""
    counts = {}
    for part in writable(pid, without):
        for name, secret in secrets.items():
            for form, data in forms(secret).items():
                count = part.count(data)
                if count:
                    counts[name, form] = counts.get((name, form), 0) + count
    return counts
