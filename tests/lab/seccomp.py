"""Run a command with a seccomp filter from a list for OpenWrt's ujail: seccomp.py FILE COMMAND...

The filter is the same as that of jail/seccomp-oci.c in procd: the rules have no arguments, and names that the architecture
does not have are ignored. A system call that is not listed ends the process.
"""

import ctypes
import functools
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

LIST = Path(__file__).parents[2] / "package/files/wgembed.seccomp.json"
NO_NEW_PRIVS, SET_SECCOMP, MODE_FILTER = 38, 22, 2
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ACTIONS = {"SCMP_ACT_ALLOW": 0x7FFF0000, "SCMP_ACT_KILL_PROCESS": 0x80000000}


@functools.cache
def numbers():
    """The numbers of this machine's system calls by name, from its C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise OSError("there is no C compiler, for the numbers of system calls")
    told = subprocess.run([compiler, "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"], check=True,
                          capture_output=True, text=True).stdout  # fmt: skip
    return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", told)}


def prepare():
    """Check the programs that the filter needs, for lab.need."""
    from .need import NotInstalled  # missing if this file runs as a program

    try:
        numbers()
    except OSError:
        raise NotInstalled("C compiler") from None


def names(path=LIST):
    """Return the names that a list allows."""
    return [name for rule in json.loads(Path(path).read_text())["syscalls"] for name in rule["names"]]


def program(path, known):
    """Return the filter: instructions of eight bytes."""
    rules = json.loads(Path(path).read_text())
    lines = [(LOAD, 0, 0, 4), (JUMP_EQUAL, 1, 0, ARCHITECTURES[os.uname().machine]), (RETURN, 0, 0, 0), (LOAD, 0, 0, 0)]
    for rule in rules["syscalls"]:
        there = [known[name] for name in rule["names"] if name in known]
        # The target follows each test, so that no jump is too far.
        for number in there:
            lines += [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, ACTIONS[rule["action"]])]
    lines.append((RETURN, 0, 0, ACTIONS[rules["defaultAction"]]))
    return [struct.pack("HBBI", *line) for line in lines]


def install(lines):
    """Install the filter in this process. It stays over exec."""
    code = ctypes.create_string_buffer(b"".join(lines))
    header = struct.pack("HxxxxxxP", len(lines), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((NO_NEW_PRIVS, 1, 0, 0, 0), (SET_SECCOMP, MODE_FILTER, ctypes.c_char_p(header), 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    install(program(sys.argv[1], numbers()))
    os.execvp(sys.argv[2], sys.argv[2:])
