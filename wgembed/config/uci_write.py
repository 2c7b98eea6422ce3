"""Writes UCI configuration files as libuci writes them.

A file is replaced as a whole and never changed in place. So each reader, also after a power failure, gets the old file or
the new one. Uncommitted changes of other programs (the files in /tmp/.uci) stay uncommitted, unlike with `uci commit`.
"""

from ..errors import UserError
from ..runtime import system
from ..runtime.modes import OWNER, PERMISSIONS, S_IFMT, S_IFREG
from . import uci


def export(package, header=False):
    """Return the package as the text of a file, as `uci commit` writes it; with `header`, as `uci export` prints it."""
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


def store(
    name, section_name, option_name, value, directory=uci.CONFIG_DIRECTORY, override=uci.OVERRIDE_DIRECTORY, mode=PERMISSIONS
):
    """Set one option in the package's file, as `uci set` and `uci commit` would; an empty value removes it.

    `mode` is that of `change`. Raises UserError, uci.ParseError or OSError; then the file is unchanged.
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
    change(name, edit, directory, override, mode)


def change(name, edit, directory=uci.CONFIG_DIRECTORY, override=uci.OVERRIDE_DIRECTORY, mode=PERMISSIONS):
    """Change the package's file by edit(package), under libuci's lock. If edit returns False, the file is not written.

    The new file has the permissions of the old one that are also in `mode`: OWNER for a file that gets a key.

    If another program has replaced the file meanwhile, edit is called again with the package read again. Raises the errors
    of edit, and UserError, uci.ParseError or OSError; then the file is unchanged. An exception is an OSError of the
    directory, which is synced last: the new file exists, but can be lost in a power failure.
    """

    def edited(text):
        package = uci.parse(name.encode(), text)
        if not edit(package):
            return None
        if any(_has_mark(section.kind) for section in package.sections):
            raise UserError("cannot write the file: UCI cannot store the type of a section")
        return export(package)

    _rewrite(uci.file_of(name, directory, override), edited, mode)


def replace(name, text, directory=uci.CONFIG_DIRECTORY, override=uci.OVERRIDE_DIRECTORY):
    """Replace the package's file by `text`, bytes, under libuci's lock. Only its owner can read it.

    Raises UserError or OSError, as `change` does.
    """
    path = uci.file_of(name, directory, override)
    if system.files.exists(path):
        _rewrite(path, lambda old: text, OWNER)
    else:
        from ..runtime import durable

        durable.atomic_write(path, text)


def _rewrite(path, edited, mode):
    """Replace the file by edited(text), or leave it as it is if that is None."""
    path = system.files.real_path(path)
    for _ in range(uci.ATTEMPTS):
        fd = _open_locked(path)
        try:
            text = edited(uci.read_all(fd))
            if text is None or _replace(path, fd, text, mode):
                return
        finally:
            system.files.close(fd)
    raise UserError("cannot write %s: another program keeps replacing it" % path)


def _open_locked(path):
    # libuci locks the file itself, so the lock has no effect after another file got its name.
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
    # libuci writes a type without quotes, even if it cannot read that again.
    return any(c in b"'\"\\#;" for c in kind)


def _replace(path, fd, text, allowed):
    """Replace the locked file by a file with this text, its mode and owner; False if the locked file lost its name."""
    directory, _, name = path.rpartition("/")
    fresh = "%s/.%s.uci-%d" % (directory, name, system.process.pid())
    _remove(fresh)  # of a process that had the same number before a power failure
    _, mode, owner, _ = system.files.status(fd)
    try:
        _write(fresh, text, mode & allowed, owner)
        # libuci unlocks just before it renames, so we can have got the lock too early.
        if not uci.is_at(fd, path):
            _remove(fresh)
            return False
        system.files.rename(fresh, path)
    except BaseException:
        _remove(fresh)
        raise
    if mode & PERMISSIONS == mode & allowed:  # if not, others can have the old file open
        _tell_waiting(fd, text)
    system.files.sync_directory(directory or "/")
    return True


def _tell_waiting(fd, text):
    """Write the text also into the old file, which has lost its name.

    A libuci that waits for our lock does not check the name again: it would continue with the old text, and its commit
    would undo our change. If the file has another name, it can be a copy that a user made, and is not changed.
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
