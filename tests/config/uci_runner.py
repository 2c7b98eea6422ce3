"""What the tests have either interpreter do with uci.py and uci_write.py; it prints what came of it.

As python -m tests.config.uci_runner:

answers FILE                  the reader's and the writer's answers to the cases in FILE
store DIR OVERRIDE NAME SECTION OPTION VALUE
steps DIR VALUE NUMBER raise|exit   the same with one system call failing, or the machine with it
"""

import sys
from binascii import hexlify, unhexlify

from wgembed.config import uci, uci_write
from wgembed.runtime import system

CALLS = [
    "real_path",
    "open_for_change",
    "lock",
    "status",
    "read",
    "create",
    "write",
    "set_owner",
    "set_mode",
    "sync",
    "close",
    "rename",
    "sync_directory",
    "write_over",
]


def answer(text, delta, strict):
    """Return what the package shows, and its export; or the error, and nothing."""
    try:
        package = uci.parse(b"t", text, strict)
    except uci.ParseError as e:
        return str(e).encode(), b""
    uci.apply_changes(package, delta)
    return package.show(), uci_write.export(package)


def answers(path):
    """Each line is a case: `s` or `l` for the mode, the text and the changes in hexadecimal."""
    with open(path) as cases:
        for line in cases:
            mode, text, delta = line.strip().split(",")
            shown, text = answer(unhexlify(text), unhexlify(delta), mode == "s")
            print(hexlify(shown).decode() + "," + hexlify(text).decode())


def store(directory, override, name, section, option, value):
    uci_write.store(name, section.encode(), option.encode(), value.encode(), directory, override)


class _Steps:
    """Counts the system calls, and lets one of them fail."""

    def __init__(self, failing, how):
        self.failing = failing
        self.how = how
        self.log = []
        for name in CALLS:
            setattr(system.files, name, self._counted(name, getattr(system.files, name)))

    def _counted(self, name, function):
        def counted(*arguments):
            self.log.append(name)
            if len(self.log) == self.failing:
                self._fail(name, function, arguments)
            return function(*arguments)

        return counted

    def _fail(self, name, function, arguments):
        if name == "close":
            function(*arguments)
        if name == "write":
            function(arguments[0], arguments[1][: len(arguments[1]) // 2])
        if self.how == "exit":
            print("exit", name)
            sys.stdout.flush() if hasattr(sys.stdout, "flush") else None
            _end()
        raise OSError(5)


def _end():
    """As a power cut: nothing is tidied up."""
    if sys.implementation.name == "micropython":
        import ffi

        ffi.open(None).func("v", "_exit", "i")(0)
    else:
        import os

        os._exit(0)


def steps(directory, value, failing, how):
    done = _Steps(int(failing), how)
    try:
        uci_write.store("t", b"wg0", b"private_key", value.encode(), directory, "")
    except OSError as e:
        print("failed", done.log[int(failing) - 1], value in str(e) + repr(e))
    else:
        print("done", " ".join(done.log))


if __name__ == "__main__":
    {"answers": answers, "store": store, "steps": steps}[sys.argv[1]](*sys.argv[2:])
