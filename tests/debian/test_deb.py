"""The package for Debian: what is in it, and the real dpkg and systemd in a copy of this machine."""

import dataclasses
import json
import re
import subprocess

import pytest

from ..lab import debian_root, fastpath, net
from ..lab.builders import build_deb, contents
from ..lab.need import need, privileges, programs

CONFIG = """
config interface 'wgdeb'
	option private_key_file '/etc/wgembed/wg0.key'
	list addresses '10.99.1.1/24'
"""
QUICK = "[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\nAddress = 10.99.2.1/24\n"
PEER = "[Peer]\nPublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\nAllowedIPs = 10.99.2.2\n"
NEWER = "99.0"
VERSIONS = ("1.0_alpha1", "1.0_beta", "1.0_rc1", "1.0", "1.0_p1", "1.0.1")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build_deb.write(tmp_path_factory.mktemp("deb"), build_deb.package())


def field(package, name):
    return subprocess.run(["dpkg-deb", "-f", package, name], capture_output=True, text=True, check=True).stdout.strip()


def test_what_dpkg_reads(package):
    need(programs, "dpkg-deb")
    assert (field(package, "Package"), field(package, "Version")) == ("wgembed", f"{contents.version()}-1")
    assert field(package, "Architecture") == "all" and field(package, "Depends") == "python3 (>= 3.10), python3-nacl"
    listed = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout.splitlines()
    files = {line.split()[5][2:]: line.split()[0] for line in listed if not line.startswith("d")}
    assert {line.split()[1] for line in listed} == {"root/root"}
    assert files["etc/config/wgembed"] == "-rw-------" and files["usr/sbin/wgembed"] == "-rwxr-xr-x"
    assert not [name for name in files if name.startswith(build_deb.LEFT_OUT) or name.endswith(".mpy")]
    assert "usr/lib/wgembed/wgembed/daemon/router.py" in files


def test_the_configuration_names_commands_of_debian():
    text = build_deb.package().files["etc/config/wgembed"][0]
    assert b"init.d" not in text and b"logread" not in text and text.count(b"systemctl") == 2


def test_the_same_to_the_byte(package, tmp_path, monkeypatch):
    assert build_deb.write(tmp_path, build_deb.package()).read_bytes() == package.read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert build_deb.write(tmp_path, build_deb.package()).read_bytes() != package.read_bytes()


def test_versions_are_sorted_as_dpkg_sorts_them(package):
    need(programs, "dpkg")
    made = [build_deb.debian_version(dataclasses.replace(build_deb.package(), version=text)) for text in VERSIONS]
    for lower, higher in zip(made, made[1:], strict=False):
        subprocess.run(["dpkg", "--validate-version", lower], check=True)
        subprocess.run(["dpkg", "--compare-versions", lower, "lt", higher], check=True)


def test_scripts():
    need(programs, "dash")
    for name in build_deb.SCRIPTS["wgembed"]:
        subprocess.run(["dash", "-n", build_deb.DEBIAN / name], check=True)


def test_the_units(tmp_path):
    """systemd finds no mistake in them, with a program in the place of ours and without a manual."""
    need(programs, "systemd-analyze")
    for name in ("wgembed.service", "wgembed@.service"):
        text = (build_deb.DEBIAN / name).read_text().replace("/usr/sbin/wgembed", "/bin/true")
        lines = [line for line in text.splitlines() if not line.startswith("Documentation=")]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    units = [tmp_path / "wgembed.service", tmp_path / "wgembed@wg0.service"]
    (tmp_path / "wgembed@wg0.service").write_text((tmp_path / "wgembed@.service").read_text())
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert not [line for line in done.stderr.splitlines() if "wgembed" in line], done.stderr


def in_set(name):
    """The system calls in a set of systemd, with those of the sets in it."""
    command = ["systemd-analyze", "syscall-filter", name]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[1:]
    words = {line.strip() for line in lines if line.strip() and not line.strip().startswith("#")}
    return {word for word in words if word[0] != "@"}.union(*(in_set(word) for word in words if word[0] == "@"))


def test_the_limits_of_the_service(tmp_path):
    """How exposed it is by systemd's own measure, and that its calls are allowed: those measured for OpenWrt's jail."""
    need(programs, "systemd-analyze")
    text = (build_deb.DEBIAN / "wgembed.service").read_text().replace("/usr/sbin/wgembed", "/bin/true")
    (tmp_path / "wgembed.service").write_text(text)
    command = ["systemd-analyze", "security", "--offline=true", tmp_path / "wgembed.service"]
    exposure = re.search(r"Overall exposure level.*: (\S+)", subprocess.run(command, capture_output=True, text=True).stdout)
    assert float(exposure[1]) <= 2.5
    rules = json.loads((contents.ROOT / "package/files/wgembed.seccomp.json").read_text())["syscalls"]
    assert {name for rule in rules for name in rule["names"]} - in_set("@system-service") == set()


@pytest.fixture
def namespace():
    need(privileges)
    need(debian_root.prepare)
    namespace = net.Namespace()
    yield namespace
    namespace.close()


@pytest.fixture
def machine(namespace):
    machine = debian_root.DebianRoot(namespace)
    yield machine
    machine.close()


def newer(folder):
    """The same package with another configuration, a newer version, and without one file."""
    package = build_deb.package()
    files = {place: found for place, found in package.files.items() if not place.endswith("/copyright")}
    files["etc/config/wgembed"] = b"config globals 'globals'\n", 0o600
    return build_deb.write(folder, dataclasses.replace(package, files=files, version=NEWER))


def test_dpkg_installs_upgrades_and_removes(machine, package, tmp_path):
    machine.install(package)
    python = machine.run("python3", "--version")[1].split()[1]
    libsodium = machine.run("dpkg-query", "-W", "-f", "${Version}", "libsodium23")[1].partition("-")[0]
    runs_with = f"CPython {python}, libsodium {libsodium}, no C library"
    assert machine.run("wgembed", "--version")[1] == f"wgembed {contents.version()} ({runs_with})\n"
    assert machine.dpkg("-V", "wgembed")[1] == "", "all files are as in the package"
    key = machine.read("/etc/wgembed/wg0.key")
    assert len(key) == 45 and machine.run("stat", "-c", "%a", "/etc/wgembed/wg0.key")[1] == "600\n"
    assert machine.exists("/usr/lib/wgembed/wgembed/__pycache__")
    assert machine.run("wgembed", "check")[0] == 0
    machine.write("/etc/config/wgembed", "# mine\n")
    machine.copy(newer(tmp_path), "/tmp/newer.deb")
    machine.dpkg("--force-confdef", "--force-confold", "-i", "/tmp/newer.deb")
    assert machine.read("/etc/config/wgembed") == "# mine\n" and machine.exists("/etc/config/wgembed.dpkg-dist")
    assert not machine.exists("/usr/share/doc/wgembed/copyright") and machine.read("/etc/wgembed/wg0.key") == key
    assert f"{NEWER}-1" in machine.dpkg("-s", "wgembed")[1]
    machine.dpkg("-r", "wgembed")
    assert machine.read("/etc/config/wgembed") == "# mine\n" and not machine.exists("/usr/lib/wgembed")
    machine.dpkg("-P", "wgembed")
    assert not machine.exists("/etc/config/wgembed") and machine.read("/etc/wgembed/wg0.key") == key


@pytest.fixture(scope="module")
def fastpath_package(tmp_path_factory):
    need(programs, "dpkg")
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout
    options = ["--library", need(fastpath.built), "--architecture", architecture.strip()]
    folder = tmp_path_factory.mktemp("deb")
    build_deb.main([str(folder), *options])
    (package,) = folder.iterdir()
    assert package.name == f"wgembed-fastpath_{contents.version()}-1_{architecture.strip()}.deb"
    return package


def test_the_library_is_used_where_it_is_installed(machine, package, fastpath_package):
    assert machine.install(fastpath_package, check=False)[0] != 0, "it needs wgembed"
    machine.dpkg("-P", "wgembed-fastpath")
    machine.install(package)
    machine.install(fastpath_package)
    assert machine.dpkg("-V", "wgembed-fastpath")[1] == ""
    assert re.search(r", C library abi \d+\)\n$", machine.run("env", "-u", "WGEMBED_FASTPATH", "wgembed", "version")[1])
    assert machine.dpkg("-r", "wgembed", check=False)[0] != 0, "the library would be left without it"
    machine.dpkg("-r", "wgembed-fastpath")
    assert ", no C library)" in machine.run("wgembed", "version")[1]


def test_the_library_needs_its_architecture(tmp_path):
    for options in (["--library", "x"], ["--architecture", "amd64"]):
        with pytest.raises(SystemExit):
            build_deb.main([str(tmp_path), *options])


def test_an_altered_package_is_refused(machine, package, tmp_path):
    content = package.read_bytes()
    for name, changed in (
        ("cut", content[: len(content) // 2]),
        ("altered", content[:-500] + bytes([content[-500] ^ 1]) + content[-499:]),
    ):
        path = tmp_path / f"{name}.deb"
        path.write_bytes(changed)
        assert machine.install(path, check=False)[0] != 0
        assert not machine.exists("/usr/sbin/wgembed"), name


# ---- systemd


@pytest.fixture
def booted(namespace, package):
    need(debian_root.has_systemd)
    machine = debian_root.DebianRoot(namespace, systemd=True)
    machine.install(package)
    yield machine
    machine.close()


def show(machine, unit, name):
    return machine.run("systemctl", "show", "-P", name, unit)[1].strip()


def test_the_service(booted, fastpath_package, tmp_path):
    """Start, readiness, reload, privileges, the C library, a crash, an upgrade, removal."""
    booted.install(fastpath_package)
    assert show(booted, "wgembed", "ActiveState") == "inactive", "no interface is enabled after the installation"
    booted.write("/etc/config/wgembed", CONFIG)
    booted.run("systemctl", "enable", "--now", "wgembed")
    assert show(booted, "wgembed", "ActiveState") == "active"
    # Type=notify: the interface is there when the command returns.
    assert "10.99.1.1/24" in booted.run("ip", "address", "show", "wgdeb")[1]
    first = show(booted, "wgembed", "MainPID")
    assert "fastpath.so" in booted.read(f"/proc/{first}/maps")
    status = dict(line.split(":\t") for line in booted.read(f"/proc/{first}/status").splitlines() if ":\t" in line)
    needed = 1 << 10 | 1 << 12 | 1 << 13
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {needed} and status["NoNewPrivs"] == "1"
    booted.write("/etc/config/wgembed", CONFIG.replace("10.99.1.1", "10.99.1.2"))
    booted.run("systemctl", "reload", "wgembed")
    net.poll(lambda: "10.99.1.2/24" in booted.run("ip", "address", "show", "wgdeb")[1], 10, what="the new address")
    assert show(booted, "wgembed", "MainPID") == first
    booted.run("kill", "-9", first)
    net.poll(lambda: show(booted, "wgembed", "MainPID") not in ("0", first), 15, what="the next start")
    second = show(booted, "wgembed", "MainPID")
    booted.copy(newer(tmp_path), "/tmp/newer.deb")
    booted.dpkg("--force-confold", "-i", "/tmp/newer.deb")
    net.poll(lambda: show(booted, "wgembed", "MainPID") not in ("0", second), 15, what="the new version")
    booted.dpkg("-r", "wgembed-fastpath", "wgembed")
    assert booted.run("ip", "link", "show", "wgdeb", check=False)[0] != 0
    assert not booted.exists("/etc/systemd/system/multi-user.target.wants/wgembed.service")


def test_the_template(booted, tmp_path):
    booted.run("mkdir", "-p", "/etc/wireguard")
    booted.write("/etc/wireguard/wgq.conf", QUICK)
    booted.run("systemctl", "start", "wgembed@wgq")
    assert "10.99.2.1/24" in booted.run("ip", "address", "show", "wgq")[1]
    pid = show(booted, "wgembed@wgq", "MainPID")
    assert "wgembed" in booted.read(f"/proc/{pid}/comm")
    booted.write("/etc/wireguard/wgq.conf", QUICK + PEER)
    booted.run("systemctl", "reload", "wgembed@wgq")
    assert "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\t" in booted.run("wgembed", "show", "wgq", "allowed-ips")[1]
    assert show(booted, "wgembed@wgq", "MainPID") == pid
    booted.write("/etc/wireguard/wgq.conf", QUICK + "no file")
    assert booted.run("systemctl", "reload", "wgembed@wgq", check=False)[0] != 0
    assert show(booted, "wgembed@wgq", "ActiveState") == "active" and show(booted, "wgembed@wgq", "MainPID") == pid
    booted.write("/etc/wireguard/wgq.conf", QUICK)
    booted.run("kill", "-9", pid)
    net.poll(lambda: show(booted, "wgembed@wgq", "MainPID") not in ("0", pid), 15, what="the next start")
    net.poll(lambda: "10.99.2.1/24" in booted.run("ip", "address", "show", "wgq", check=False)[1], 10, what="the interface")
    second = show(booted, "wgembed@wgq", "MainPID")
    booted.copy(newer(tmp_path), "/tmp/newer.deb")
    booted.dpkg("-i", "/tmp/newer.deb")
    assert show(booted, "wgembed@wgq", "MainPID") not in ("0", second), "an upgrade restarts it"
    booted.run("systemctl", "stop", "wgembed@wgq")
    assert booted.run("ip", "link", "show", "wgq", check=False)[0] != 0
    assert show(booted, "wgembed@wgq", "ActiveState") == "inactive"
