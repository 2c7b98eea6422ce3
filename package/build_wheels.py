"""Build the wheels of a release: python package/build_wheels.py FOLDER [options]

One wheel without the C library, for all machines, and one with it for each machine whose compiler is installed. They do not
depend on the version of Python. Needs pip. The variables CC_X86_64 and CC_AARCH64 name the compilers; the defaults are
Debian's names.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MACHINES = ("x86_64", "aarch64")
LEFT_OUT = shutil.ignore_patterns(".*", "build", "tests", "*.egg-info", "__pycache__", "*.so")


def compiler(machine):
    """Return the command of the C compiler for the machine, or None."""
    command = os.environ.get("CC_" + machine.upper(), f"{machine}-linux-gnu-gcc")
    return command if shutil.which(command.split()[0]) else None


def build(folder, machine=None, isolated=True):
    """Write the wheel for the machine below `folder`, None for any; return its path.

    isolated  False: use the installed setuptools and wheel, and download nothing
    """
    environment = dict(os.environ, WGEMBED_BUILD_FASTPATH="0")
    if machine:
        # Python takes this as the machine of the build.
        environment.update(WGEMBED_BUILD_FASTPATH="1", CC=compiler(machine), _PYTHON_HOST_PLATFORM=f"linux-{machine}")
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
    parser.add_argument("--machine", choices=["any", *MACHINES], help="only for this one")
    parser.add_argument("--no-isolation", action="store_true", help="build with what is installed; nothing is fetched")
    options = parser.parse_args(arguments)
    for machine in [options.machine] if options.machine else ["any", *MACHINES]:
        if machine != "any" and not compiler(machine):
            text = f"no compiler for {machine}"
            if options.machine:
                sys.exit(text)
            print(text, file=sys.stderr)
            continue
        print(build(options.folder, None if machine == "any" else machine, not options.no_isolation))


if __name__ == "__main__":
    main(sys.argv[1:])
