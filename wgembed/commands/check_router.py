"""The part of `wgembed check` about the other files of OpenWrt: network, firewall, mwan3 and pbr.

Netifd does not know the interfaces of wgembed, so what names one of them as a network has no effect. A section with the
protocol none makes the interface known.
"""

from ..config import options as config_module
from ..config import uci
from ..daemon import network_plan
from ..runtime import address

_INTERFACE = b"interface"
# File, types of sections, and the options that name networks; None if the name of the section is that of a network.
_USES = (
    ("firewall", (b"zone",), ("network",)),
    ("network", (b"route", b"route6"), ("interface",)),
    ("network", (b"rule", b"rule6"), ("in", "out")),
    ("mwan3", (_INTERFACE,), None),
    ("pbr", (b"policy",), ("interface",)),
)
# The bits of firewall marks that a program uses: file, option and default
_MASKS = (("mwan3", "mmx_mask", 0x3F00), ("pbr", "fw_mask", 0xFF0000))
_COMPANION = (
    "this makes %s known to netifd, in %s/network (for a zone of the firewall, list device '%s' is enough):\n"
    "config interface '%s'\n\toption proto 'none'\n\toption device '%s'"
)


class _Router:
    def __init__(self, report, directory, config):
        self._report = report
        self._directory = directory
        self._interfaces = config.interfaces
        self._names = [interface.name for interface in config.interfaces]
        self._files = {}
        for file in ("network", "firewall", "mwan3", "pbr"):
            try:
                self._files[file] = uci.load(file, False, directory).sections
            except (OSError, uci.ParseError):
                self._files[file] = ()

    def _sections(self, file, *kinds):
        """Return the enabled sections of these types."""
        found = [section for section in self._files[file] if section.kind in kinds]
        return [one for one in found if _first(one, "disabled") not in _ON and _first(one, "enabled") not in _OFF]

    def _where(self, file, section, option=""):
        name = "" if section.anonymous else " '%s'" % section.name.decode()
        option = ", option " + option if option else ""
        return "%s/%s:%d: %s%s%s" % (self._directory, file, section.line, section.kind.decode(), name, option)

    def check(self):
        self._check_uses()
        self._check_zones()
        for slot, interface in enumerate(self._interfaces):
            self._check_mark(interface, slot)
            self._check_port(interface)
            self._check_networks(interface)

    def _check_uses(self):
        networks = {section.name.decode(): section for section in self._sections("network", _INTERFACE)}
        missing = []
        for name in self._names:
            section = networks.get(name)
            if section is not None and _first(section, "proto") == "wireguard":
                self._report.errors.append(
                    "%s: OpenWrt's own WireGuard makes this interface too; set disabled '1' there"
                    % self._where("network", section)
                )
        for file, kinds, options in _USES:
            for section in self._sections(file, *kinds):
                for option in options or ("",):
                    for name in _words(section, option) if option else [section.name.decode()]:
                        if name not in self._names or name in networks or file == "firewall" and self._is_in_zone(name):
                            continue
                        self._report.errors.append(
                            "%s: netifd has no network '%s', so this has no effect"
                            % (self._where(file, section, option), name)
                        )
                        if name not in missing:
                            missing.append(name)
        for name in missing:
            self._report.notes.append(_COMPANION % (name, self._directory, name, name, name))

    def _is_in_zone(self, name):
        """Whether a zone has the link."""
        for zone in self._sections("firewall", b"zone"):
            for device in _words(zone, "device"):
                if device == name or device[-1:] in "+*" and name.startswith(device[:-1]):
                    return True
        return False

    def _check_zones(self):
        zones = self._sections("firewall", b"zone")
        used = [name for zone in zones for name in _words(zone, "network")]
        zones = [_first(zone, "name") for zone in zones]
        for interface in self._interfaces:
            name = interface.name
            others = [one.name.decode() for one in self._sections("network", _INTERFACE) if _first(one, "device") == name]
            if zones and not self._is_in_zone(name) and not any(one in used for one in [name] + others):
                self._report.notes.append(
                    "%s: no zone of %s/firewall has list device '%s', so the defaults of the firewall hold for the tunnel"
                    % (interface.where, self._directory, name)
                )
        for section in self._sections("firewall", b"forwarding", b"rule", b"redirect"):
            for option in ("src", "dest"):
                name = _first(section, option)
                if name in self._names and name not in zones:
                    self._report.errors.append(
                        "%s: there is no zone '%s', so this has no effect" % (self._where("firewall", section, option), name)
                    )

    def _check_mark(self, interface, slot):
        """Marks of mwan3 and pbr choose the routing table of a packet."""
        own = [p for peer in interface.peers for p in network_plan.routed_prefixes(interface, peer)]
        is_auto = interface.nohostroute and any(not n for _, n in own)
        mark = interface.fwmark or (network_plan.AUTO_FWMARK + slot if is_auto else 0)
        masks = [(file, self._mask(file, option, usual)) for file, option, usual in _MASKS if self._files[file]]
        free = 1 << 24
        while any(mask & free for _, mask in masks):
            free <<= 1
        for file, mask in masks:
            if mark & mask:
                self._report.notes.append(
                    "%s: the firewall mark 0x%x has bits that %s uses to choose a route (0x%x); set fwmark '0x%x'"
                    % (interface.where, mark, file, mask, free)
                )

    def _mask(self, file, option, usual):
        for section in self._files[file]:
            text = _first(section, option)
            try:
                return int(text, 16) if text else usual
            except ValueError:
                continue
        return usual

    def _check_port(self, interface):
        """A peer without an endpoint must connect first, and the firewall must let it."""
        port = interface.listen_port
        closed = [zone for zone in self._sections("firewall", b"zone") if _first(zone, "name") == "wan"]
        closed = [zone for zone in closed if _first(zone, "input").upper() != "ACCEPT"]
        if not closed or not port or all(peer.host for peer in interface.peers):
            return
        for rule in self._sections("firewall", b"rule"):
            protos = _words(rule, "proto") or ["udp"]
            if _first(rule, "src") not in ("wan", "*") or _first(rule, "dest") or _first(rule, "target").upper() != "ACCEPT":
                continue
            ports = _words(rule, "dest_port")
            is_udp = any(p in ("udp", "17", "all", "any", "tcpudp") for p in protos)
            if is_udp and (not ports or any(_is_in(port, text) for text in ports)):
                return
        self._report.notes.append(
            "%s, option listen_port: no rule in %s/firewall lets UDP to port %d in from wan, so a peer without "
            "endpoint_host cannot connect from there" % (interface.where, self._directory, port)
        )

    def _check_networks(self, interface):
        """Compare the routed allowed IPs with the networks of the router."""
        for section in self._sections("network", _INTERFACE):
            if section.name.decode() == interface.name or _first(section, "device") == interface.name:
                continue
            mask = _first(section, "netmask")
            for text in _words(section, "ipaddr") + _words(section, "ip6addr"):
                if mask and "/" not in text and ":" not in text:
                    text += "/" + mask
                try:
                    packed, length = config_module.own_address(text)
                except ValueError:
                    continue
                for peer in interface.peers:
                    for prefix, bits in network_plan.routed_prefixes(interface, peer):
                        least = min(bits, length)
                        if bits and len(prefix) == len(packed) and address.covers(prefix, least, packed):
                            self._report.notes.append(
                                "%s, option allowed_ips: %s/%d overlaps with %s of %s, so hosts with these addresses at one "
                                "end cannot be reached from the other"
                                % (peer.where, address.format_ip(prefix), bits, text, self._where("network", section))
                            )


_ON = config_module.TRUE
_OFF = config_module.FALSE


def _words(section, name):
    """Return the words of the option, which can be a list."""
    option = section.find(name.encode())
    if option is None:
        return []
    try:
        return b" ".join([option.value] if option.values is None else option.values).decode().split()
    except UnicodeError:
        return []


def _first(section, name):
    return (_words(section, name) + [""])[0]


def _is_in(port, text):
    """Whether the port is in a range of the firewall, such as 51820 or 51820-51830."""
    low, dash, high = text.replace(":", "-").partition("-")
    return low.isdigit() and (high or low).isdigit() and int(low) <= port <= int(high or low)


def check(report, directory, config):
    """Add to the Report what the other files of the directory say about the interfaces in the Config."""
    _Router(report, directory, config).check()
