"""Converts files of wg-quick to sections of UCI and back: `wgembed import` and `wgembed export`."""

from ..errors import UserError
from ..runtime import address
from . import keys, uci, wg_quick
from . import options as config

_KEYS = {
    wg_quick.INTERFACE: ("privatekey", "listenport", "fwmark") + wg_quick.OWN_KEYS,
    wg_quick.PEER: ("publickey", "presharedkey", "allowedips", "endpoint", "persistentkeepalive"),
}
# Keys with a number after one of these letters, and these words, are AmneziaWG's.
_AMNEZIA = ("jc", "jmin", "jmax", "itime")

# Import. The values pass the same checks as those of a configuration, so the result can be loaded.


def _check_keys(quick):
    """Refuse keys that wg(8) and wg-quick(8) do not know, which can be mistyped; UserError."""
    for section in quick.sections:
        for key, _, line in section.entries:
            if key not in _KEYS[section.kind]:
                why = "unknown key %s" % config.shown(key)
                if key in _AMNEZIA or len(key) == 2 and key[0] in "shij" and key[1].isdigit():
                    why += ": it belongs to AmneziaWG, another protocol, which wgembed does not have"
                raise UserError("line %d: %s" % (line, why))


class _Options:
    """Checks and collects the options of a section."""

    def __init__(self, section):
        self._section = section
        self.found = []

    def take(self, key, option, parse, change=lambda text: text):
        text = self._section.last(key)
        if text:
            self.add(option, change(text), parse, key)

    def take_list(self, key, option):
        words = self._section.words(key)
        for word in words:
            self._check(config.network, word, key)
        if words:
            self.found.append((option, words))

    def add(self, option, text, parse, key):
        self._check(parse, text, key)
        self.found.append((option, text))

    def _check(self, parse, text, key):
        try:
            parse(text)
        except ValueError as e:
            raise UserError("line %d: %s" % (self.line(key), e)) from None

    def line(self, key):
        """Return the line of the key that is in effect."""
        return [line for name, _, line in self._section.entries if name == key][-1]


def _table(text):
    return "" if text in ("auto", "off") else text


def import_interface(quick, name):
    """Return the sections for the interface and the peers of a wg-quick file, and the list of keys that UCI does not have.

    Sections are (type, name or None, options). Options are pairs of a name and a text or a list of texts.
    """
    _check_keys(quick)
    section = quick.interface
    options = _Options(section)
    options.take("privatekey", "private_key", config.key)
    options.take("listenport", "listen_port", config.port)
    options.take_list("address", "addresses")
    options.take("mtu", "mtu", config.mtu)
    options.take("fwmark", "fwmark", config.fwmark)
    table = _table(section.last("table", "auto"))
    if table:
        for option in ("ip4table", "ip6table"):
            options.add(option, table, config.table, "table")
    if not section.last("privatekey"):
        raise UserError("[Interface] has no PrivateKey")
    routed = section.last("table", "auto") != "off"
    sections = [("interface", name, options.found)]
    for peer in quick.peers:
        sections.append((config.PEER_TYPE + name, None, _peer_options(peer, routed)))
    left_out = [key for key in ("dns", "preup", "postup", "predown", "postdown") if section.all(key)]
    return sections, left_out


def _peer_options(section, routed):
    options = _Options(section)
    if not section.last("publickey"):
        raise UserError("line %d: [Peer] has no PublicKey" % section.line)
    options.take("publickey", "public_key", config.key)
    options.take("presharedkey", "preshared_key", config.key)
    options.take_list("allowedips", "allowed_ips")
    if routed and section.words("allowedips"):
        options.found.append(("route_allowed_ips", "1"))
    endpoint = section.last("endpoint")
    if endpoint:
        host, colon, port = endpoint.rpartition(":")
        if not colon or not port or "]" in port:
            raise UserError("line %d: Endpoint has no port: write Endpoint = HOST:PORT" % options.line("endpoint"))
        options.add("endpoint_host", host.strip("[]"), config.host, "endpoint")
        options.add("endpoint_port", port, config.endpoint_port, "endpoint")
    options.take("persistentkeepalive", "persistent_keepalive", config.keepalive)
    return options.found


def import_peer(quick, interface, own, description):
    """Return the section that makes the user of a wg-quick file a peer of our interface of this name.

    own  our public key, packed, or None if not known. The [Peer] with this key in the file has the preshared key.
    """
    _check_keys(quick)
    section = quick.interface
    options = _Options(section)
    text = section.last("privatekey")
    if not text:
        raise UserError("[Interface] has no PrivateKey, which the public_key of the peer is made from")
    try:
        public = keys.public_key(config.key(text))
    except ValueError as e:
        raise UserError("PrivateKey: %s" % e) from None
    options.found.append(("description", description))
    options.found.append(("public_key", keys.encode(public).decode()))
    us = _find_us(quick, own)
    if us.last("presharedkey"):
        options.found.append(("preshared_key", us.last("presharedkey")))
    addresses = []
    for word in section.words("address"):
        try:
            packed, _ = config.network(word)
        except ValueError as e:
            raise UserError("Address: %s" % e) from None
        addresses.append("%s/%d" % (address.format_ip(packed), 8 * len(packed)))
    if not addresses:
        raise UserError("[Interface] has no Address for the allowed_ips of the peer")
    options.found.append(("allowed_ips", addresses))
    options.found.append(("route_allowed_ips", "1"))
    return [(config.PEER_TYPE + interface, None, options.found)]


def _find_us(quick, own):
    for peer in quick.peers:
        if own is not None and peer.last("publickey") == keys.encode(own).decode():
            return peer
    if own is None and len(quick.peers) == 1:
        return quick.peers[0]
    raise UserError("no [Peer] in the file has the public key of this interface")


def format_sections(sections):
    """Return the sections as text, as `uci export` prints them."""
    text = ""
    for kind, name, options in sections:
        text += "\nconfig %s%s\n" % (kind, " " + _quoted(name) if name else "")
        for option, value in options:
            if isinstance(value, list):
                text += "".join(["\tlist %s %s\n" % (option, _quoted(word)) for word in value])
            else:
                text += "\toption %s %s\n" % (option, _quoted(value))
    return text


def _quoted(text):
    return uci.quote(text.encode()).decode()


# Export


def find_peer(interface, wanted):
    """Return the PeerConfig with the public key or description `wanted`; UserError if there is not exactly one."""
    found = [peer for peer in interface.peers if wanted in (keys.encode(peer.public_key).decode(), peer.description)]
    if len(found) != 1:
        how_many = "more than one peer" if found else "no peer"
        raise UserError("%s of %s has the public key or description %s" % (how_many, interface.name, wanted))
    return found[0]


def export(interface, peer, private, endpoint, allowed_ips, dns):
    """Return the wg-quick file for the machine that is `peer` of our `interface`.

    private      the peer's private key in base64, "" if not known
    endpoint     our HOST:PORT, "" if the peer does not start handshakes
    allowed_ips  the networks that the peer sends through the tunnel, texts; empty for the networks of our interface
    dns          the DNS servers, texts
    """
    lines = ["[Interface]"]
    if private:
        lines.append("PrivateKey = " + private)
    else:
        lines.append("# PrivateKey = (the private key of %s)" % keys.encode(peer.public_key).decode())
    addresses = own_addresses(peer)
    if addresses:
        lines.append("Address = " + ", ".join(addresses))
    if dns:
        lines.append("DNS = " + ", ".join(dns))
    if interface.mtu:
        lines.append("MTU = %d" % interface.mtu)
    lines += ["", "[Peer]", "PublicKey = " + keys.encode(keys.public_key(interface.private_key)).decode()]
    if peer.preshared_key is not None and any(peer.preshared_key):
        lines.append("PresharedKey = " + keys.encode(peer.preshared_key).decode())
    lines.append("AllowedIPs = " + ", ".join(allowed_ips or _own_networks(interface)))
    if endpoint:
        lines.append("Endpoint = " + endpoint)
        lines.append("PersistentKeepalive = 25")
    return "\n".join(lines) + "\n"


def own_addresses(peer):
    """Return the single addresses in the peer's allowed IPs, as texts: they are probably those of the peer itself."""
    return ["%s/%d" % (address.format_ip(p), n) for p, n in peer.allowed_ips if n == 8 * len(p)]


def _own_networks(interface):
    return ["%s/%d" % (address.format_ip(address.masked(packed, n)), n) for packed, n in interface.addresses]
