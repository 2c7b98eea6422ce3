"""`wgembed check`: the errors in the configuration and on this machine, one sentence a line.

An error keeps a tunnel from working or a key from being safe. With an error, the exit status is 1. A note is information.
The command changes nothing, and does not ask a running daemon.
"""

from ..config import last_good, openwrt_network, uci
from ..config import options as config_module
from ..daemon import network_plan, peer_diff, refusals, timestamps
from ..daemon.interface import bind_pair
from ..daemon.router_options import do_without_marks
from ..errors import TOOLS_PACKAGE, cause
from ..protocol import tai64n
from ..runtime import abi, address, folders, rtnetlink, system
from ..runtime.modes import GROUP_OR_OTHERS
from ..runtime.resolver import Lookup
from ..runtime.tun_device import TUN_DEVICE
from ..uapi.server import is_served
from .run import config_directory

# The time for all lookups together, in ms, and the number of lookups at once, each in a separate process.
_LOOKUPS_TIMEOUT_MS = 10_000
_LOOKUPS = 6


class Report:
    """Collects errors and notes, which are sentences."""

    def __init__(self):
        self.errors = []
        self.notes = []

    def print(self):
        """Print them; return the exit status."""
        lines = ["error: " + text for text in self.errors] + ["note: " + text for text in self.notes]
        system.files.write(1, "".join([line + "\n" for line in lines or ["no problem found"]]).encode())
        return 1 if self.errors else 0


def check(program, arguments):
    """Check the configuration and the machine; return the exit status."""
    directory = config_directory(arguments)
    report = Report()
    _check_machine(report)
    try:
        config = config_module.load(directory)
    except config_module.ConfigError as e:
        report.errors += e.problems
        found = last_good.choose(directory)
        what = "a start uses " + found[1] if found else "no interface can start"
        report.notes.append("with these mistakes, " + what)
        return report.print()
    report.notes += config.warnings
    if not config.interfaces:
        report.notes.append("no interface is enabled in %s/%s" % (directory, config_module.PACKAGE))
    _check_config_mode(report, directory, config)
    for section in [part for interface in config.interfaces for part in [interface] + interface.peers]:
        if section.line:
            section.where = "%s/%s:%d: %s" % (directory, config_module.PACKAGE, section.line, section.where)
    report.errors += do_without_marks(config)
    if config.on_event and not system.files.exists(config.on_event):
        report.errors.append("option on_event: there is no program %s; correct the path" % config.on_event)
    found = _resolve(report, config)
    ip = rtnetlink.RtNetlink()
    for interface in config.interfaces:
        _check_interface(report, interface)
        _check_key_file(report, interface)
        _check_overlaps(report, interface)
        _check_paths(report, config, interface, found, ip)
        _check_taken(report, interface, ip)
    _check_routed_twice(report, config)
    _check_router(report, directory, config)
    for interface in config.interfaces:
        interface.forget_secrets()
    return report.print()


def _check_router(report, directory, config):
    """Check the other files of OpenWrt. On MicroPython, this part is in another package, because flash is short."""
    try:
        from . import check_router
    except ImportError:
        text = "the files of the network, the firewall, mwan3 and pbr were not checked: install %s to check them"
        report.notes.append(text % TOOLS_PACKAGE)
        return
    check_router.check(report, directory, config)


# The machine


def _check_machine(report):
    try:
        system.files.close(system.files.open_device(TUN_DEVICE))
    except OSError as e:
        if system.files.exists(TUN_DEVICE):
            report.errors.append("cannot open %s: %s. Run this command as root" % (TUN_DEVICE, cause(e)))
        else:
            report.errors.append("%s does not exist: load the kernel module tun (on OpenWrt: install kmod-tun)" % TUN_DEVICE)
    for name, what in (("net/ipv4/ip_forward", "IPv4"), ("net/ipv6/conf/all/forwarding", "IPv6")):
        if _setting(name) == "0":
            report.notes.append("this machine does not forward %s: only the machine itself can use the tunnels" % what)
    now, _ = system.clock.realtime()
    if now < timestamps.CLOCK_UNSET:
        report.notes.append("the clock was never set: handshakes still work, but certificates can fail")
    path = folders.state() + "/clock"
    mark = timestamps.read(path)
    if mark is not None and tai64n.seconds(mark) - timestamps.AHEAD_S > now + timestamps.SPARE_S:
        report.notes.append("the clock was set back: timestamps continue from the high-water mark in %s" % path)


def _setting(name):
    try:
        return system.files.read_file("/proc/sys/" + name).strip().decode()
    except OSError:
        return ""


# Keys


def _mode(path):
    try:
        return system.files.status(path)[1]
    except OSError:
        return 0


def _check_config_mode(report, directory, config):
    path = uci.file_of(config_module.PACKAGE, directory)
    secret = any(
        i.private_key is not None and not i.key_file or any(p.preshared_key is not None for p in i.peers)
        for i in config.interfaces
    )
    if secret and _mode(path) & GROUP_OR_OTHERS:
        report.errors.append("other users can read %s, which contains keys: run chmod 600 %s" % (path, path))


def _check_key_file(report, interface):
    path = interface.key_file
    if not path:
        return
    here = "%s, option private_key_file" % interface.where
    if not system.files.exists(path):
        report.notes.append("%s: %s does not exist yet; the daemon creates it" % (here, path))
        return
    if _mode(path) & GROUP_OR_OTHERS:
        report.errors.append("%s: other users can read %s: run chmod 600 %s" % (here, path, path))


# Interfaces


def _check_interface(report, interface):
    name, where = interface.name, interface.where
    served = is_served(name)
    if not served and system.inet.ifindex(name):
        report.errors.append("%s: another network interface already has this name" % where)
    if not served and interface.listen_port:
        try:
            for socket in bind_pair(interface.listen_port, 0):
                socket.close()
        except OSError as e:
            report.errors.append(
                "%s, option listen_port: cannot listen on %d: %s; choose another port, or stop the program that uses it"
                % (where, interface.listen_port, cause(e))
            )
    # Without IPv6 in the kernel, there is no such setting.
    if _setting("net/ipv6/conf/all/disable_ipv6") != "0" and any(len(a) == 16 for a, _ in interface.addresses):
        report.errors.append("%s, option addresses: IPv6 is disabled on this machine" % where)
    if interface.tunlink and openwrt_network.ifindex(interface.tunlink) is None:
        report.errors.append("%s, option tunlink: %s" % (where, openwrt_network.why_missing(interface.tunlink)))
    is_name_blocked = interface.kill_switch and _has_default(interface)
    for peer in interface.peers:
        for host in peer.all_hosts:
            if is_name_blocked and not _is_address(host):
                report.notes.append(
                    "%s, option endpoint_host: with kill_switch, the name server must have a more specific route outside the"
                    " tunnel; set an address, or add such a route" % peer.where
                )
            link = host.partition("%")[2]
            if link and not link.isdigit() and system.inet.ifindex(link) is None:
                report.errors.append("%s, option endpoint_host: link %s does not exist" % (peer.where, link))
        if not peer.allowed_ips:
            report.errors.append("%s: the peer has no allowed_ips, so no packets can go to it or come from it" % peer.where)


def _has_default(interface):
    return any(not n for peer in interface.peers for _, n in network_plan.routed_prefixes(interface, peer))


def _is_address(host):
    try:
        return bool(address.parse_ip(host.partition("%")[0]))
    except ValueError:
        return False


def _check_overlaps(report, interface):
    owners = peer_diff.owners(interface.peers)
    for peer in interface.peers:
        for packed, length in peer.allowed_ips:
            owner = owners[address.masked(packed, length), length]
            if owner != peer.public_key:
                other = [p.where for p in interface.peers if p.public_key == owner][0]
                report.errors.append(
                    "%s, option allowed_ips: %s also has %s/%d, and gets it; give each network to one peer"
                    % (peer.where, other, address.format_ip(packed), length)
                )


def _check_routed_twice(report, config):
    seen = {}
    for interface in config.interfaces:
        for peer in interface.peers:
            for packed, length in network_plan.routed_prefixes(interface, peer):
                table = interface.table4 if len(packed) == 4 else interface.table6
                route = address.masked(packed, length), length, table, interface.metric
                other = seen.setdefault(route, interface)
                if other is not interface:
                    report.errors.append(
                        "%s: %s also routes %s/%d, with the same metric"
                        % (interface.where, other.where, address.format_ip(packed), length)
                    )


def _check_taken(report, interface, ip):
    """Check that no other link has a route that the interface needs."""
    index = system.inet.ifindex(interface.name) or 0
    routes = [rtnetlink.Route(packed, length, index) for packed, length in interface.addresses]
    for peer in interface.peers:
        routes += [rtnetlink.Route(*prefix, index) for prefix in network_plan.routed_prefixes(interface, peer)]
    wanted = {}
    for route in routes:
        is_main = not (interface.table4 if len(route.destination) == 4 else interface.table6)
        if is_main and (route.length or interface.metric) and route.length < 8 * len(route.destination):
            route.destination = address.masked(route.destination, route.length)
            route.metric = interface.metric
            wanted[network_plan.key_of(route)] = route
    for size, family in abi.FAMILIES.items():
        prefixes = {key[:2] for key in wanted if len(key[0]) == size}
        try:
            found = ip.routes(family, lambda *prefix, known=prefixes: prefix in known) if prefixes else ()
        except OSError:
            continue
        for other in found:
            if network_plan.key_of(other) in wanted and other.index != index:
                report.errors.append(
                    "%s: %s also has a route to %s/%d, %s"
                    % (
                        interface.where,
                        ip.link_name(other.index),
                        address.format_ip(other.destination),
                        other.length,
                        refusals.HELD,
                    )  # fmt: skip
                )


# Endpoints and the routes to them


def _resolve(report, config):
    """Return {host: packed addresses} of all endpoints that are addresses or can be resolved."""
    found, names = {}, []
    for host in [host for interface in config.interfaces for peer in interface.peers for host in peer.all_hosts]:
        try:
            found[host] = [address.parse_ip(host.partition("%")[0])]
        except ValueError:
            if host not in names:
                names.append(host)
    end = system.clock.now() + _LOOKUPS_TIMEOUT_MS
    while names and system.clock.now() < end:
        for name, lookup in [(name, Lookup(name)) for name in names[:_LOOKUPS]]:
            found[name] = _answer(lookup, end)
            if not found[name]:
                report.errors.append("cannot resolve endpoint_host '%s' now" % name)
        names = names[_LOOKUPS:]
    if names:
        report.notes.append("%d more names were not resolved because it takes too long" % len(names))
    return found


def _answer(lookup, end):
    """Return the addresses of the lookup when it ends, or at the time `end`."""
    poller = system.poll.Poller()
    poller.watch(lookup.fd, system.poll.IN)
    while not lookup.advance() and system.clock.now() < end:
        for _ in poller.wait(max(0, end - system.clock.now())):
            pass
    return lookup.finish()


def _check_paths(report, config, interface, found, ip):
    """Check that each endpoint can be reached outside the tunnel, with the configured MTU."""
    routed = [
        (packed, length, other is interface)
        for other in config.interfaces
        for peer in other.peers
        for packed, length in network_plan.routed_prefixes(other, peer)
    ]
    chosen = openwrt_network.ifindex(interface.tunlink) if interface.tunlink else 0
    tunnels = [index for index in [system.inet.ifindex(other.name) for other in config.interfaces] if index]
    paths = network_plan.Paths(ip, tunnels, ())
    for peer, host in [(one, host) for one in interface.peers for host in one.all_hosts]:
        for packed in found.get(host, ())[:1]:
            here = "%s, option endpoint_host" % peer.where
            text = address.format_ip(packed)
            link = host.partition("%")[2]
            scope = int(link) if link.isdigit() else system.inet.ifindex(link) if link else 0
            if scope is None:
                continue  # see _check_interface
            route = paths.way(packed, scope or chosen or 0, interface.fwmark)
            if route is None:
                if not _is_here(ip, packed):
                    report.errors.append("%s: there is no route to %s" % (here, text))
                continue
            if not scope and network_plan.swallows(interface, packed, routed):
                report.errors.append(
                    "%s: the route to %s leads into a tunnel because nohostroute is set; delete that option" % (here, text)
                )
            best = network_plan.best_mtu(packed, route, paths)
            if interface.mtu and best and interface.mtu > best:
                report.errors.append(
                    "%s, option mtu: %d is too large for the path to %s, the maximum is %d"
                    % (interface.where, interface.mtu, text, best)
                )


def _is_here(ip, packed):
    """Whether the address is one of this machine, where another program can relay the datagrams."""
    try:
        return ip.route_to(packed).index == system.inet.ifindex("lo")
    except OSError:
        return False
