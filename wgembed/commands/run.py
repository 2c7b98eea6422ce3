"""`wgembed run`: becomes the daemon that serves all interfaces of a router."""

from ..errors import UsageError
from ..runtime import folders, system


def run(program, arguments):
    """Serve all interfaces of the configuration until a signal, or one of them for netifd; return the exit status."""
    name = ""
    if arguments[1:2] == ["--netifd"] and len(arguments) > 2:
        name = arguments[2]
        arguments = arguments[2:]
    return system.start.router(config_directory(arguments), name, serve_router)


def serve_router(directory, name, ready):
    """Serve all interfaces, or only `name` for netifd ("" for all); return the exit status. `ready`: see system.start."""
    if name:
        from ..daemon import netifd

        return netifd.serve(directory, name, ready, _explain)
    from ..daemon.router import serve

    return serve(directory, ready, _explain)


def _explain(interface, key):
    from .diagnose import explain  # only the child process of the daemon loads it

    return explain(interface, key)


def config_directory(arguments):
    """Return the folder that `VERB [--config-dir DIR]` names; UsageError."""
    rest = arguments[1:]
    if not rest:
        return folders.CONFIG
    if len(rest) == 2 and rest[0] == "--config-dir":
        return rest[1]
    if len(rest) == 1 and rest[0].startswith("--config-dir="):
        return rest[0].partition("=")[2]
    raise UsageError
