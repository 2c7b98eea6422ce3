"""The command `wgembed`."""

import os
import sys

from . import __version__

USAGE = """\
usage: wgembed [-f|--foreground] INTERFACE
       wgembed demo
       wgembed --version

wgembed INTERFACE makes a WireGuard interface and serves it in the background, wgembed -f in the foreground.
It is set up with wg(8) and ip(8). wgembed demo shows a tunnel between two namespaces of its own.
Environment: LOG_LEVEL (silent, error, verbose), WG_PROCESS_FOREGROUND=1, WGEMBED_MAX_PEERS.
"""


def main(arguments=None):
    """Run the command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return 0
    if arguments in (["-v"], ["--version"]):
        print("wgembed", __version__)
        return 0
    if arguments == ["demo"]:
        from .demo import demo

        return demo()
    foreground = arguments[:1] in (["-f"], ["--foreground"])
    names = arguments[1:] if foreground else arguments
    if len(names) != 1 or names[0].startswith("-"):
        sys.stderr.write(USAGE)
        return 2
    if foreground or os.environ.get("WG_PROCESS_FOREGROUND") == "1":
        _become_daemon(names[0])
    return _start_daemon(names[0])


def daemon_command(name):
    """Return the argument vector and the environment of the daemon's lean interpreter."""
    lean = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lean.py")
    environment = dict(os.environ, WGEMBED_PATH=":".join(dict.fromkeys(_module_folders())))
    return [sys.executable, "-S", "-E", "-s", lean, name], environment


def _module_folders():
    """Yield the folders that hold wgembed and what it is made of."""
    from importlib.util import find_spec

    for module in ("wgembed", "nacl", "_cffi_backend"):
        found = find_spec(module)
        if found is None:
            raise SystemExit("wgembed: the Python module %s is missing" % module)
        folder = os.path.dirname(found.origin)
        yield os.path.dirname(folder) if found.submodule_search_locations else folder


def _become_daemon(name):
    command, environment = daemon_command(name)
    os.execve(command[0], command, environment)


def _start_daemon(name):
    """Start the daemon in the background; returns 0 once its control socket is there."""
    read, write = os.pipe()
    command, environment = daemon_command(name)
    environment["WGEMBED_READY"] = str(write)
    os.set_inheritable(write, True)
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(read)
        os.execve(command[0], command, environment)
    os.close(write)
    if os.read(read, 1):
        return 0
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) or 1


if __name__ == "__main__":
    sys.exit(main())
