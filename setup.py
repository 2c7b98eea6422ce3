"""The optional C library: it is put beside the modules where a compiler makes it, and left out where none does.

It knows nothing of Python: its name is the same everywhere, and a wheel that has it is for a machine, not for a version
of Python. WGEMBED_BUILD_FASTPATH=0 leaves it out, with WGEMBED_BUILD_FASTPATH=1 there is no wheel without it. All else
is in setup.cfg.
"""

import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:
    from wheel.bdist_wheel import bdist_wheel

WANTED = os.environ.get("WGEMBED_BUILD_FASTPATH")
FASTPATH = Extension(
    "wgembed.fastpath",
    ["fastpath/fastpath.c"],
    depends=["fastpath/primitives.h"],
    extra_compile_args=["-std=c11", "-O2"],
    extra_link_args=["-s"],
    optional=WANTED != "1",
)


class BuildExt(build_ext):
    def build_extensions(self):
        # Without the folder of this machine's Python: its libraries are not for the machine of a cross compiler.
        self.compiler.set_library_dirs([])
        super().build_extensions()

    def get_ext_filename(self, fullname):
        return str(Path(*fullname.split(".")).with_suffix(".so"))


class BdistWheel(bdist_wheel):
    def get_tag(self):
        made = self.distribution.has_ext_modules() and os.path.exists(
            self.get_finalized_command("build_ext").get_ext_fullpath(FASTPATH.name)
        )
        return "py3", "none", super().get_tag()[2] if made else "any"


setup(
    ext_modules=[] if WANTED == "0" else [FASTPATH],
    cmdclass={"build_ext": BuildExt, "bdist_wheel": BdistWheel},
)
