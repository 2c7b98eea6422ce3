"""The names of routing tables."""

from ..runtime import rtnetlink_abi as rtnl
from ..runtime import system

ROUTE_TABLES = "/etc/iproute2/rt_tables"
_KNOWN = {"default": rtnl.RT_TABLE_DEFAULT, "main": rtnl.RT_TABLE_MAIN, "local": rtnl.RT_TABLE_LOCAL}


def number_of(name):
    """Return the number of the table with this name, in the file or a file of its folder rt_tables.d; None if unknown."""
    return _KNOWN.get(name) or _in_files().get(name)


def _in_files():
    directory = ROUTE_TABLES + ".d"
    try:
        more = ["%s/%s" % (directory, name) for name in system.files.names(directory) if name.endswith(".conf")]
    except OSError:
        more = []
    found = {}
    for path in [ROUTE_TABLES] + more:
        try:
            lines = system.files.read_file(path).decode().split("\n")
        except (OSError, UnicodeError):
            continue
        for line in lines:
            words = line.split("#")[0].split()
            if len(words) == 2 and all("0" <= c <= "9" for c in words[0]):
                found[words[1]] = int(words[0])
    return found
