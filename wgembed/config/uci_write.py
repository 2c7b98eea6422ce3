"""Writing UCI configuration files as libuci writes them.

A file is replaced whole, never changed in place: whoever reads it meanwhile, and whoever reads it after a power cut, has
the old one or the new one. What others have changed and not committed (the files in /tmp/.uci) is left to them: it is
not written with ours, as `uci commit` would.
"""

from ..errors import UserError
from ..runtime import system
from ..runtime.modes import PERMISSIONS, S_IFMT, S_IFREG
from . import uci


def export(package, header=False):
    """Return the package as the text of a file, the one that `uci commit` leaves; `uci export` puts a header before."""
    parts = [_export_section(section) for section in package.sections]
    parts.insert(0, b"package " + package.name + b"\n" if header else b"")
    parts.append(b"\n")
    return b"".join(parts)


def _export_section(section):
    line = b"\nconfig " + uci.quote(section.kind)[1:-1]
    lines = [line if section.anonymous else line + b" " + uci.quote(section.name)]
    for option in section.options:
        if option.values is None:
            lines.append(b"\toption " + option.name + b" " + uci.quote(option.value))
        else:
            lines += [b"\tlist " + option.name + b" " + uci.quote(value) for value in option.values]
    lines.append(b"")
    return b"\n".join(lines)


def store(name, section_name, option_name, value, directory=uci.CONFIG_DIRECTORY, override=uci.OVERRIDE_DIRECTORY):
    """Set one option in the package's file, as `uci set` and `uci commit` would; an empty value removes it.

    Raises UserError, uci.ParseError or OSError, the file being as it was.
    """

    def edit(package):
        section = package.find(section_name)
        if section is None:
            raise UserError("the file has no section %s" % _text(section_name))
        option = section.find(option_name)
        if (option.value if option else b"") == value:
            return False
        section.assign(option_name, value)
        return True

    if not uci.is_name(option_name) or not uci.is_text(value):
        raise UserError(
            "cannot write %s.%s: UCI cannot store this name or value" % (_text(section_name), _text(option_name))
        )
    change(name, edit, directory, override)


def change(name, edit, directory=uci.CONFIG_DIRECTORY, override=uci.OVERRIDE_DIRECTORY):
    """Have edit(package) change the package's file under libuci's lock; if it returns False the file is not written.

    edit may be called again, with the package read anew, when somebody else has replaced the file meanwhile. Raises
    what it raises, and UserError, uci.ParseError or OSError, the file being as it was; an OSError about the directory,
    which comes last, is the exception: the new file is there, but might not outlast a power cut.
    """
    path = system.files.real_path(uci.file_of(name, directory, override))
    for _ in range(uci.ATTEMPTS):
        if _try_change(path, name.encode(), edit):
            return
    raise UserError("cannot write %s: another program keeps replacing it" % path)


def _try_change(path, name, edit):
    """Change the file unless it is not the one locked any more: False then."""
    fd = _open_locked(path)
    try:
        package = uci.parse(name, uci.read_all(fd))
        if not edit(package):
            return True
        if any(_has_mark(section.kind) for section in package.sections):
            raise UserError("cannot write the file: UCI cannot store the type of a section")
        return _replace(path, fd, export(package))
    finally:
        system.files.close(fd)


def _open_locked(path):
    # libuci locks the file itself, so the lock is worth nothing once another file has its name.
    for _ in range(uci.ATTEMPTS):
        fd = system.files.open_for_change(path)
        try:
            system.files.lock(fd)
            if system.files.status(fd)[1] & S_IFMT != S_IFREG:
                raise UserError("%s is not a regular file" % path)
            if uci.is_at(fd, path):
                taken, fd = fd, None
                return taken
        finally:
            if fd is not None:
                system.files.close(fd)
    raise UserError("cannot write %s: another program keeps replacing it" % path)


def _has_mark(kind):
    # libuci writes a type bare, even one that does not read back like that.
    return any(c in b"'\"\\#;" for c in kind)


def _replace(path, fd, text):
    """Put a file with this text in place of the locked one, of the same mode and owner; False if that went away."""
    directory, _, name = path.rpartition("/")
    fresh = "%s/.%s.uci-%d" % (directory, name, system.process.pid())
    _remove(fresh)  # of one that had our number before a power cut
    _, mode, owner, _ = system.files.status(fd)
    try:
        _write(fresh, text, mode & PERMISSIONS, owner)
        # libuci lets go of its lock just before it renames, so somebody may have been let in too early: us.
        if not uci.is_at(fd, path):
            _remove(fresh)
            return False
        system.files.rename(fresh, path)
    except BaseException:
        _remove(fresh)
        raise
    _tell_waiting(fd, text)
    system.files.sync_directory(directory or "/")
    return True


def _tell_waiting(fd, text):
    """Put the text into the file that has lost its name, too.

    A libuci that waits for our lock does not look at the name again: it would go on with what was there before, and
    with its commit our change were gone. Not if the file has another name: that may be somebody's copy.
    """
    try:
        if system.files.status(fd)[3] == 0:
            system.files.write_over(fd, text)
    except OSError:
        return


def _write(path, text, mode, owner):
    fd = system.files.create(path)
    try:
        system.files.write(fd, text)
        system.files.set_owner(fd, owner)
        system.files.set_mode(fd, mode)
        system.files.sync(fd)
    finally:
        system.files.close(fd)


def _remove(path):
    try:
        system.files.remove(path)
    except OSError:
        return


def _text(name):
    return name.decode() if uci.is_name(name) else "?"
