"""`wg show` and `wg showconf`."""

from ...config import keys
from ...errors import complain
from ...runtime import system, tool
from ...uapi import client
from ..output import Colours, Output, WgError, because, hundredths, reason

_USAGE = (
    "Usage: %s show { <interface> | all | interfaces } [public-key | private-key | listen-port | fwmark | peers | "
    "preshared-keys | endpoints | allowed-ips | latest-handshakes | transfer | persistent-keepalive | dump]"
)
_NO_ACCESS = "Unable to access interface"
_UNITS = (("year", 365 * 24 * 60 * 60), ("day", 24 * 60 * 60), ("hour", 60 * 60), ("minute", 60), ("second", 1))


def show(program, arguments):
    """Print one field or all of one interface or all; return the exit status; WgError."""
    what = arguments[1] if len(arguments) > 1 else "all"
    field = arguments[2] if len(arguments) > 2 else None
    if len(arguments) > 3 or what == "interfaces" and field is not None:
        raise WgError(_USAGE % program)
    if what == "all":
        return _show_all(program, field)
    if what == "interfaces":
        return _show_names()
    if field is None and what in ("-h", "--help", "help"):
        complain(_USAGE % program)
        return 0
    try:
        output = _tell(program, what, field, "")
    except OSError as e:
        raise because(_NO_ACCESS, e) from None
    output.send()
    return 0


def _tell(program, name, field, prefix):
    """Return the Output for one field of an interface, or for all if `field` is None; WgError, OSError."""
    output = Output()
    parts = client.read(name)
    interface = next(parts)
    if field is None:
        _put_pretty(output, interface, parts)
    else:
        _check_field(program, field, parts)
        _put_field(output, interface, parts, field, prefix)
    return output


def _list():
    try:
        return client.list_interfaces()
    except OSError as e:
        raise because("Unable to list interfaces", e) from None


def _show_names():
    names = _list()
    output = Output()
    output.put(" ".join(names) + "\n" if names else "")
    output.send()
    return 0


def _show_all(program, field):
    names = _list()
    status = 1 if names else 0
    for name in names:
        try:
            output = _tell(program, name, field, name + "\t")
        except OSError as e:
            complain("Unable to access interface %s: %s" % (name, reason(e)))
            continue
        if field is None and name != names[-1]:
            output.put("\n")
        output.send()
        status = 0
    return status


def _check_field(program, field, parts):
    if field not in _OF_INTERFACE and field not in _OF_PEER and field != "dump":
        for _ in parts:
            pass  # an error of the interface is reported before a wrong field
        complain("Invalid parameter: `%s'" % field)
        raise WgError(_USAGE % program)


# Single fields, for programs


def _key(key):
    return "(none)" if key is None else keys.encode(key).decode()


def _fwmark(interface):
    return "0x%x" % interface.fwmark if interface.fwmark else "off"


def _keepalive(peer):
    return str(peer.persistent_keepalive or "off")


_OF_INTERFACE = {
    "public-key": lambda interface: _key(interface.public_key),
    "private-key": lambda interface: _key(interface.private_key),
    "listen-port": lambda interface: str(interface.listen_port),
    "fwmark": _fwmark,
}
_OF_PEER = {
    "peers": lambda peer: "",
    "preshared-keys": lambda peer: "\t" + _key(peer.preshared_key),
    "endpoints": lambda peer: "\t" + (peer.endpoint or "(none)"),
    "allowed-ips": lambda peer: "\t" + (" ".join(peer.allowed_ips) or "(none)"),
    "latest-handshakes": lambda peer: "\t%d" % peer.handshake_sec,
    "transfer": lambda peer: "\t%d\t%d" % (peer.rx_bytes, peer.tx_bytes),
    "persistent-keepalive": lambda peer: "\t" + _keepalive(peer),
}


def _put_field(output, interface, peers, field, prefix):
    if field == "dump":
        _put_dump(output, interface, peers, prefix)
    elif field in _OF_PEER:
        for peer in peers:
            output.put("%s%s%s\n" % (prefix, _key(peer.public_key), _OF_PEER[field](peer)))
    else:
        output.put("%s%s\n" % (prefix, _OF_INTERFACE[field](interface)))
        for _ in peers:
            pass  # an incomplete answer is an error at its end


def _put_dump(output, interface, peers, prefix):
    own = _key(interface.private_key), _key(interface.public_key), str(interface.listen_port), _fwmark(interface)
    output.put(prefix + "\t".join(own) + "\n")
    for peer in peers:
        fields = (
            _key(peer.public_key),
            _key(peer.preshared_key),
            peer.endpoint or "(none)",
            ",".join(peer.allowed_ips) or "(none)",
            "%d\t%d\t%d" % (peer.handshake_sec, peer.rx_bytes, peer.tx_bytes),
            _keepalive(peer),
        )
        output.put(prefix + "\t".join(fields) + "\n")


# All of them, for people


class _Pretty:
    """The form of the output for people."""

    def __init__(self):
        self.colours = c = Colours()
        self._title = "{}" + c.bold + "{}" + c.reset + ": {}{}" + c.reset + "\n"
        self._line = "  " + c.bold + "{}" + c.reset + ": {}\n"
        self._shows_keys = system.files.getenv("WG_HIDE_KEYS") == "never"

    def title(self, colour, what, name):
        return self._title.format(colour, what, colour, name)

    def line(self, what, value):
        return self._line.format(what, value)

    def secret(self, what, key):
        return self.line(what, _key(key) if self._shows_keys else "(hidden)") if key is not None else ""


def _put_pretty(output, interface, peers):
    pretty = _Pretty()
    c = pretty.colours
    output.put(c.reset + pretty.title(c.green, "interface", interface.name))
    if interface.public_key is not None:
        output.put(pretty.line("public key", _key(interface.public_key)))
    output.put(pretty.secret("private key", interface.private_key))
    if interface.listen_port:
        output.put(pretty.line("listening port", interface.listen_port))
    if interface.fwmark:
        output.put(pretty.line("fwmark", _fwmark(interface)))
    # Text takes less memory than objects. Peers without a handshake come last, in their order.
    order = []
    for peer in peers:
        never = not (peer.handshake_sec or peer.handshake_nsec)
        text = "\n" + _pretty_peer(pretty, peer)
        order.append((never, -peer.handshake_sec, -peer.handshake_nsec, len(order), tool.encode(text)))
    order.sort()
    output.put_pieces([entry[4] for entry in order])


def _pretty_peer(pretty, peer):
    c = pretty.colours
    lines = [pretty.title(c.yellow, "peer", _key(peer.public_key)), pretty.secret("preshared key", peer.preshared_key)]
    if peer.endpoint:
        lines.append(pretty.line("endpoint", peer.endpoint))
    slash = c.cyan + "/" + c.reset
    lines.append(pretty.line("allowed ips", ", ".join(peer.allowed_ips).replace("/", slash) or "(none)"))
    if peer.handshake_sec:
        lines.append(pretty.line("latest handshake", _ago(peer.handshake_sec, c)))
    if peer.rx_bytes or peer.tx_bytes:
        text = "%s received, %s sent" % (_amount(peer.rx_bytes, c), _amount(peer.tx_bytes, c))
        lines.append(pretty.line("transfer", text))
    if peer.persistent_keepalive:
        lines.append(pretty.line("persistent keepalive", "every " + _duration(peer.persistent_keepalive, c)))
    return "".join(lines)


def _duration(seconds, c):
    parts = []
    for unit, length in _UNITS:
        count, seconds = divmod(seconds, length)
        if count:
            parts.append("%d %s%s%s%s" % (count, c.cyan, unit, "" if count == 1 else "s", c.reset))
    return ", ".join(parts)


def _ago(moment, c):
    passed = system.clock.realtime()[0] - moment
    if passed < 0:
        return "(%sSystem clock wound backward; connection problems may ensue.%s)" % (c.red, c.reset)
    return _duration(passed, c) + " ago" if passed else "Now"


def _amount(count, c):
    size, unit = 1, "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if count < size << 10:
            break
        size, unit = size << 10, larger
    return "%s %s%s%s" % (count if size == 1 else hundredths(count, size), c.cyan, unit, c.reset)


# As a configuration


def showconf(program, arguments):
    """Print the interface as a file for `setconf`; return the exit status; WgError."""
    if len(arguments) != 2:
        raise WgError("Usage: %s showconf <interface>" % program)
    output = Output()
    put_config(output, arguments[1])
    output.send()
    return 0


def put_config(output, name):
    """Put the interface into the output as a file for `setconf`; WgError."""
    try:
        parts = client.read(name)
        _put_section(output, next(parts))
        between = ""
        for peer in parts:
            output.put(between)
            _put_peer_section(output, peer)
            between = "\n"
    except OSError as e:
        raise because(_NO_ACCESS, e) from None


def _put_section(output, interface):
    output.put("[Interface]\n")
    if interface.listen_port:
        output.put("ListenPort = %d\n" % interface.listen_port)
    if interface.fwmark:
        output.put("FwMark = 0x%x\n" % interface.fwmark)
    if interface.private_key is not None:
        output.put("PrivateKey = %s\n" % _key(interface.private_key))
    output.put("\n")


def _put_peer_section(output, peer):
    output.put("[Peer]\nPublicKey = %s\n" % _key(peer.public_key))
    if peer.preshared_key is not None:
        output.put("PresharedKey = %s\n" % _key(peer.preshared_key))
    if peer.allowed_ips:
        output.put("AllowedIPs = %s\n" % ", ".join(peer.allowed_ips))
    if peer.endpoint:
        output.put("Endpoint = %s\n" % peer.endpoint)
    if peer.persistent_keepalive:
        output.put("PersistentKeepalive = %d\n" % peer.persistent_keepalive)
