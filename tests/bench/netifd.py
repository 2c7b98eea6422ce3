"""How fast OpenWrt's interfaces come up, and come back, on the real netifd, beside wireguard-go with the C program `wg`.

    WGEMBED_OPENWRT=FOLDER python -m tests.bench.netifd [--runs N]

FOLDER has the real netifd: see docs/testing.md. Each program serves the same section with `proto 'wireguard'`, in turns.
wireguard-go gets a protocol handler that reads the sections, too. Seconds from the event to the first ping, medians:

ifup    of an interface that is down
killed  the daemon by SIGKILL
link    `ip link del`
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from ..lab import net, openwrt
from ..lab.builders import build_ipk
from ..openwrt.test_netifd import Site

EVENTS = "ifup", "killed", "link"
GO = "wireguard-go"
# It takes the same steps as a handler for the kernel's WireGuard: it reads the sections, and writes a file for `wg`.
HANDLER = """#!/bin/sh
. /lib/functions.sh
. ../netifd-proto.sh
init_proto "$@"
FILE=/tmp/go.conf
proto_wireguard_init_config() {
	available=1
	for option in private_key listen_port mtu fwmark; do proto_config_add_string $option; done
}
go_peer() {
	local key psk ips routed host port alive ip
	config_get key "$1" public_key; config_get psk "$1" preshared_key; config_get ips "$1" allowed_ips
	config_get_bool routed "$1" route_allowed_ips 0; config_get host "$1" endpoint_host
	config_get port "$1" endpoint_port 51820; config_get alive "$1" persistent_keepalive
	{
		echo "[Peer]"; echo "PublicKey = $key"
		[ -z "$psk" ] || echo "PresharedKey = $psk"
		for ip in $ips; do echo "AllowedIPs = $ip"; done
		[ -z "$host" ] || echo "Endpoint = $host:$port"
		[ -z "$alive" ] || echo "PersistentKeepalive = $alive"
	} >> $FILE
	[ "$routed" = 1 ] || return
	for ip in $ips; do
		case "$ip" in
			*:*) proto_add_ipv6_route "${ip%%/*}" "${ip##*/}" ;;
			*) proto_add_ipv4_route "${ip%%/*}" "${ip##*/}" ;;
		esac
	done
}
proto_wireguard_setup() {
	local key port addresses address peer host
	config_load network
	config_get key "$1" private_key; config_get port "$1" listen_port; config_get addresses "$1" addresses
	ip link del dev "$1" 2>/dev/null
	rm -f "/var/run/wireguard/$1.sock"
	proto_run_command "$1" wireguard-go -f "$1"
	until wg show "$1" >/dev/null 2>&1; do usleep 5000; done
	proto_init_update "$1" 1
	( umask 077; { echo "[Interface]"; echo "PrivateKey = $key"; echo "ListenPort = $port"; } > $FILE )
	config_foreach go_peer "wireguard_$1"
	wg setconf "$1" $FILE
	for address in $addresses; do
		case "$address" in
			*:*) proto_add_ipv6_address "${address%%/*}" "${address##*/}" ;;
			*) proto_add_ipv4_address "${address%%/*}" "${address##*/}" ;;
		esac
	done
	wg show "$1" endpoints | sed 's/:[0-9]*$//' | while read -r peer host; do
		proto_add_host_dependency "$1" "$host" ""
	done
	proto_send_update "$1"
}
proto_wireguard_teardown() { proto_kill_command "$1"; ip link del dev "$1" 2>/dev/null; }
add_protocol wireguard
"""


def install_go(site):
    """Put wireguard-go, the C program `wg` and a handler for them into the router, in the place of ours."""
    root = site.router.root
    apart = root / "opt/go"
    apart.mkdir(parents=True)
    shutil.copy(shutil.which("wireguard-go"), root / "usr/bin/wireguard-go")
    wg = shutil.which("wg")
    listed = subprocess.run(["ldd", wg], capture_output=True, text=True, check=True).stdout
    for path in [wg, *re.findall(r"(/\S+) \(0x", listed)]:
        shutil.copy(path, apart)
    loader = next(apart.glob("ld-linux*"))
    # With the libraries of this machine: those of the router can be others.
    (root / "usr/bin/wg").write_text(f'#!/bin/sh\nexec /opt/go/{loader.name} --library-path /opt/go /opt/go/wg "$@"\n')
    (root / "lib/netifd/proto/wireguard.sh").write_text(HANDLER)


def until_ping(site, since):
    """Return the seconds from `since` to the first answer."""
    while time.monotonic() < since + 20:
        if site.place.run("ping", "-n", "-c", "1", "-W", "0.01", "10.77.0.2", check=False)[0] == 0:
            return time.monotonic() - since
    raise SystemExit(f"no ping within 20 s: {site.router.logged()[-2000:]}")


def daemon_of(site):
    """Return the process that serves the interface."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if site.name.encode() in words and os.readlink(process / "root") == str(site.router.root):
                return int(process.name)
    raise SystemExit("no daemon")


def measure(site):
    """Return the seconds of each event, once."""
    site.interface.down()
    begin = time.monotonic()
    site.interface.up()
    found = {"ifup": until_ping(site, begin)}
    for event in ("killed", "link"):
        time.sleep(1)
        begin = time.monotonic()
        if event == "killed":
            os.kill(daemon_of(site), signal.SIGKILL)
        else:
            site.place.run("ip", "link", "del", site.name, check=False)
        time.sleep(0.05)  # the last answers of before
        found[event] = until_ping(site, begin)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    if "WGEMBED_OPENWRT" not in os.environ:
        raise SystemExit("WGEMBED_OPENWRT names no folder with the real netifd: see docs/testing.md")
    sites = {}
    with contextlib.ExitStack() as stack:
        for label in (GO, "micropython", "python3"):
            variant = "micropython" if label == GO else label
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            namespace = net.Namespace()
            stack.callback(namespace.close)
            router = openwrt.Router(namespace)
            stack.callback(router.close)
            router.fit(variant)
            router.put_ujail()
            site = sites[label] = Site(router, build_ipk.build(folder, variant), folder)
            stack.callback(site.close)
            if label == GO:
                install_go(site)
            site.up()
            site.reach()
        results = {label: {event: [] for event in EVENTS} for label in sites}
        for _ in range(runs):
            for label, site in sites.items():
                for event, seconds in measure(site).items():
                    results[label][event].append(seconds)
    print(f"| | {' | '.join(EVENTS)} |\n|---{'|---' * len(EVENTS)}|")
    for label, figures in results.items():
        medians = [statistics.median(figures[event]) for event in EVENTS]
        print(f"| {label} | {' | '.join(f'{seconds:.3f}' for seconds in medians)} |")


if __name__ == "__main__":
    main()
