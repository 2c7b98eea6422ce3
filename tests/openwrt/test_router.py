"""The packages on a router: installed, configured, reloaded, killed, upgraded, removed; each with its own interpreter.

Services run in a jail, as on OpenWrt with ujail.
"""

import os
import re
import signal
import stat
import threading
import time
from pathlib import Path

import pytest

from ..lab import net, openwrt, seccomp, traffic, wire
from ..lab.builders import build_ipk, contents
from ..lab.need import need

KEY = "etc/wgembed/wg0.key"
CONFIG = "config interface 'wg0'\n\toption private_key_file '/etc/wgembed/wg0.key'\n"
# CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW
CAPABILITIES = 1 << 10 | 1 << 12 | 1 << 13
RESPAWN = 5
# What `wgembed version` prints with each interpreter
_VERSION = re.escape(f"wgembed {build_ipk.version()} ") + r"\(%s [13]\.\S+, libsodium (of PyNaCl )?1\.\S+, no C library\)\n"
VERSION = {"micropython": _VERSION % "MicroPython", "python3": _VERSION % "CPython"}


def status(router):
    return router.service("status", check=False)


def field(router, name):
    """One line of what the control socket tells."""
    return re.search(rf"^{name}=(.*)$", router.ask(), re.MULTILINE)[1]


# ---- installation


def test_installation_makes_a_key_of_the_routers_own(installed):
    key, public = installed.root / KEY, installed.root / "etc/wgembed/wg0.pub"
    assert stat.S_IMODE(key.stat().st_mode) == stat.S_IMODE(public.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert installed.run("wgembed", "pubkey", input=key.read_text())[1] == public.read_text()
    assert not (installed.root / "etc/uci-defaults/wgembed").exists(), "done once"


def test_a_key_that_is_there_is_kept(router, package):
    (router.root / KEY).parent.mkdir()
    private = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n"
    (router.root / KEY).write_text(private)
    router.opkg.install(package)
    assert (router.root / KEY).read_text() == private
    assert (router.root / "etc/wgembed/wg0.pub").read_text() == "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=\n"


def test_python_compiles_once(installed, variant):
    """At the installation, and by content: the dates of all files are the same."""
    cached = list(installed.root.glob("usr/lib/wgembed/wgembed/__pycache__/*.pyc"))
    assert bool(cached) == (variant == "python3")
    assert all(path.read_bytes()[4] == 0b11 for path in cached), "checked by a hash"


def test_nothing_runs_before_it_is_wanted(installed):
    assert "no interface is enabled" in installed.logged()
    assert status(installed) == (0, "active with no instances\n") and installed.daemon() is None
    assert sorted(link.name for link in (installed.root / "etc/rc.d").iterdir()) == ["K89wgembed", "S21wgembed"]


def test_modules_are_looked_for_in_no_other_folder(installed, variant):
    """Anybody may write to /tmp."""
    package = installed.root / "tmp/wgembed"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text("raise SystemExit('not ours')")
    assert re.fullmatch(VERSION[variant], installed.run("sh", "-c", "cd /tmp && wgembed --version")[1])


# ---- the tunnel


def test_tunnel_from_boot(tunnel):
    assert status(tunnel.router) == (0, "running\n")
    assert not traffic.ping(tunnel.near, "10.77.0.2", count=5).lost
    assert not traffic.ping(tunnel.near, "fd77::2", count=5).lost
    assert not traffic.ping(tunnel.far, "10.77.0.1", count=5).lost
    assert "10.99.0.0/16" in tunnel.near.ip("route", "show", "dev", "wg0")


def test_the_jail_holds(tunnel):
    router = tunnel.router
    pid = router.daemon()
    about = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert {int(about[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {CAPABILITIES}
    assert about["NoNewPrivs"] == "1" and pid != router.procd.instance().pid
    inside = Path(f"/proc/{pid}/root")
    assert sorted(os.listdir(inside / "etc")) == ["config", "hosts", "resolv.conf", "wgembed"]
    assert sorted(os.listdir(inside / "tmp")) == [".uci"] and not os.listdir(inside / "tmp/.uci")
    mounts = {line.split()[1]: line.split()[3] for line in Path(f"/proc/{pid}/mounts").read_text().splitlines()}
    writable = {place for place, options in mounts.items() if "rw" in options.split(",")}
    devices = {f"/dev/{name}" for name in openwrt.DEVICES}
    assert writable - devices == {
        "/proc", "/etc/wgembed", "/var/run/wgembed", "/var/run/wireguard", "/proc/sys/net/ipv4/conf/all/src_valid_mark"
    }  # fmt: skip


def test_system_calls_are_limited_where_that_is_wanted(site):
    need(seccomp.prepare)
    (site.router.root / "lib/libpreload-seccomp.so").touch()
    site.configure("config globals 'globals'\n\toption seccomp '1'\n")
    site.router.service("start")
    site.router.reach("10.77.0.2")
    status = Path(f"/proc/{site.router.daemon()}/status").read_text()
    assert "Seccomp:\t2\n" in status
    site.router.service("reload")
    reloaded(site.router, 1)
    assert not traffic.ping(site.near, "10.77.0.2", count=5).lost
    site.router.service("stop")
    assert "wg0" not in site.near.ip("link", "show") and len(site.router.messages.read_text().split("ready")) == 2


def test_hooks_run_outside_the_jail(site, variant, tmp_path):
    """The jail has no shell. A reload does not end their runner, and procd starts it again."""
    if variant == "micropython":
        site.router.opkg.install(build_ipk.build_tools(tmp_path))
    told = site.router.root / "tmp/told"
    folder = site.router.root / "etc/hotplug.d/wgembed"
    folder.mkdir(parents=True)
    (folder / "10-test").write_text('echo "$HOTPLUG_TYPE $ACTION $INTERFACE" >>/tmp/told\n')
    program = site.router.root / "usr/bin/on-event"
    program.write_text('#!/bin/sh\n[ -x /bin/sh ] && echo "program $ACTION" >>/tmp/told\nexit 3\n')
    program.chmod(0o755)
    site.configure("config globals 'globals'\n\toption on_event '/usr/bin/on-event'\n")
    site.router.service("start")
    instances = site.router.procd.services["wgembed"]["instances"]
    assert set(instances) == {"instance1", "hooks"} and "jail" not in instances["hooks"].config
    site.router.reach("10.77.0.2")
    lines = ["wgembed up wg0", "program up"]
    net.poll(lambda: told.exists() and told.read_text().splitlines() == lines, 5, what="both programs")
    net.poll(lambda: "the hook /usr/bin/on-event ended with the status 3" in site.router.logged(), 5)
    runner = instances["hooks"].pid
    site.router.service("reload")
    reloaded(site.router, 1)
    assert instances["hooks"].pid == runner and instances["hooks"].running
    site.router.service("stop")
    assert not Path(f"/proc/{runner}").exists()
    assert "\tstop\t" in (site.router.root / "etc/wgembed/history").read_text()


def test_no_runner_without_hooks(site):
    site.configure()
    site.router.service("start")
    assert set(site.router.procd.services["wgembed"]["instances"]) == {"instance1"}


def test_hooks_without_their_package(site, variant):
    if variant == "micropython":
        site.configure("config globals 'globals'\n\toption on_event '/usr/bin/on-event'\n")
        site.router.service("start")
        site.router.reach("10.77.0.2")
        assert set(site.router.procd.services["wgembed"]["instances"]) == {"instance1"}
        assert "no history and no hooks, which are in the package wgembed-micropython-tools" in site.router.logged()
        site.router.service("stop")
        assert not (site.router.root / "etc/wgembed/history").exists()


def test_the_kill_switch_ends_with_stop_and_not_with_restart(site):
    site.configure()
    text = (site.router.root / "etc/config/wgembed").read_text()
    site.router.configure(text.replace("config interface 'wg0'", "config interface 'wg0'\n\toption kill_switch '1'"))
    site.router.service("start")
    site.router.reach("10.77.0.2")
    blocked = "unreachable 10.99.0.0/16 proto 87"
    assert blocked in site.near.ip("route")
    site.router.service("restart")
    assert blocked in site.near.ip("route")
    site.router.reach("10.77.0.2")
    site.router.service("stop")
    assert blocked not in site.near.ip("route")


def test_system_calls_are_not_limited_otherwise(site):
    """Nobody asked for it; or what ujail loads for it is not there."""
    site.configure()
    site.router.service("start")
    assert "seccomp" not in site.router.procd.instance().config
    site.router.service("stop")
    site.configure("config globals 'globals'\n\toption seccomp '1'\n")
    site.router.service("start")
    assert "seccomp" not in site.router.procd.instance().config and "jail" in site.router.procd.instance().config
    assert "procd-seccomp is not installed" in site.router.logged()
    site.router.reach("10.77.0.2")


def test_without_ujail(site, variant):
    """And a reload that is asked for when the interpreter has hardly begun does no harm."""
    (site.router.root / "sbin/ujail").unlink()
    site.configure()
    site.router.service("start")
    instance = site.router.procd.instance()
    assert "jail" not in instance.config
    net.poll(lambda: instance.running and variant in os.readlink(f"/proc/{instance.pid}/exe"), 5, 0, "the interpreter")
    instance.signal(signal.SIGHUP)
    site.router.reach("10.77.0.2")
    site.router.service("reload")
    reloaded(site.router, 1)
    assert len(instance.starts) == 1


def test_a_start_with_a_mistake_from_the_jail(site):
    """The last good configuration, which the jail can write; also if the mistake hides the interfaces from the script."""
    site.configure()
    site.router.service("start")
    site.router.reach("10.77.0.2")
    kept = site.router.root / "etc/wgembed/last-good"
    net.poll(kept.exists, 5, what="the kept file")
    site.router.service("stop")
    path = site.router.root / "etc/config/wgembed"
    path.write_text(path.read_text().replace("config interface 'wg0'", "nonsense"))
    site.router.service("start")
    site.router.reach("10.77.0.2")
    assert "starting with the last good one (/etc/wgembed/last-good)" in site.router.logged()


def test_default_route_from_the_jail(site):
    """What that sets in /proc/sys is set, and set back at the end."""
    # A section with a name may be continued.
    site.configure("\tlist allowed_ips '0.0.0.0/0'\nconfig interface 'wg0'\n\toption nohostroute '1'\n")
    site.router.service("start")
    site.router.reach("10.77.0.2")
    setting = "/proc/sys/net/ipv4/conf/all/src_valid_mark"
    net.poll(lambda: site.near.run("cat", setting)[1] == "1\n", 5, what="the setting")
    assert "dev wg0" in site.near.ip("route", "get", "203.0.113.1")
    assert "cannot" not in site.router.logged()
    site.router.service("stop")
    assert site.near.run("cat", setting)[1] == "0\n" and "wg0" not in site.near.ip("route", "show", "table", "all")


def test_bound_to_a_link_in_the_jail(site):
    """And no more: letting go of a link needs a capability of its own, on older kernels taking hold of it too."""
    site.configure("config interface 'wg0'\n\toption nohostroute '1'\n\toption tunlink 'outer'\n")
    site.router.service("start")
    site.router.reach("10.77.0.2")
    site.configure()
    site.router.service("reload")
    reloaded(site.router, 1)
    assert "cannot bind" not in site.router.logged()


def test_no_jail_where_the_name_servers_file_is_replaced(site):
    """As netifd does without dnsmasq: a jail would go on showing the old one."""
    (site.router.root / "tmp/resolv.conf").unlink()
    (site.router.root / "tmp/resolv.conf.d").mkdir()
    (site.router.root / "tmp/resolv.conf").symlink_to("/tmp/resolv.conf.d/resolv.conf.auto")
    site.configure()
    site.router.service("start")
    assert "jail" not in site.router.procd.instance().config


# ---- reloading


def reloaded(router, times):
    net.poll(lambda: router.logged().count("configuration applied") >= times, 5, what="the reload")


def overflows(namespace):
    """The datagrams that came while the daemon was busy, and found no room."""
    names, numbers = [line.split() for line in namespace.run("grep", "^Udp:", "/proc/net/snmp")[1].splitlines()]
    return int(numbers[names.index("RcvbufErrors")])


def test_reload_under_traffic_loses_nothing(tunnel):
    """Neither a reload without a change, nor one with a peer more, nor the end of that peer costs a packet."""
    router = tunnel.router
    pid, shaken = router.daemon(), field(router, "last_handshake_time_nsec")
    done = {}

    def transfer():
        # Towards the router: the other way wireguard-go loses a packet now and then, reload or not.
        options = ["-C", "cubic", "-b", "20M", "-n", "12M", "-R"]
        done["tcp"] = traffic.iperf(tunnel.near, tunnel.far, "10.77.0.2", *options)

    with wire.Watch(tunnel.peer.site) as watch:
        begin = time.monotonic()
        thread = threading.Thread(target=transfer)
        pings = tunnel.far.spawn(*traffic.ping_command("10.77.0.1", count=100, interval=0.05))
        thread.start()
        time.sleep(1)
        router.service("reload")
        reloaded(router, 1)
        time.sleep(1)
        tunnel.configure(openwrt.ONE_MORE)
        router.procd.event("config.change", package="wgembed")
        net.poll(lambda: router.ask().count("public_key=") == 2, 5, what="the second peer")
        tunnel.configure()
        net.poll(lambda: router.ask().count("public_key=") == 1, 5, what="the end of the second peer, without a signal")
        thread.join()
        lost = traffic.parse_pings(pings.finish(20)).lost
        assert not watch.seen(wire.INITIATION, since=begin)
    assert lost == 0
    assert done["tcp"]["sum_received"]["bytes"] >= 12 << 20
    assert overflows(tunnel.near) == 0
    assert router.daemon() == pid and field(router, "last_handshake_time_nsec") == shaken


def test_a_mistake_changes_nothing(tunnel):
    router = tunnel.router
    pid = router.daemon()
    tunnel.configure("\nconfig wireguard_wg0\n\toption public_key 'short'\n")
    router.service("reload")
    net.poll(lambda: "a key has 44 characters" in router.logged(), 5, what="the reason")
    assert re.search(r"/etc/config/wgembed:\d+: ", router.logged())
    assert router.daemon() == pid and not traffic.ping(tunnel.near, "10.77.0.2").lost


def test_a_network_that_comes_up_is_told_to_the_daemon(tunnel):
    router = tunnel.router
    before = router.logged().count("reload")
    assert router.procd.event("interface.update", interface="wan") == [["/etc/init.d/wgembed", "reload"]]
    net.poll(lambda: router.logged().count("reload") > before, 5, what="SIGHUP")
    assert not router.procd.event("config.change", package="network")


def test_private_key_generate(installed):
    installed.configure("config interface 'wg0'\n\toption private_key 'generate'\n\toption log_level 'verbose'\n")
    (installed.root / "etc/config/wgembed").chmod(0o644)
    installed.service("start")
    text = (installed.root / "etc/config/wgembed").read_text()
    assert stat.S_IMODE((installed.root / "etc/config/wgembed").stat().st_mode) == 0o600
    assert re.search(r"option private_key '[\w+/]{43}='", text) and "generate" not in text
    assert "generated a private key for wg0" in installed.logged()
    net.poll(lambda: (installed.root / "tmp/run/wireguard/wg0.sock").exists(), 5, what="the interface")


def test_heapsize(installed, variant):
    installed.configure(CONFIG + "config globals 'globals'\n\toption heapsize '3M'\n")
    installed.service("start")
    assert ("heapsize=3M" in installed.procd.instance().config["command"]) == (variant == "micropython")
    installed.service("stop")
    for wrong in ("3 MB", "3MK", "M"):
        installed.configure(CONFIG + f"config globals 'globals'\n\toption heapsize '{wrong}'\n")
        installed.service("start")
        assert (
            f"option heapsize ignored: expected a number, perhaps with K or M at its end, got '{wrong}'"
            in installed.logged()
        )
        assert f"heapsize={wrong}" not in installed.procd.instance().config["command"]
        installed.service("stop")


# ---- the end, and what comes after


def test_killed(tunnel):
    """The tunnel is back two seconds after the new process at the latest."""
    router = tunnel.router
    instance, first = router.procd.instance(), router.daemon()
    killed = time.monotonic()
    router.kill()
    net.poll(lambda: len(instance.starts) == 2, RESPAWN + 3, 0.01, "the next start")
    router.reach("10.77.0.2", within=2)
    assert time.monotonic() - instance.starts[1] < 2
    assert RESPAWN <= instance.starts[1] - killed < RESPAWN + 1
    assert router.daemon() not in (None, first)
    assert not traffic.ping(tunnel.far, "10.77.0.1").lost


def test_stop_leaves_nothing(tunnel):
    router = tunnel.router
    router.service("stop")
    assert status(router) == (3, "inactive\n")
    assert tunnel.near.run("ip", "link", "show", "wg0", check=False)[0] != 0
    assert "10.99.0.0" not in tunnel.near.ip("route", "show", "table", "all")
    assert not os.listdir(router.root / "tmp/run/wireguard")
    router.service("start")
    router.reach("10.77.0.2")


def test_upgrade_keeps_the_configuration(tunnel, variant, tmp_path, monkeypatch):
    router = tunnel.router
    config, key = (router.root / "etc/config/wgembed").read_text(), (router.root / KEY).read_text()
    monkeypatch.setattr(contents, "version", lambda: "99.0")
    router.opkg.install(build_ipk.build(tmp_path, variant))
    assert (router.root / "etc/config/wgembed").read_text() == config and (router.root / KEY).read_text() == key
    assert (router.root / "etc/config/wgembed-opkg").exists(), "the new one is there to be compared"
    assert (router.root / "etc/rc.d/S21wgembed").exists()
    router.reach("10.77.0.2")


def test_an_upgrade_by_apk_restarts_the_service(tunnel, variant):
    """apk runs no script of the old version, which would stop the service."""
    router = tunnel.router
    first = router.daemon()
    script = f"/usr/lib/opkg/info/wgembed-{variant}.postinst-pkg"
    router.run("env", "PKG_UPGRADE=0", script)
    assert router.daemon() == first, "an installation starts it, and has nothing to restart"
    router.run("env", "PKG_UPGRADE=1", script)
    assert router.daemon() not in (None, first)
    router.reach("10.77.0.2")
    router.service("stop")
    router.run("env", "PKG_UPGRADE=1", script)
    assert router.daemon() is None, "it was stopped"


def test_removal(tunnel, variant):
    router = tunnel.router
    router.run("wgembed", "--version")
    router.opkg.remove(f"wgembed-{variant}")
    assert router.daemon() is None
    assert not list((router.root / "etc/rc.d").iterdir())
    # procd may have left a lock of its own.
    left = [path for path in router.root.rglob("*wgembed*") if path.is_file() and path.suffix != ".lock"]
    left += router.root.glob("*/wgembed/*")
    kept = {KEY, "etc/config/wgembed", *(f"etc/wgembed/{name}" for name in ("wg0.pub", "clock"))}
    if variant == "python3":  # for MicroPython, the history is in another package
        kept.add("etc/wgembed/history")
    # The daemon writes the last good configuration some time after the start.
    assert {str(path.relative_to(router.root)) for path in left} - {"etc/wgembed/last-good"} == kept
    assert not list((router.root / "usr/lib/wgembed").rglob("*.pyc"))


# ---- what may be missing


def refused(router):
    code, told = router.service("start", check=False)
    assert router.procd.instance() is None
    sentences = [line.partition(": ")[2] for line in router.logged().splitlines() if ".err: " in line]
    assert sentences and all(sentence in told for sentence in sentences)
    return "\n".join(sentences)


def test_without_interpreter(installed, variant):
    (installed.root / "usr/bin" / variant).unlink()
    installed.configure(CONFIG)
    assert refused(installed) == f"wgembed: cannot start: {variant} is not installed: install the package {variant}"
    code, told = installed.run("wgembed", "--version", check=False)
    assert (code, told) == (1, f"wgembed: {variant} is not installed: install the package {variant}\n")
    assert "is not installed" in installed.service("check", check=False)[1]


def test_without_libsodium(installed):
    for library in installed.root.rglob("libsodium.so*"):
        library.unlink()
    installed.configure(CONFIG)
    assert refused(installed) == "wgembed: cannot start: libsodium is not installed: install the package libsodium"
    assert ", no libsodium, " in installed.run("wgembed", "version")[1]


@pytest.fixture
def bare(namespace, variant, package):
    """An installed router without a tun device."""
    router = openwrt.Router(namespace, [device for device in openwrt.DEVICES if device != "net/tun"])
    router.fit(variant)
    router.opkg.install(package)
    yield router
    router.close()


def test_without_tun(bare):
    bare.configure(CONFIG)
    assert "/dev/net/tun does not exist: install the package kmod-tun" in refused(bare)
    assert "tun" in bare.service("check", check=False)[1]


def test_a_start_in_vain_is_tried_again(installed, variant):
    """When a network comes up: nobody may be near to start it by hand."""
    program = installed.root / "usr/bin" / variant
    program.rename(program.with_suffix(".away"))
    installed.configure(CONFIG)
    refused(installed)
    program.with_suffix(".away").rename(program)
    installed.procd.event("interface.up", interface="wan")
    net.poll(lambda: (installed.root / "tmp/run/wireguard/wg0.sock").exists(), 5, what="the interface")


def test_check(installed):
    installed.configure(CONFIG)
    assert installed.service("check")[0] == 0
    installed.configure(CONFIG + "\toption mtu 'large'\n")
    code, told = installed.service("check", check=False)
    assert code == 1 and "mtu" in told


def test_interpreters_that_were_not_asked_for(router, package, variant):
    """The other one, be it there, is no help and no harm."""
    other = {"micropython": "python3", "python3": "micropython"}[variant]
    need(openwrt.interpreter, other)
    (router.root / "usr/bin" / other).write_text("#!/bin/sh\nexit 7\n")
    (router.root / "usr/bin" / other).chmod(0o755)
    router.opkg.install(package)
    assert router.run("wgembed", "--version")[1].startswith("wgembed ")
