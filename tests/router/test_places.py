"""Places where programs may little: user namespaces, read-only file systems, machines without IPv6, few capabilities.

What is not needed for a tunnel must not stop a start. The script runs the daemon in such a place, and looks from inside.
"""

import os
import subprocess

import pytest

from ..lab import net
from ..lab.need import need, privileges, programs
from ..lab.router import Keys, interface, peer

# Two daemons, and a handshake between them by the loopback device.
SINGLE = """
ip link set lo up
"$@" -f {near} & one=$!
"$@" -f {far} & two=$!
for n in $(seq 100); do test -S /var/run/wireguard/{near}.sock -a -S /var/run/wireguard/{far}.sock && break; sleep 0.1; done
wg set {far} private-key {keys}/far listen-port 4602 peer {near_key} allowed-ips 10.88.0.1/32 || exit 3
ip link set {far} up
wg set {near} private-key {keys}/near listen-port 4601 || exit 4
wg set {near} peer {far_key} allowed-ips 10.88.0.2/32 endpoint 127.0.0.1:4602 persistent-keepalive 1 || exit 5
ip address add 10.88.0.1/24 dev {near} && ip link set {near} up
for n in $(seq 100); do
    sleep 0.1
    wg show {near} latest-handshakes | grep -qv '\t0$' && echo HANDSHAKE && break
done
kill $one $two; wait
"""
RUN = """
ip link set lo up
"$@" run --config-dir {keys} & one=$!
for n in $(seq 100); do ip link show {near} 2>/dev/null | grep -q UP && break; sleep 0.1; done
sleep 1
echo "ADDRESS $(ip -o -4 address show dev {near})"
echo "SIX $(ip -o -6 address show dev {near})"
echo "ROUTE $(ip route show 10.99.0.0/24)"
kill $one; wait $one; echo "STATUS $?"
"""

# How to come there from a network namespace of one's own: a command that runs "$@".
PLACES = {
    "user namespace": ["unshare", "--user", "--map-root-user", "--net"],
    "read-only /proc/sys": [
        "unshare", "--net", "--mount", "sh", "-c",
        'mount -o bind,ro /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"', "sh",
    ],
    "no /proc": ["unshare", "--net", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"],
    "no IPv6 by sysctl": [
        "unshare", "--net", "sh", "-c",
        'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6; exec "$@"',
        "sh",
    ],
    "no IPv6 on new links": [
        "unshare", "--net", "sh", "-c", 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6; exec "$@"', "sh",
    ],
    "net_admin alone": ["unshare", "--net", "setpriv", "--bounding-set", "-all,+net_admin", "--inh-caps", "-all"],
    "net_admin and net_raw": [
        "unshare", "--net", "setpriv", "--bounding-set", "-all,+net_admin,+net_raw", "--inh-caps", "-all",
    ],
}  # fmt: skip


@pytest.fixture
def scene(tmp_path):
    """Names, keys and a folder that the scripts use."""
    need(privileges)
    need(programs, "unshare", "setpriv", "ip", "wg")
    near, far = Keys(), Keys()
    for name, keys in (("near", near), ("far", far)):
        (tmp_path / name).write_text(keys.private + "\n")
        (tmp_path / name).chmod(0o600)
    names = {
        "near": net.unique("p"),
        "far": net.unique("p"),
        "keys": tmp_path,
        "near_key": near.public,
        "far_key": far.public,
    }
    sections = (
        interface(names["near"], private_key=near.private, addresses=["10.88.0.1/24", "fd88::1/64"]),
        peer(names["near"], public_key=far.public, allowed_ips=["10.99.0.0/24", "fd99::/64"], route_allowed_ips=1),
    )
    config = tmp_path / "wgembed"
    config.write_text("\n".join(sections))
    config.chmod(0o600)
    return names


def run(place, script, command, scene, **environment):
    """Run the script there; return what it wrote."""
    argv = [*place, "sh", "-c", script.format(**scene), "sh", *command]
    folders = {"WGEMBED_RUN_DIR": str(scene["keys"] / "run"), "WGEMBED_STATE_DIR": str(scene["keys"] / "state")}
    environment = {**os.environ, "LOG_LEVEL": "verbose", **folders, **environment}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_tunnel_in_such_a_place(scene, place, command):
    text = run(place, SINGLE, command, scene)
    assert "HANDSHAKE" in text, text


@pytest.mark.parametrize("place", PLACES, ids=PLACES)
def test_a_router_in_such_a_place(scene, place, command):
    """It serves what can be served, and says what cannot, with the reason."""
    text = run(PLACES[place], RUN, command, scene)
    if place == "no /proc" and "heapsize" in " ".join(command):
        assert "MicroPython needs /proc" in text and "STATUS 1" in text
        return
    assert "inet 10.88.0.1/24" in text and f"ROUTE 10.99.0.0/24 dev {scene['near']}" in text and "STATUS 0" in text, text
    if place.startswith("no IPv6"):
        assert f"the interface has no IPv6: set the sysctl net.ipv6.conf.{scene['near']}.disable_ipv6 to 0" in text, text
    else:
        assert "SIX" in text and "fd88::1/64" in text, text
        assert "ERROR" not in text, text


@pytest.mark.parametrize("before", [0, 1])
def test_a_setting_in_a_container(scene, command, before):
    """Its /proc/sys is read-only. A setting that already has the value is no error, and another one is named."""
    config = scene["keys"] / "wgembed"
    mark = "\toption fwmark '77'\n"
    lines = config.read_text().replace("10.99.0.0/24", "0.0.0.0/0").splitlines()
    config.write_text("\n".join([lines[0], mark, *lines[1:], ""]))
    place = ["unshare", "--net", "--mount", "sh", "-c",
             f"echo {before} >/proc/sys/net/ipv4/conf/all/src_valid_mark; mount -o bind,ro /proc/sys /proc/sys"
             ' && mount -o remount,bind,ro /proc/sys && exec "$@"', "sh"]  # fmt: skip
    text = run(place, RUN.replace("10.99.0.0/24", "table 77"), command, scene)
    assert f"ROUTE default dev {scene['near']}" in text and "STATUS 0" in text, text
    assert ("src_valid_mark" in text) == (not before) and ("ERROR" in text) == (not before), text


@pytest.mark.parametrize("mtu", [576, 1279])
def test_a_small_mtu_and_ipv6(scene, command, mtu):
    """Linux takes IPv6 from a link with an MTU below 1280."""
    config = scene["keys"] / "wgembed"
    lines = config.read_text().splitlines()
    config.write_text("\n".join([lines[0], f"\toption mtu '{mtu}'", *lines[1:], ""]))
    text = run(["unshare", "--net"], RUN, command, scene)
    assert "1280" in text and "Traceback" not in text, text


def test_a_router_without_a_place_for_control_sockets(scene, command):
    """The tunnel is there, without `wg`."""
    place = ["unshare", "--net", "--mount", "sh", "-c",
             'mkdir -p /var/run/wireguard; mount -t tmpfs none /var/run && mount -o remount,ro /var/run && exec "$@"',
             "sh"]  # fmt: skip
    text = run(place, RUN, command, scene, WGEMBED_RUN_DIR="/var/run/wgembed")
    assert "inet 10.88.0.1/24" in text and "STATUS 0" in text, text
    assert "Read-only file system (30)" in text and "`wg` and `wgembed status` do not show the interface" in text, text


def test_the_daemon_needs_net_admin(scene, command):
    """One sentence, and a status."""
    place = ["unshare", "--net", "setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
    argv = [*place, *command, "-f", scene["near"]]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "only root can make interfaces" in done.stderr and done.stderr.count("\n") == 1
