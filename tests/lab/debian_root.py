"""A copy of this Debian machine: its files under an overlay, in separate namespaces, so that dpkg and systemd can run in it.

What is installed there is gone with it. The first process is a shell that waits, or systemd.
"""

import shutil
import subprocess

from . import debian, leftovers, net
from .builders import build_deb, build_ipk
from .need import Missing, programs
from .patience import stretch

# The folders of devices, processes and state are new. `$1` is the folder, the rest the first process.
LAY_OUT = """
set -e
folder=$1; shift
mount -t tmpfs none "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay none -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
cd "$folder/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
for place in run tmp dev; do mount -t tmpfs tmpfs "$place"; done
mkdir -p dev/net dev/pts dev/shm dev/mqueue run/lock
for device in null zero full random urandom tty net/tun; do
	touch "dev/$device"
	mount --bind "/dev/$device" "dev/$device"
done
mount -t cgroup2 none sys/fs/cgroup
# None of this machine's services.
for place in etc/systemd/system/*.wants usr/lib/systemd/system/*.wants; do
	[ ! -d "$place" ] || find "$place" -type l -delete
done
touch run/laid-out
exec chroot . env -i PATH="$PATH" container=test "$@"
"""
SYSTEMD = ["/lib/systemd/systemd", "--unit=multi-user.target", "--show-status=no"]


def prepare():
    programs("dpkg", "unshare", "nsenter", "chroot", "python3")
    if not shutil.which("dpkg-query"):
        raise Missing("this test needs a Debian machine")


def has_systemd():
    programs("systemctl")


class DebianRoot:
    """The copy, in the network namespace of a lab.net.Namespace. With `systemd`, that is the first process."""

    def __init__(self, namespace, systemd=False):
        self._folder = leftovers.folder("deb")
        first = SYSTEMD if systemd else ["sleep", "100000"]
        command = ["unshare", "-mpiuC", "--fork", "--kill-child", "--propagation", "private"]
        self._holder = subprocess.Popen(
            namespace.command(*command, "sh", "-c", LAY_OUT, "sh", str(self._folder), *first),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        net.poll(lambda: self.run("test", "-e", "/run/laid-out", check=False)[0] == 0, 10, what="the copy of this machine")
        self._bring_nacl()
        if systemd:
            states = ("running", "degraded")
            net.poll(
                lambda: self.run("systemctl", "is-system-running", check=False)[1].strip() in states, 30, what="systemd"
            )

    def close(self):
        self._holder.kill()
        self._holder.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _first(self):
        """The process id of the first process, as this machine has it."""
        children = f"/proc/{self._holder.pid}/task/{self._holder.pid}/children"
        with open(children) as file:
            return file.read().split()[0]

    def run(self, *argv, check=True, timeout=60):
        """Run a command to its end; returns (exit code, output)."""
        try:
            first = self._first()
        except (OSError, IndexError):
            return 1, "not there yet"
        command = [
            "nsenter",
            f"--target={first}",
            "--mount",
            "--pid",
            "--ipc",
            "--uts",
            "--net",
            "--cgroup",
            "--root",
            "--wd",
        ]
        done = subprocess.run(
            [*command, "--", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=stretch(timeout), env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"},
        )  # fmt: skip
        assert not check or done.returncode == 0, (argv, done.returncode, done.stdout)
        return done.returncode, done.stdout

    def read(self, path):
        return self.run("cat", path)[1]

    def exists(self, path):
        return self.run("test", "-e", path, check=False)[0] == 0

    def copy(self, path, place):
        """Copy a file of this machine into the copy, whose /tmp is empty."""
        with open(path, "rb") as file:
            self._put(place, file.read())

    def _put(self, place, data):
        command = ["nsenter", f"--target={self._first()}", "--mount", "--root", "--", "sh", "-c", f"cat >{place}"]
        subprocess.run(command, input=data, check=True)

    def write(self, place, text):
        self._put(place, text.encode())

    def dpkg(self, *arguments, check=True):
        return self.run("dpkg", *arguments, check=check, timeout=120)

    def install(self, package, check=True):
        self.copy(package, f"/tmp/{package.name}")
        return self.dpkg("-i", f"/tmp/{package.name}", check=check)

    def _bring_nacl(self):
        """Install python3-nacl, on which the package depends, if this machine has it not."""
        if self.dpkg("-s", "python3-nacl", check=False)[0] == 0:
            return
        found = debian.unpack("python3-nacl", ["python3-nacl"])
        files = {str(path.relative_to(found)): (path.read_bytes(), 0o644) for path in found.rglob("*") if path.is_file()}
        control = (
            "Package: python3-nacl\nVersion: 1.5.0-2\nArchitecture: all\nMaintainer: lab <lab@localhost>\nDescription: -\n"
        )
        members = {
            "debian-binary": b"2.0\n",
            "control.tar.gz": build_ipk.tar_gz({"control": (control.encode(), 0o644)}, 0),
            "data.tar.gz": build_ipk.tar_gz(files, 0),
        }
        self._put("/tmp/nacl.deb", build_deb.archive(members, 0))
        self.dpkg("-i", "/tmp/nacl.deb")
