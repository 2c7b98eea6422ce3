"""Reading UCI configuration files as libuci reads them, down to its error messages.

A package is a list of sections, a section is a list of options, all in the order of the file. Names, types and values are
bytes, because a value can contain any bytes. All details follow the behaviour of libuci; the tests have 3,000 files with
the answers of libuci.

    python -m wgembed.config.uci [-S] [-c DIR] [-C OVERRIDEDIR] [-t SAVEDIR] show PACKAGE

prints the same as `uci -X show PACKAGE`. -S is libuci's lenient mode, which skips wrong lines and reports them.
"""

from ..errors import UserError
from ..runtime import abi, folders, pause, system
from ..runtime.modes import S_IFMT, S_IFREG

CONFIG_DIRECTORY = folders.CONFIG
OVERRIDE_DIRECTORY = "/var/run/uci"
SAVE_DIRECTORY = "/tmp/.uci"

# The number of attempts to read a file that was replaced meanwhile. On some file systems it always looks so.
ATTEMPTS = 20

_SPACE = b" \t\n\v\f\r"
_SEMICOLON, _HASH, _BACKSLASH, _DOUBLE_QUOTE = b';#\\"'
_KEYWORDS = {word: word[:1] for word in (b"p", b"package", b"c", b"config", b"o", b"option", b"l", b"list")}
_WITHOUT_NAME = {b"p": "package without name", b"c": "config without name", b"o": "option without name"}


class ParseError(UserError):
    """The error of libuci for a file: the reason, the line, and the byte in the line."""

    def __init__(self, reason, line, byte):
        super().__init__("Parse error (%s) at line %d, byte %d" % (reason, line, byte))
        self.line = line


class Option:
    """A name with a value in bytes, or for a list with `values`, bytes each. Either `value` or `values` is None.

    line  the line of the command that set the option last, 0 for an uncommitted change
    """

    __slots__ = ("name", "value", "values", "line")

    def __init__(self, name, value, line=0):
        self.name = name
        self.value = value
        self.values = None
        self.line = line

    def append(self, value, line=0):
        """Add to the list. A single value becomes a list."""
        if self.values is None:
            self.values = [] if self.value is None else [self.value]
            self.value = None
        self.values.append(value)
        self.line = line


class Section:
    """A type, a name (generated if `anonymous`), and options.

    line  the line where the section begins, or gets another type; 0 for an uncommitted change
    """

    __slots__ = ("kind", "name", "anonymous", "options", "line")

    def __init__(self, kind, name, anonymous, line=0):
        self.kind = kind
        self.name = name
        self.anonymous = anonymous
        self.options = []
        self.line = line

    def find(self, name):
        for option in self.options:
            if option.name == name:
                return option
        return None

    def set(self, name, value, line=0):
        """Give the option a single value; an old one keeps its place."""
        option = self.find(name)
        if option is None:
            self.options.append(Option(name, value, line))
        else:
            option.value = value
            option.values = None
            option.line = line

    def assign(self, name, value):
        """Give the option a single value; an empty one removes it."""
        if value:
            self.set(name, value)
        elif self.find(name):
            self.options.remove(self.find(name))

    def append(self, name, value, line=0):
        """Add a value to the list of this name."""
        option = self.find(name)
        if option is None:
            option = Option(name, None)
            self.options.append(option)
        option.append(value, line)

    def retype(self, kind, line=0):
        """Give the section another type."""
        if kind == self.kind:
            return
        if len(kind) != len(self.kind):
            self.anonymous = False  # as libuci does: a new section gets the name of the old one
        self.kind = kind
        self.line = line


class Package:
    """The sections of one file.

    skipped  the errors of the commands that lenient mode skipped, as texts
    damaged  the sections before these commands
    """

    def __init__(self, name):
        self.name = name
        self.sections = []
        self.skipped = []
        self.damaged = []
        self._made = 0

    def find(self, name):
        for section in self.sections:
            if section.name == name:
                return section
        return None

    def add(self, kind, name=None, line=0):
        """Append a section. Without a name, it gets the one that libuci generates."""
        self._made += 1
        section = Section(kind, name or _made_up_name(self._made, kind), not name, line)
        self.sections.append(section)
        return section

    def show(self):
        """Return the output of `uci -X show` for the package, as bytes."""
        lines = []
        for section in self.sections:
            path = self.name + b"." + section.name
            lines.append(path + b"=" + section.kind)
            for option in section.options:
                values = [option.value] if option.values is None else option.values
                lines.append(path + b"." + option.name + b"=" + b" ".join([quote(value) for value in values]))
        return b"".join([line + b"\n" for line in lines])


def quote(value):
    """Return the value in single quotes, as in a file."""
    return b"'" + value.replace(b"'", b"'\\''") + b"'"


def _made_up_name(number, kind):
    """Return the name of the `number`th section if it has none. It contains a DJB hash of the type."""
    total = 5381
    for c in kind:
        total = (total * 33 + c) & 0xFFFFFFFF
    return b"cfg%02x%04x" % (number, total & 0xFFFF)


def is_name(text):
    """Whether this can be the name of a section or an option: [A-Za-z0-9_]+."""
    return bool(text) and all(_is_word_character(c) for c in text)


def is_package_name(text):
    return bool(text) and all(_is_word_character(c) or c == 0x2D for c in text)


def is_type(text):
    return bool(text) and all(33 <= c <= 126 for c in text)


def _is_word_character(c):
    return 0x30 <= c <= 0x39 or 0x41 <= c <= 0x5A or 0x61 <= c <= 0x7A or c == 0x5F


class _Lines:
    """The file line by line, and the words of a line. A quoted string or a backslash can continue in the next line.

    number  the number of lines that libuci has counted, for its error messages
    at      the number of the line that was read last, from 1
    """

    def __init__(self, text):
        self._text = text
        self._at = 0
        self._capacity = 32
        self._feeds = 0
        self.number = 0
        self.at = 0
        self.line = b""
        self.pos = 0

    def next(self):
        """Begin the next line; False at the end of the file."""
        if self._at >= len(self._text):
            return False
        self.line = self._read(0)
        self.pos = 0
        return True

    def _read(self, offset):
        """Return the next physical line, with its line feed, which is placed at `offset` in the current one.

        libuci reads pieces of the size of its buffer, which doubles as necessary. That is visible only at a NUL: it hides
        the rest of its piece, and the following piece is appended.
        """
        line = b""
        self.at = self._feeds + 1
        if offset >= self._capacity - 1:
            self._capacity *= 2
        while True:
            most = self._capacity - offset - len(line) - 1
            feed = self._text.find(b"\n", self._at, self._at + most)
            end = min(self._at + most, len(self._text)) if feed < 0 else feed + 1
            if feed >= 0:
                self._feeds += 1
            piece = self._text[self._at : end]
            self._at = end
            nul = piece.find(b"\0")
            if nul >= 0:
                piece = piece[:nul]
            if not piece:
                return line
            line += piece
            if line[-1:] == b"\n":
                self.number += 1
                return line
            self._capacity *= 2

    def _continue(self):
        """Replace the rest of this line by the next line; False at the end of the file."""
        self.line = self.line[: self.pos] + self._read(self.pos)
        return self.pos < len(self.line)

    def error(self, reason):
        return ParseError(reason, self.number, self.pos)

    @property
    def _here(self):
        """The character at the position, as a number; 0, which no line contains, at the end of the line."""
        return self.line[self.pos] if self.pos < len(self.line) else 0

    def skip_space(self):
        while self._here in _SPACE:
            self.pos += 1

    def keyword(self):
        """Return the word up to a space or tab without moving on, and its end; None at the end of the line."""
        start = self.pos
        while start < len(self.line) and self.line[start] in b" \t":
            start += 1
        end = start
        while end < len(self.line) and self.line[end] not in b" \t":
            end += 1
        return (self.line[start:end], end) if end > start else (None, end)

    def word(self):
        """Return the next word; empty when the command ends here."""
        self.skip_space()
        if self._here == _SEMICOLON:
            self.pos += 1
            return b""
        start = self.pos
        out = bytearray()
        while True:
            c = self._here
            if c in b"'\"":
                self._quoted(c, out)
            elif c == _HASH:
                self.line = self.line[: self.pos]
                break
            elif not c or c == _SEMICOLON:
                break
            elif c == _BACKSLASH:
                self._escaped(out)
            else:
                out.append(c)
                self.pos += 1
            if not self._here or self._here in _SPACE:
                break
        if self._here == _SEMICOLON:
            # After a bare word, this is where libuci marks the end of the word, so the rest of the line is lost.
            if len(out) == self.pos - start:
                self.line = self.line[: self.pos]
        elif self._here:
            self.pos += 1
        return bytes(out)

    def _escaped(self, out):
        """Read the character after a backslash, or the next line."""
        self.pos += 1
        if self.line[self.pos :] in (b"", b"\n", b"\r\n"):
            self._continue()
            return
        out.append(self._here)
        self.pos += 1

    def _quoted(self, mark, out):
        """Read a quoted string, which can have several lines."""
        self.pos += 1
        while True:
            c = self._here
            if c == mark:
                self.pos += 1
                return
            if not c:
                if not self._continue():
                    raise self.error("EOF with unterminated " + chr(mark))
            elif c == _BACKSLASH and mark == _DOUBLE_QUOTE:
                self._escaped(out)
            else:
                out.append(c)
                self.pos += 1


class _Parser:
    """Makes a package from the commands of a file."""

    def __init__(self, name, text, strict):
        self.package = Package(name)
        self._lines = _Lines(text)
        self._strict = strict
        self._section = None
        self._words = {}

    def parse(self):
        while self._lines.next():
            try:
                self._parse_line()
            except ParseError as e:
                if self._strict:
                    raise
                self.package.skipped.append(str(e))
                self.package.damaged.append(self._section)
            pause.pause()
        return self.package

    def _parse_line(self):
        lines = self._lines
        lines.skip_space()
        while True:
            word, end = lines.keyword()
            if word is None or word[:1] == b"#":
                return
            command = _KEYWORDS.get(word)
            if command is None:
                raise lines.error("invalid command")
            if command in (b"o", b"l") and self._section is None:
                raise lines.error("option/list command found before the first section")
            if end >= len(lines.line):
                raise lines.error(_WITHOUT_NAME.get(command, "option without name"))
            lines.pos = end + 1
            self._parse_command(command)

    def _parse_command(self, command):
        line = self._lines.at
        if command == b"p":
            self._name(is_package_name, True)
            self._end()
        elif command == b"c":
            self._parse_config(line)
        else:
            name = self._name(is_name, True)
            value = self._lines.word()
            self._end()
            if command == b"l":
                self._section.append(name, value, line)
            elif value:
                self._section.set(name, value, line)

    def _parse_config(self, line):
        kind = self._lines.word()
        if not kind:
            raise self._lines.error("insufficient arguments")
        if not is_type(kind):
            raise self._lines.error("invalid character in type field")
        kind = self._shared(kind)
        name = self._name(is_name, False)
        self._end()
        section = self.package.find(name) if name else None
        if section is None:
            section = self.package.add(kind, name, line)
        elif section.kind != kind and self._strict:
            raise self._lines.error("section of different type overwrites prior section with same name")
        else:
            section.retype(kind, line)
        self._section = section

    def _name(self, is_valid, required):
        name = self._lines.word()
        if not name and required:
            raise self._lines.error("insufficient arguments")
        if name and not is_valid(name):
            raise self._lines.error("invalid character in name field")
        return self._shared(name)

    def _shared(self, word):
        """Return the first object that is equal to the word, which saves memory: names are repeated in each section."""
        return self._words.setdefault(word, word)

    def _end(self):
        self._lines.skip_space()
        if self._lines.word() and self._strict:
            raise self._lines.error("too many arguments")


def parse(name, text, strict=True):
    """Return the Package in the bytes `text`; ParseError if it has errors. Lenient mode raises no error."""
    return _Parser(name, text, strict).parse()


# Uncommitted changes, one a line: pkg.sec.opt='value' sets; before it + adds a section, - removes, @ renames,
# ^ reorders, | adds to a list, ~ removes from a list. A line with an error is skipped.


def apply_changes(package, text):
    """Apply the uncommitted changes in the bytes `text` to the package."""
    lines = _Lines(text)
    while lines.next():
        try:
            change = _parse_change(lines)
        except ParseError:
            continue
        if change is not None and change[1] == package.name:
            _apply(package, change)


def _parse_change(lines):
    """Return (command, package, section, option, value), or None if the line is not a change."""
    word = lines.word()
    if not word or lines.pos < len(lines.line):
        return None
    command = b"="
    if word[:1] in (b"+", b"-", b"@", b"^", b"|", b"~"):
        command, word = word[:1], word[1:]
    path, equals, value = word.partition(b"=")
    parts = path.split(b".")
    if not 2 <= len(parts) <= 3 or not is_package_name(parts[0]) or not all(is_name(p) for p in parts[1:]):
        return None
    value = value if equals else None
    if value is None and command != b"-" or value and not is_text(value):
        return None
    option = parts[2] if len(parts) == 3 else None
    if command == b"^" and option or command in (b"|", b"~") and not option or command == b"@" and not is_name(value):
        return None
    return command, parts[0], parts[1], option, value


def is_text(value):
    """Whether `uci set` would accept this as a value."""
    return all(c >= 32 or c in b"\t\n\r" for c in value)


def _apply(package, change):
    command, _, name, option_name, value = change
    section = package.find(name)
    option = section.find(option_name) if section and option_name else None
    if command in (b"=", b"+"):
        _apply_set(package, section, change)
    elif section is None or option_name and option is None and command != b"|":
        return
    elif command == b"-":
        _apply_removal(package, section, option, value)
    elif command == b"@":
        _apply_rename(section, option, value)
    elif command == b"^":
        package.sections.remove(section)
        package.sections.insert(_index(value) or 0, section)
    elif command == b"|":
        section.append(option_name, value)
    elif command == b"~" and option.values is not None:
        option.values = [v for v in option.values if v != value]


def _apply_set(package, section, change):
    command, _, name, option_name, value = change
    if option_name:
        if section is not None:
            section.assign(option_name, value)
    elif not value:
        if section is not None:
            package.sections.remove(section)
    elif is_type(value):
        if section is None:
            section = package.add(value, name)
            section.anonymous = False
        else:
            section.retype(value)
        if command == b"+":
            section.anonymous = True


def _apply_removal(package, section, option, value):
    if option is None:
        package.sections.remove(section)
    elif value and option.values is not None:
        index = _index(value)
        if index is not None and index < len(option.values):
            del option.values[index]
    else:
        section.options.remove(option)


def _apply_rename(section, option, value):
    if option is None:
        section.name = value
        section.anonymous = False
    else:
        option.name = value


def _index(text):
    """Return the decimal number at the start of the bytes; None without a number, or if it is not an index of a list."""
    text = text.lstrip()
    end = start = 1 if text[:1] in (b"+", b"-") else 0
    while text[end : end + 1].isdigit():
        end += 1
    number = int(text[start:end] or b"-1")
    if text[:1] == b"-":
        number = -number if end > start else -1
    return number if 0 <= number < 0x80000000 else None


def load(name, strict=True, directory=CONFIG_DIRECTORY, saved=SAVE_DIRECTORY, override=OVERRIDE_DIRECTORY):
    """Return the package of this name with its uncommitted changes; OSError or ParseError if that is not possible."""
    path = file_of(name, directory, override)
    for _ in range(ATTEMPTS):
        fd = _open_locked(path)
        try:
            package = parse(name.encode(), read_all(fd), strict)
            apply_saved(package, saved)
            # `uci commit` removes the changes while the file is locked, but renames the new file only after that.
            if is_at(fd, path):
                break
        finally:
            system.files.close(fd)
    return package


def is_being_written(name, directory=CONFIG_DIRECTORY, saved=SAVE_DIRECTORY, override=OVERRIDE_DIRECTORY):
    """Whether another program writes the package or its changes now, so that `load` would wait."""
    for path in (file_of(name, directory, override), saved + "/" + name):
        try:
            if system.files.status(path)[1] & S_IFMT != S_IFREG:
                continue  # a pipe can block
            fd = system.files.open_to_read(path)
        except OSError:
            continue
        locked = system.files.is_locked(fd)
        system.files.close(fd)
        if locked:
            return True
    return False


def _open_locked(path):
    """Open a regular file and lock it against writers, as libuci does."""
    if system.files.status(path)[1] & S_IFMT != S_IFREG:
        raise OSError(abi.ENOENT, "not a file")
    fd = system.files.open_to_read(path)
    try:
        system.files.lock(fd, True)
    except OSError:
        system.files.close(fd)
        raise
    return fd


def read_all(fd):
    """Return the rest of the open file."""
    parts = []
    while not parts or parts[-1]:
        parts.append(system.files.read(fd, 4096))
    return b"".join(parts)


def is_at(fd, path):
    """Whether the open file still has that name."""
    return system.files.status(fd)[0] == system.files.status(path)[0]


def file_of(name, directory=CONFIG_DIRECTORY, override=OVERRIDE_DIRECTORY):
    """Return the path of the package's file. A file in `override`, if that is not empty, comes first."""
    path = override + "/" + name
    return path if override and system.files.exists(path) else directory + "/" + name


def apply_saved(package, directory):
    """Apply the changes to the package that are saved in the directory."""
    try:
        fd = _open_locked(directory + "/" + package.name.decode())
    except OSError:
        return
    try:
        apply_changes(package, read_all(fd))
    finally:
        system.files.close(fd)


def main(arguments):
    """`[-S] [-c DIR] [-C OVERRIDEDIR] [-t SAVEDIR] show PACKAGE`, as `uci -X` would; return the exit status."""
    strict = True
    directories = {"-c": CONFIG_DIRECTORY, "-C": OVERRIDE_DIRECTORY, "-t": None}
    arguments = list(arguments)
    while arguments and (arguments[0] == "-S" or arguments[0] in directories):
        option = arguments.pop(0)
        if option == "-S":
            strict = False
        elif arguments:
            directories[option] = arguments.pop(0)
    if len(arguments) != 2 or arguments[0] != "show":
        system.process.write_line("usage: uci [-S] [-c DIR] [-C OVERRIDEDIR] [-t SAVEDIR] show PACKAGE")
        return 1
    try:
        package = load(arguments[1], strict, directories["-c"], SAVE_DIRECTORY, directories["-C"])
        if directories["-t"]:
            apply_saved(package, directories["-t"])  # in addition to the usual changes
    except ParseError as e:
        system.process.write_line("uci: %s" % e)
        return 1
    except OSError:
        system.process.write_line("uci: Entry not found")
        return 1
    for line in package.skipped:
        system.process.write_line(line)
    system.files.write(1, package.show())
    return 0


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
