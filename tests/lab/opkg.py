"""The real opkg of OpenWrt, for a root. It is not in this tree: WGEMBED_OPKG names a folder with `opkg` and `usign`."""

import os
import subprocess
from pathlib import Path

from .need import Missing


def programs():
    """Return the folder of the programs. Missing if WGEMBED_OPKG does not lead to them."""
    place = os.environ.get("WGEMBED_OPKG")
    if not place:
        raise Missing("WGEMBED_OPKG must name a folder with opkg and usign of OpenWrt")
    for name in ("opkg", "usign"):
        if not os.access(Path(place) / name, os.X_OK):
            raise Missing(f"WGEMBED_OPKG: there is no program {name} in {place}")
    if os.geteuid():
        raise Missing("root is needed to install packages into a folder")
    return Path(place)


class Opkg:
    """opkg with one feed, which must be signed by a key in `keys`, and a root into which it installs."""

    def __init__(self, folder, home, feed, architecture="mips_24kc"):
        self._program, self.root, self.keys = folder / "opkg", home / "root", home / "keys"
        for place in (self.root / "tmp", self.root / "usr/lib/opkg/info", self.root / "var/lock", self.keys):
            place.mkdir(parents=True)
        verify = home / "verify"
        # As opkg-key does it: the signature is that of the index before it was compressed.
        verify.write_text(f'#!/bin/sh\nzcat "$3" | {folder}/usign -V -q -P {self.keys} -x "$2" -m -\n')
        verify.chmod(0o755)
        self._configuration = home / "opkg.conf"
        lines = [
            "dest root /", "lists_dir ext /lists", "option check_signature 1",
            f"option verify_program {verify}", f"src/gz wgembed file:{feed}", "arch all 1", f"arch {architecture} 10",
        ]  # fmt: skip
        self._configuration.write_text("".join(line + "\n" for line in lines))

    def run(self, *arguments):
        """Run opkg; return its exit status and what it wrote."""
        command = [self._program, "-f", self._configuration, "-o", self.root, *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        return done.returncode, done.stdout
