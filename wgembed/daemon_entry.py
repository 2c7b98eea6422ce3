"""The start of the daemon's separate interpreter: `serve IFNAME` or `route DIRECTORY NAME`.

The interpreter is started with -S -E -s: site and its imports would cost a third of the daemon's memory. WGEMBED_PATH
contains the folders of modules that site would have found. WGEMBED_READY is a descriptor. When the control socket exists,
the daemon writes one byte to it and closes its standard input.
"""

import sys

try:
    import posix as os
except ImportError:
    import os


def main():
    """Serve; return the exit status."""
    sys.path[:1] = os.environ.pop(b"WGEMBED_PATH", b"").decode().split(":")
    from wgembed.errors import guard

    return guard(_serve)


def _serve():
    ready = os.environ.pop(b"WGEMBED_READY", b"")
    verb, argument, *more = sys.argv[1:]
    from wgembed.runtime import system

    system.process.name_process()
    if verb == "route":
        from wgembed.commands.run import serve_router

        return serve_router(argument, more[0], lambda peers: None)
    from wgembed.daemon.single import serve

    return serve(argument, lambda peers: _let_go(int(ready)) if ready else None)


def _let_go(ready):
    """Leave the terminal to the command that started the daemon, and report to it that the daemon is ready."""
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    if os.environ.get(b"LOG_LEVEL", b"") in (b"", b"silent"):
        os.dup2(null, 1)
        os.dup2(null, 2)
    os.close(null)
    os.write(ready, b"+")
    os.close(ready)


if __name__ == "__main__":
    sys.exit(main())
