"""The last configuration that was applied, in /etc/wgembed/last-good, for a start with a mistake in /etc/config/wgembed.

The file is a UCI file with a checksum in its first line, because power can fail at any byte. It has the mode 600, as it
contains keys. It is written only if it changes. The daemon loads this module only if it starts with a mistake; otherwise a
child process of the daemon does.
"""

from binascii import hexlify

from .. import crypto
from ..errors import UserError
from ..runtime import folders, system
from . import options, uci, uci_write


def path():
    """Return the path of the file."""
    return folders.state() + "/last-good"


def pack(directory):
    """Return the bytes for the file from the configuration in the directory; None if they are there, or it has mistakes."""
    try:
        package = uci.load(options.PACKAGE, True, directory)
        options.read(package, "")
        data = _seal(uci_write.export(package))
    except (UserError, OSError, MemoryError):
        return None
    try:
        return None if system.files.read_file(path()) == data else data
    except OSError:
        return data


def _seal(text):
    return b"# " + hexlify(crypto.blake2s(32, b"", text)) + b"\n" + text


def choose(directory):
    """Return the Config to start with if the one in the directory has mistakes, and its name; None if there is none."""
    return _kept() or _sound_part(directory)


def _kept():
    """Return the configuration in the file and its name, or None if the file is missing, damaged or no longer valid."""
    try:
        data = system.files.read_file(path())
        text = data.partition(b"\n")[2]
        if data != _seal(text):
            return None
        config = options.read(uci.parse(options.PACKAGE.encode(), text), path())
    except (UserError, OSError):
        return None
    return (config, "the last good one (%s)" % path()) if config.interfaces else None


def _sound_part(directory):
    """Return the configuration without the sections that have mistakes and its name, or None if no interface is left."""
    try:
        package = uci.load(options.PACKAGE, False, directory)
    except OSError:
        return None
    broken = package.damaged
    while True:
        package.sections = [section for section in package.sections if section not in broken]
        try:
            config = options.read(package, "%s/%s" % (directory, options.PACKAGE))
        except options.ConfigError as e:
            broken = e.sections
            if not broken:
                return None
            continue
        return (config, "its part without mistakes") if config.interfaces else None
