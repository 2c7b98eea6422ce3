"""How a command becomes the daemon: it starts an interpreter that loads only what the daemon needs (daemon_entry.py).

`wgembed run` of the packages is such an interpreter from its start (see package/files/start.py).
"""

import sys

try:
    import posix as os
except ImportError:
    import os

from . import files, process


def daemon(name, foreground, serve, variables=()):
    """Serve the interface in this process, or start a daemon and return 0 when its control socket exists.

    serve      not used here: daemon_entry.py calls the same function in the other interpreter
    variables  pairs of a name and a value for the environment of the daemon
    """
    command, environment = command_for("serve", name)
    environment.update(variables)
    if foreground:
        os.execve(command[0], command, environment)
    read, write = os.pipe()
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


def router(directory, name, serve):
    """Serve all interfaces of the configuration in the directory, or only `name` for netifd, in the foreground.

    name   "" for all
    serve  the work of the daemon, serve(directory, name, ready); daemon_entry.py calls the same function
    """
    if not sys.flags.no_site:
        command, environment = command_for("route", directory, name)
        os.execve(command[0], command, environment)
    process.name_process()
    return serve(directory, name, lambda peers: None)


def pyroute2_command():
    """Return the command that applies requests with pyroute2 (see netconf.py), and its environment.

    None without pyroute2, or with WGEMBED_PYROUTE2=0. Only for the daemon's interpreter.
    """
    environment = files.environment()
    folders = environment.get("WGEMBED_PYROUTE2") or _path_with("pyroute2") or "0"
    if folders == "0":
        return None
    environment["WGEMBED_PATH"] = folders
    return [sys.executable, "-S", "-E", "-s", __file__.rpartition("/")[0] + "/pyroute2_child.py"], environment


def command_for(verb, *arguments):
    """Return the argument vector and the environment of the daemon's interpreter."""
    folders = list(_module_folders())
    entry = folders[0] + "/wgembed/daemon_entry.py"
    environment = files.environment()
    environment["WGEMBED_PATH"] = ":".join(dict.fromkeys(folders))
    pyroute2 = _folder_of("pyroute2")
    environment.setdefault("WGEMBED_PYROUTE2", ":".join(dict.fromkeys([*folders, pyroute2])) if pyroute2 else "0")
    return [sys.executable, "-S", "-E", "-s", entry, verb, *arguments], environment


def _path_with(package):
    """Return the folders of modules if one of them contains this package, otherwise None."""
    if any(files.exists(folder + "/" + package + "/__init__.py") for folder in sys.path):
        # This package itself can be found without its folder on the path: `pip install -e`.
        return ":".join(dict.fromkeys([*sys.path, __file__.rsplit("/", 4)[0]]))
    return None


def _module_folders():
    """Yield the folders that contain wgembed and its libraries, without a slash at the end."""
    for module in ("wgembed", "nacl", "_cffi_backend"):
        folder = _folder_of(module)
        if folder is None:
            raise ImportError("no module named '%s'" % module)
        yield folder


def _folder_of(module):
    """Return the folder that must be on the path for this module, or None if there is no such module."""
    from importlib.util import find_spec

    spec = find_spec(module)
    if spec is None:
        return None
    folder = spec.origin.rpartition("/")[0]
    return folder.rpartition("/")[0] if spec.submodule_search_locations else folder
