"""What the packages for OpenWrt contain, and how they depend on others; build_ipk.py and build_apk.py write them.

A Package is the same for opkg and apk. `check` refuses names, versions, paths and scripts that one of them would not take.
"""

import argparse
import ast
import functools
import io
import json
import os
import re
import sys
import tempfile
import tokenize
from dataclasses import dataclass, field
from pathlib import Path

import build_mpy

ROOT = Path(__file__).resolve().parents[1]
HOME = "usr/lib/wgembed"
# The files of both packages: source, path on the router, mode.
FILES = [
    ("init.d/wgembed", "etc/init.d/wgembed", 0o755),
    ("package/files/wgembed.config", "etc/config/wgembed", 0o600),
    ("package/files/wgembed.json", "etc/capabilities/wgembed.json", 0o644),
    ("package/files/wgembed.seccomp.json", "etc/seccomp/wgembed.json", 0o644),
    ("package/files/wgembed.defaults", "etc/uci-defaults/wgembed", 0o755),
    ("package/files/wgembed.keep", "lib/upgrade/keep.d/wgembed", 0o644),
    ("package/files/wgembed.sh", "usr/sbin/wgembed", 0o755),
    ("package/files/launch.sh", f"{HOME}/launch.sh", 0o644),
    ("package/files/start.py", f"{HOME}/start.py", 0o644),
    # The program looks at the name by which it is called.
    ("package/files/start.py", f"{HOME}/wg", 0o644),
]
# With the modules that start it.
TOOLS_FILES = [("wgembed/hooks.sh", f"{HOME}/wgembed/hooks.sh", 0o644)]
CONFFILES = ["/etc/config/wgembed"]
# The dependencies and scripts of each program.
VARIANTS = {
    "micropython": (["kmod-tun", "libsodium", "micropython"], {"postinst": "package/files/micropython.postinst"}),
    "python3": (
        ["kmod-tun", "python3-light", "python3-pynacl"],
        {"postinst": "package/files/python3.postinst", "prerm": "package/files/python3.prerm"},
    ),
}
# The one that is installed for those who ask for wgembed.
PREFERRED = "micropython"
# What a tunnel does not need: import, export, up, down, reload, report, apply, confirm, setconf, addconf and syncconf, the
# history and the hooks of the daemon, and the part of `check` about the files of other programs. Their modules are in a
# separate package for MicroPython, because a small router has little flash. A command without its module reports the name
# of the package (wgembed/commands/main.py).
TOOLS = "wgembed-micropython-tools"
TOOLS_MODULES = (
    "commands/apply", "commands/check_router", "commands/convert", "commands/history", "commands/hooks", "commands/quick",
    "commands/report", "commands/wg/setconf", "config/convert", "config/convert_network", "config/wg_quick",
    "daemon/unconfirmed", "daemon/watch/__init__", "daemon/watch/explained", "daemon/watch/history",
    "daemon/watch/history_write", "daemon/watch/hooks", "daemon/watch/peer_events", "daemon/watch/peer_watch",
    "daemon/watch/record_files",
)  # fmt: skip
# The page: the destinations of its folders. Its dependencies are in its Makefile.
LUCI = "luci-app-wgembed"
LUCI_FOLDERS = {"htdocs": "www", "root": ""}
# After this, rpcd knows the page's methods and rights, and LuCI knows its menu.
LUCI_POSTINST = """\
#!/bin/sh
if [ -z "${IPKG_INSTROOT}" ]; then
	rm -rf /tmp/luci-indexcache* /tmp/luci-modulecache
	[ ! -x /etc/init.d/rpcd ] || /etc/init.d/rpcd reload
fi
"""
FASTPATH = "wgembed-fastpath"
NETIFD = "wgembed-netifd"
NETIFD_FILES = {
    "wireguard.sh": "lib/netifd/proto/wireguard.sh",
    "endpoint": f"{HOME}/endpoint",
    "wg": "usr/bin/wg",
    "show.uc": f"{HOME}/show.uc",
    "wireguard_watchdog": "usr/bin/wireguard_watchdog",
    "init": "etc/init.d/wgembed-netifd",
}
# OpenWrt's program cannot talk to a program in user space, and brings another protocol handler.
NETIFD_REPLACES = "wireguard-tools"
# The modules that CPython never runs.
ONLY_MICROPYTHON = ("crypto/_micropython.py", "packets/runs_micropython.py", "runtime/micropython/", build_mpy.SHIM)


LICENSE = "MIT"
# What opkg and apk both take. apk's versions are in its page apk-package(5).
_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_VERSION = re.compile(r"\d+(\.\d+)*[a-z]?(_(alpha|beta|pre|rc|cvs|svn|git|hg|p)\d*)*(~[0-9a-f]+)?")
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9_.+-]*")
# OpenWrt's apk cuts longer ones.
_DESCRIPTION_BYTES = 256


class PackageProblem(Exception):
    """A package cannot be built, because opkg or apk would not take it. The text says why."""


@dataclass
class Package:
    """What is in a package. `files`: {path: (bytes, mode)}. `architecture`: "all", or as OpenWrt names it.

    `depends_same`: names of packages that must have the same version and release as this one.
    `postinst`, `prerm`: our shell scripts, or "". They run beside OpenWrt's default_postinst and default_prerm.
    `priority`: for apk, which chooses the package with the highest among those that provide one name, or 0.
    """

    name: str
    files: dict
    depends: list
    section: str
    description: str
    architecture: str = "all"
    provides: list = field(default_factory=list)
    conflicts: list = field(default_factory=list)
    conffiles: list = field(default_factory=list)
    postinst: str = ""
    prerm: str = ""
    priority: int = 0
    version: str = field(default_factory=lambda: version())
    release: int = 1
    depends_same: list = field(default_factory=list)


def version():
    """Return the version of the package, read from the source without an import."""
    return re.search(r'__version__ = "(.+)"', (ROOT / "wgembed/__init__.py").read_text())[1]


def python_modules():
    """Yield the modules that CPython runs, by their path in wgembed/."""
    for path in sorted((ROOT / "wgembed").rglob("*.py")):
        name = path.relative_to(ROOT / "wgembed").as_posix()
        if not name.startswith((*ONLY_MICROPYTHON, *build_mpy.CONTRACTS, "commands/demo.py")):
            yield name


def _code(text):
    """Return the source of a module without docstrings and comments, half of its size; each line keeps its number."""
    lines = text.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            first = node.body[0]
            lines[first.lineno - 1 : first.end_lineno] = [""] * (first.end_lineno - first.lineno + 1)
            if len(node.body) == 1 and not isinstance(node, ast.Module):
                lines[first.lineno - 1] = " " * first.col_offset + "pass"
    return "\n".join(lines)


def _content(path):
    """Return the bytes of a file, of a program without comments."""
    text = path.read_text()
    if path.suffix == ".py":
        text = _code(text)
    elif text.startswith("#!/bin/sh") or path.suffix == ".sh":
        first, *rest = text.split("\n")
        text = "\n".join([first] + [line for line in rest if not line.lstrip().startswith("#")])
    elif path.suffix == ".json":
        text = json.dumps(json.loads(text), separators=(",", ":")) + "\n"
    return text.encode()


def luci_contents():
    """Return {path: (bytes, mode)} of the page."""
    files = {}
    for folder, place in LUCI_FOLDERS.items():
        base = ROOT / "package" / LUCI / folder
        for path in sorted(path for path in base.rglob("*") if path.is_file()):
            files[(Path(place) / path.relative_to(base)).as_posix()] = path.read_bytes(), 0o644
    return files


def luci_depends():
    """Return the names of the packages that the page depends on, from its Makefile."""
    words = re.search(r"^LUCI_DEPENDS:=(.*)$", (ROOT / "package" / LUCI / "Makefile").read_text(), re.MULTILINE)[1]
    return [word.lstrip("+") for word in words.split()]


@functools.cache
def _bytecode(native):
    """Return ({path: (bytes, mode)} of the program, the same of the package TOOLS), compiled for MicroPython."""
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        build_mpy.build(folder, native)
        for path in Path(folder).rglob("*.mpy"):
            files[f"{HOME}/{path.relative_to(folder).as_posix()}"] = path.read_bytes(), 0o644
    tools = {f"{HOME}/wgembed/{name}.mpy" for name in TOOLS_MODULES}
    return (
        {place: file for place, file in files.items() if place not in tools},
        {place: files[place] for place in sorted(tools)},
    )


def contents(variant, native=None):
    """Return {path: (bytes, mode)} of all files that the package installs. `variant`: of VARIANTS, or "tools"."""
    if variant == "tools":
        return _files(TOOLS_FILES) | _bytecode(native)[1]
    files = _files(FILES)
    if variant == "python3":
        files |= _files(TOOLS_FILES)
        for name in python_modules():
            files[f"{HOME}/wgembed/{name}"] = _code((ROOT / "wgembed" / name).read_text()).encode(), 0o644
        return files
    return files | _bytecode(native)[0]


def _files(rows):
    return {place: (_content(ROOT / source), mode) for source, place, mode in rows}


def program(variant, native=None, architecture="all", with_tun=True):
    """Return the Package of one of the programs; `native` as for build_mpy.build."""
    depends, scripts = VARIANTS[variant]
    return Package(
        f"wgembed-{variant}",
        contents(variant, native),
        ["libc", *(name for name in depends if with_tun or name != "kmod-tun")],
        "net",
        "WireGuard in user space, for routers whose kernel has no WireGuard",
        architecture,
        ["wgembed"],
        [f"wgembed-{other}" for other in VARIANTS if other != variant],
        list(CONFFILES),
        priority=100 if variant == PREFERRED else 0,
        **{name: (ROOT / source).read_text() for name, source in scripts.items()},
    )


def tools():
    """Return the Package of the commands that a small router can do without, for wgembed-micropython.

    Bytecode modules of different versions do not fit together.
    """
    description = "Hooks and history of wgembed; apply, confirm, import, export, up, down, reload, report, setconf"
    return Package(TOOLS, contents("tools"), ["libc"], "net", description, depends_same=["wgembed-micropython"])


def luci():
    """Return the Package of the page."""
    description = "LuCI support for wgembed, WireGuard in user space"
    return Package(LUCI, luci_contents(), ["libc", *luci_depends()], "luci", description, postinst=LUCI_POSTINST)


def fastpath(library, architecture):
    """Return the Package of the compiled library."""
    files = {f"{HOME}/wgembed/fastpath.so": (Path(library).read_bytes(), 0o644)}
    return Package(FASTPATH, files, ["libc", "wgembed"], "net", "The packet path of wgembed in C", architecture)


def netifd():
    """Return the Package of the protocol handler."""
    source = ROOT / "package" / NETIFD / "files"
    files = {place: ((source / name).read_bytes(), 0o755) for name, place in NETIFD_FILES.items()}
    return Package(
        NETIFD,
        files,
        ["libc", "wgembed"],
        "net",
        "WireGuard interfaces of OpenWrt, served by wgembed",
        provides=[NETIFD_REPLACES],
        conflicts=[NETIFD_REPLACES],
    )


def check(package):
    """Raise PackageProblem if opkg or apk would not take the package."""
    for name in [package.name, *package.depends, *package.depends_same, *package.provides, *package.conflicts]:
        if not _NAME.fullmatch(name):
            raise PackageProblem(
                f"{name!r} is not the name of a package: use small letters, digits, '.', '+' and '-', and no sign first"
            )
    about = f"the package {package.name}"
    if not _VERSION.fullmatch(package.version):
        raise PackageProblem(
            f"{about} has the version {package.version!r}, which apk does not take: use numbers with dots, perhaps with a"
            " letter or with _alpha, _beta, _pre or _rc and a number"
        )
    if package.release < 0:
        raise PackageProblem(f"{about} has the release {package.release}: use a number from 0")
    if not _ARCHITECTURE.fullmatch(package.architecture):
        raise PackageProblem(
            f"{about} has the architecture {package.architecture!r}: use small letters, digits, '_' and '-'"
        )
    if len(f"{package.name}_{package.version}-r{package.release}_{package.architecture}.ipk") > 255:
        raise PackageProblem(f"{about} has a file name of more than 255 letters")
    _check_line(about, "section", package.section)
    _check_line(about, "description", package.description)
    for name in ("postinst", "prerm"):
        _check_script(about, name, getattr(package, name))
    _check_files(about, package)


def _check_line(about, name, text):
    if not text.strip() or not text.isprintable() or len(text.encode()) > _DESCRIPTION_BYTES:
        raise PackageProblem(f"{about} has the {name} {text!r}: use one line of at most {_DESCRIPTION_BYTES} bytes")


def _check_script(about, name, text):
    if not text:
        return
    if not text.startswith("#!/bin/sh\n"):
        raise PackageProblem(f"the script {name} of {about} does not begin with a line #!/bin/sh")
    if "\r" in text or "\0" in text or not text.endswith("\n"):
        raise PackageProblem(
            f"the script {name} of {about} has a carriage return or a zero byte, or its last line has no end"
        )


def _check_files(about, package):
    if not package.files:
        raise PackageProblem(f"{about} has no files")
    folders = {str(parent) for place in package.files for parent in Path(place).parents}
    for place, (_, mode) in package.files.items():
        parts = place.split("/")
        if {"", ".", ".."} & {*parts} or not place.isprintable() or " " in place or max(map(len, parts)) > 200:
            raise PackageProblem(f"{about} has a file {place!r}: use a path from the root, without spaces, '.' and '..'")
        if place in folders:
            raise PackageProblem(f"{about} has {place} as a file and as a folder")
        if mode & ~0o777:
            raise PackageProblem(f"{about} has {place} with the mode {mode:o}: use permissions alone")
    for place in package.conffiles:
        if place[:1] != "/" or place[1:] not in package.files:
            raise PackageProblem(f"{about} has no file {place}, which is in its list of configuration files")


def date():
    """Return the date of the files, in seconds since 1970: SOURCE_DATE_EPOCH, or 0."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", 0))


def folders(files):
    """Return the folders of {path: ...}, sorted, without the root."""
    return sorted({str(parent) for place in files for parent in Path(place).parents} - {"."})


def lay_out(folder, variant):
    """Write the files that the package installs below `folder`."""
    for place, (data, mode) in contents(variant).items():
        path = Path(folder, place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)


def write(folder, name, data):
    """Write a file below `folder`; return its path."""
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def parser(doc):
    """Return a parser with the options of both builders."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--variant", choices=[*VARIANTS, "tools", "netifd", "luci", "fastpath"], help="only this one")
    for_library = "for --variant fastpath: fastpath.so, compiled for the machine"
    parser.add_argument("--library", dest="compiled", metavar="FILE", help=for_library)
    parser.add_argument("--native", metavar="MACHINE", help="BLAKE2s in machine code, as mpy-cross names it (x64, armv7m)")
    parser.add_argument("--architecture", default="all", help="as OpenWrt names it; --native and --library need it")
    parser.add_argument("--without-kmod-tun", action="store_true", help="for firmware with another tun module")
    return parser


def check_options(parser, options):
    """End the program if the options do not go together."""
    if options.native and options.architecture == "all":
        parser.error("machine code is not for all architectures: --architecture says for which")
    if options.native and options.variant != "micropython":
        parser.error("--native is for --variant micropython")
    if (options.variant == "fastpath") != bool(options.compiled) or (options.compiled and options.architecture == "all"):
        parser.error("--variant fastpath needs a --library and its --architecture, and nothing else takes them")


def chosen(options):
    """Yield the packages that the options name."""
    for variant in [options.variant] if options.variant else [*VARIANTS, "tools", "netifd", "luci"]:
        if variant == "luci":
            yield luci()
        elif variant == "netifd":
            yield netifd()
        elif variant == "tools":
            yield tools()
        elif variant == "fastpath":
            yield fastpath(options.compiled, options.architecture)
        else:
            yield program(variant, options.native, options.architecture, not options.without_kmod_tun)


def say(build, packages):
    """Print the path of each package that `build` writes. Ends the program with the sentence of a PackageProblem."""
    try:
        for package in packages:
            print(build(package))
    except PackageProblem as problem:
        sys.exit(f"cannot build: {problem}")
