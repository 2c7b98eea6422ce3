"""The files of wg-quick(8). They are files of wg(8) with more keys in [Interface]: addresses, MTU, hooks and others."""

from ..errors import UserError
from ..runtime import folders

INTERFACE = "interface"
PEER = "peer"

# The keys of [Interface] that only wg-quick has, in lower case.
_HOOKS = ("preup", "postup", "predown", "postdown")
OWN_KEYS = ("address", "dns", "mtu", "table") + _HOOKS + ("saveconfig",)
_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=+.-"
_NAME_MAX = 15
_SHORT = 20


class Section:
    """One section: its `kind`, INTERFACE or PEER, and `entries`, (key in lower case, value, line) in order."""

    def __init__(self, kind, line):
        self.kind = kind
        self.line = line
        self.entries = []

    def all(self, key):
        """Return all values of the key, which is in lower case."""
        return [value for name, value, _ in self.entries if name == key]

    def last(self, key, otherwise=""):
        """Return the last value of the key, which is the one in effect."""
        values = self.all(key)
        return values[-1] if values else otherwise

    def words(self, key):
        """Return the entries of all comma-separated lists of the key."""
        return [word for value in self.all(key) for word in value.replace(",", " ").split()]


class QuickFile:
    """A file: its sections, `stripped` (the text for wg(8)), and `saves` (whether `down` saves the state)."""

    def __init__(self, sections, stripped):
        self.sections = sections
        self.stripped = stripped
        # A file can have several [Interface] sections. Their entries are joined.
        self.interface = Section(INTERFACE, 0)
        for section in sections:
            if section.kind == INTERFACE:
                self.interface.entries += section.entries
        self.peers = [section for section in sections if section.kind == PEER]
        self.saves = _boolean(self.interface.last("saveconfig", "false"))


def _boolean(text):
    if text.lower() not in ("true", "false"):
        raise UserError("`%s' is neither true nor false" % text)
    return text.lower() == "true"


def parse(text):
    """Return the QuickFile of a text; UserError for a line that is neither a section nor an entry of one."""
    sections, kept = [], []
    for number, line in enumerate(text.split("\n")):
        bare = line.partition("#")[0].strip()
        name, equals, value = bare.partition("=")
        key = name.strip().lower()
        if key in _HOOKS:
            # In a shell, "#" is not always a comment: quotes, and ${x#y}.
            value = line.partition("=")[2]
        if key[:1] == "[":
            if key not in ("[interface]", "[peer]"):
                raise UserError("line %d: %s" % (number + 1, _about_section(bare)))
            sections.append(Section(key[1:-1], number + 1))
        elif bare:
            if not sections or not equals:
                # The line is not shown: it can be a key without its name.
                raise UserError("line %d: expected a section, or NAME = VALUE in a section" % (number + 1))
            sections[-1].entries.append((key, value.strip(), number + 1))
            if sections[-1].kind == INTERFACE and key in OWN_KEYS:
                continue
        kept.append(line)
    return QuickFile(sections, "\n".join(kept))


def _about_section(text):
    # The rest of the line is not shown: it can be a key.
    if len(text) > _SHORT or text[-1] != "]":
        return "expected [Interface] or [Peer], with nothing after it"
    return "%s is not a section" % text


def to_text(data):
    """Return a file's bytes as the text for `parse`; UnicodeError. Comments can have any encoding."""
    try:
        text = data.decode()
    except UnicodeError:
        text = "\n".join([_without_comment(line) for line in data.split(b"\n")])
    return text[1:] if text[:1] == "\ufeff" else text


def _without_comment(data):
    bare = data.split(b"#")[0].decode()
    # The shell finds the comments of a hook.
    return data.decode() if bare.partition("=")[0].strip().lower() in _HOOKS else bare


def is_name(text):
    """Whether the text can be the name of an interface."""
    return 0 < len(text) <= _NAME_MAX and all(c in _NAME for c in text)


def locate(argument):
    """Return (path, interface name) for an argument, a path or a name; UserError if it is neither."""
    path = "%s/%s.conf" % (folders.WG_QUICK, argument) if is_name(argument) else argument
    name = path.rpartition("/")[2]
    if name[-5:] != ".conf" or not is_name(name[:-5]):
        raise UserError("The config file must be a valid interface name, followed by .conf")
    return path, name[:-5]


def format_own(quick):
    """Return the lines of a saved file that only wg-quick has, without the addresses."""
    names = {"mtu": "MTU", "dns": "DNS", "table": "Table", "saveconfig": "SaveConfig", "preup": "PreUp",
             "postup": "PostUp", "predown": "PreDown", "postdown": "PostDown"}  # fmt: skip
    lines = []
    for key in ("dns", "mtu", "table", "saveconfig", "preup", "postup", "predown", "postdown"):
        lines += ["%s = %s\n" % (names[key], value) for value in quick.interface.all(key)]
    return "".join(lines)
