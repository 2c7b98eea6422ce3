"""Build the wheels of a release: python package/build_wheels.py FOLDER [options]

One wheel without the C library, for all machines, and one with it for each platform whose compiler is installed. They do not
depend on the version of Python. Needs pip. Variables such as CC_X86_64, CC_ARMV7L and CC_MUSL_X86_64 name the compilers; the
defaults are Debian's names.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The platform: its tag (PEP 600, PEP 656) and the compiler. The newest function of the library in glibc is explicit_bzero.
# It is in 2.25, but the next tag that repositories take is 2.26.
PLATFORMS = {
    "x86_64": ("manylinux_2_26_x86_64", "x86_64-linux-gnu-gcc"),
    "aarch64": ("manylinux_2_26_aarch64", "aarch64-linux-gnu-gcc"),
    "armv7l": ("manylinux_2_26_armv7l", "arm-linux-gnueabihf-gcc"),
    "musl_x86_64": ("musllinux_1_2_x86_64", "musl-gcc"),
}
LEFT_OUT = shutil.ignore_patterns(".*", "build", "tests", "*.egg-info", "__pycache__", "*.so")


def compiler(platform):
    """Return the command of the C compiler for the platform, or None."""
    command = os.environ.get("CC_" + platform.upper(), PLATFORMS[platform][1])
    return command if shutil.which(command.split()[0]) else None


def build(folder, platform=None, isolated=True):
    """Write the wheel for the platform below `folder`, None for any; return its path.

    isolated  False: use the installed setuptools and wheel, and download nothing
    """
    environment = dict(os.environ, WGEMBED_BUILD_FASTPATH="0")
    if platform:
        # Python takes this as the machine of the build.
        tag = PLATFORMS[platform][0]
        environment.update(WGEMBED_BUILD_FASTPATH="1", CC=compiler(platform), _PYTHON_HOST_PLATFORM=tag)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    with tempfile.TemporaryDirectory() as work:
        source, made = Path(work, "source"), Path(work, "made")
        shutil.copytree(ROOT, source, ignore=LEFT_OUT)
        options = [] if isolated else ["--no-build-isolation"]
        subprocess.run([*command, *options, "--wheel-dir", made, source], env=environment, check=True)
        (wheel,) = made.glob("*.whl")
        Path(folder).mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(wheel, folder))


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--platform", choices=["any", *PLATFORMS], help="only for this one")
    parser.add_argument("--no-isolation", action="store_true", help="build with what is installed; nothing is fetched")
    options = parser.parse_args(arguments)
    for platform in [options.platform] if options.platform else ["any", *PLATFORMS]:
        if platform != "any" and not compiler(platform):
            text = f"no compiler for {platform}: {PLATFORMS[platform][1]} is not installed"
            if options.platform:
                sys.exit(text)
            print(text, file=sys.stderr)
            continue
        print(build(options.folder, None if platform == "any" else platform, not options.no_isolation))


if __name__ == "__main__":
    main(sys.argv[1:])
