"""`wgembed up`, `down` and `reload`: the same as wg-quick(8), for machines that are not routers.

A separate daemon serves the interface. Addresses, MTU and routes are planned as for a router (daemon/network_plan.py), and a
default route gets a firewall mark and rules as with wg-quick. Objects that outlive the link are recorded, and removed by
their record.
"""

from ..config import options, route_tables, wg_quick
from ..daemon import capacity, network, network_plan
from ..errors import UsageError, UserError
from ..runtime import abi, address, durable, folders, log, netconf, rtnetlink, rtnetlink_abi, system, tool
from ..runtime.loop import Loop
from ..runtime.modes import OTHERS
from ..uapi import client
from ..uapi.server import is_served
from . import hooks
from .output import Output
from .status_model import look
from .wg import setconf, show

# The time for a daemon to end, in ms.
_END_TIMEOUT_MS = 5000
_STEP_MS = 20
_LINK_LOCAL = b"\xfe\x80"


def up(program, arguments):
    """Bring up the interface of a wg-quick file, by its path or name; return the exit status."""
    path, name, parsed = _read(_argument(arguments))
    settings, routed = _settings(name, parsed)
    room = _room(parsed)
    if system.inet.ifindex(name) or is_served(name):
        raise UserError("`%s' already exists" % name)
    _clear_up(name)
    _run_hooks("preup", parsed, name, path)
    _serve(name, room)
    try:
        setconf.set_text(name, parsed.stripped.encode())
        _make_network(settings, routed)
        _tell_dns(parsed.interface.words("dns"))
        _run_hooks("postup", parsed, name, path)
    except BaseException:
        _end(name)
        raise
    return 0


def down(program, arguments):
    """Bring down an interface of `up`; return the exit status."""
    path, name, parsed = _read(_argument(arguments))
    if not is_served(name):
        _clear_up(name)
        raise UserError("`%s' is not a WireGuard interface" % name)
    if not system.inet.ifindex(name):
        raise UserError("`%s' is served, but not in this network namespace" % name)
    _run_hooks("predown", parsed, name, path)
    if parsed.saves:
        _save(path, name, parsed)
    _end(name)
    _run_hooks("postdown", parsed, name, path)
    return 0


def reload(program, arguments):
    """Apply the keys and peers of a wg-quick file to its interface, which is up; return the exit status.

    Peers that stay keep their sessions. Addresses and routes do not change, as with `wg syncconf` and `wg-quick strip`.
    """
    _, name, parsed = _read(_argument(arguments))
    if not is_served(name):
        raise UserError("`%s' is not a WireGuard interface" % name)
    setconf.sync_text(name, parsed.stripped.encode())
    return 0


def _argument(arguments):
    """Return the one argument, a file or the name of an interface; UsageError."""
    if len(arguments) != 2 or arguments[1][:1] == "-":
        raise UsageError
    return arguments[1]


def _read(argument):
    """Return path, interface name and QuickFile for an argument."""
    path, name = wg_quick.locate(argument)
    if not system.files.exists(path):
        raise UserError("`%s' does not exist" % path)
    path = system.files.real_path(path)
    directory = path.rpartition("/")[0] or "/"
    if system.files.status(path)[1] & system.files.status(directory)[1] & OTHERS:
        system.process.write_line("Warning: `%s' is world accessible" % path)
    try:
        parsed = wg_quick.parse(wg_quick.to_text(system.files.read_file(path)))
    except UnicodeError:
        raise UserError("`%s' is not UTF-8 text" % path) from None
    return path, name, parsed


def _tell(text):
    system.process.write_line("[#] " + text)


def _tell_dns(words):
    servers = [word for word in words if hooks.is_server(word)]
    domains = [word for word in words if word not in servers]
    for what, found in (("servers", servers), ("search domains", domains)):
        if found:
            _tell("DNS is not changed, use these %s: %s" % (what, ", ".join(found)))


def _run_hooks(when, parsed, name, path):
    hooks.run_all(parsed.interface.all(when), parsed, name, path, _tell)


# What wg-quick adds


def _settings(name, parsed):
    """Return the settings of the file as an InterfaceConfig, and whether routes are added."""
    section = parsed.interface
    settings = options.InterfaceConfig(name, name, name, 0)
    # As in wg-quick: no host routes, but a table for default routes that marked packets do not use.
    settings.nohostroute = True
    settings.addresses = [_checked("Address", _address, word) for word in section.words("address")]
    settings.mtu = _checked("MTU", options.mtu, section.last("mtu")) if section.last("mtu") else 0
    settings.fwmark = _checked("FwMark", options.fwmark, section.last("fwmark", "off").lower())
    table = section.last("table") or "auto"
    if table not in ("auto", "off"):
        settings.table4 = settings.table6 = _checked("Table", _table, table)
        settings.table_rules = False
    return settings, table != "off"


def _checked(key, parse, text):
    """Return parse(text), for a value of the key."""
    try:
        return parse(text)
    except ValueError as e:
        raise UserError("[Interface] %s: %s" % (key, e)) from None


def _address(text):
    """Return the packed address and its prefix length. As in ip(8), the length can be a netmask."""
    where, _, mask = text.partition("/")
    if "." in mask and ":" not in text:
        packed, _ = options.network(mask)
        number = int.from_bytes(packed, "big")
        length = 32
        while length and not number & 1:
            number >>= 1
            length -= 1
        if number != (1 << length) - 1:
            raise ValueError("%s: the netmask must be ones, then zeros" % options.shown(text))
        text = "%s/%d" % (where, length)
    return options.network(text)


def _table(text):
    """Return the number of a table. As in ip(8), table 0 is the main table."""
    if text == "0":
        return rtnetlink_abi.RT_TABLE_MAIN
    try:
        return options.table(text)
    except ValueError as e:
        raise ValueError("%s; or off, auto, or a name in %s" % (e, route_tables.ROUTE_TABLES)) from None


def _is_covered(packed, length, addresses):
    """Whether the route that the kernel makes for an address leads the prefix into the interface already."""
    for own, bits in addresses:
        if (
            len(own) == len(packed)
            and bits <= length
            and (bits < 32 or len(own) == 16)
            and address.covers(own, bits, packed)
        ):
            return True
    return False


def _make_network(settings, routed):
    interface = look(settings.name)
    index = system.inet.ifindex(settings.name)
    ip = rtnetlink.RtNetlink()
    endpoints, prefixes = [], []
    for peer in interface.peers:
        if peer.endpoint:
            endpoints.append(system.inet.split_address(address.parse_endpoint(peer.endpoint))[0])
        for text in peer.allowed_ips if routed else ():
            packed, length = options.network(text)
            # A configured table does not have those routes.
            if settings.table4 or not length or not _is_covered(packed, length, settings.addresses):
                prefixes.append((packed, length, True))
    # The longest prefix first, as in wg-quick.
    prefixes.sort(key=lambda entry: -entry[1])
    paths = network_plan.Paths(ip, [index], ())
    wanted = network_plan.plan(settings, index, _free_slot(ip), endpoints, prefixes, paths, 0)
    if wanted.fwmark:
        client.send_set(settings.name, b"fwmark=%d\n" % wanted.fwmark)
    conf = _conf(settings.name)
    net = network.Network(conf, network.record_of(_directory(), settings.name), log.Log(settings.name, log.ERROR))
    net.begin(index)
    net.follow(wanted, True)
    conf.finish()
    if net.is_refused:
        raise UserError("cannot set up all addresses and routes")


def _free_slot(ip):
    """Return the number of the first unused table for default routes, from 0."""
    used = [route.table for family in (abi.AF_INET, abi.AF_INET6) for route in ip.routes(family)]
    slot = 0
    while network_plan.AUTO_FWMARK + slot in used:
        slot += 1
    return slot


def _directory():
    """Create and return the directory of the records."""
    directory = folders.run()
    system.files.make_directory(directory, 0o700)
    return directory


def _conf(name):
    return netconf.NetConf(Loop(lambda: None), log.Log(name, log.ERROR))


# The daemon


def _room(parsed):
    """Return (peers, prefixes): the room that the daemon needs for the file. UserError if that is too much."""
    words = [word for peer in parsed.peers for word in peer.words("allowedips")]
    ipv6 = len([word for word in words if ":" in word])
    room = capacity.grown(len(parsed.peers), max(ipv6, len(words) - ipv6))
    capacity.check_heap(room[0], len(words))
    return room


def _serve(name, room):
    def serve(name, ready):
        from ..daemon.single import serve

        return serve(name, ready)

    if system.start.daemon(name, False, serve, capacity.variables(*room)):
        raise UserError("cannot create interface %s" % name)


def _end(name):
    """End the daemon, and remove the objects that outlive its link."""
    index = system.inet.ifindex(name)
    if index:
        # A daemon ends when its link is removed.
        rtnetlink.RtNetlink().remove_link(index)
    end = system.clock.now() + _END_TIMEOUT_MS
    while is_served(name) and system.clock.now() < end:
        tool.sleep_us(_STEP_MS * 1000)
    _clear_up(name)


def _clear_up(name):
    """Remove the recorded objects of daemons that have ended."""
    conf = _conf(name)
    network.clear_up(_directory(), is_served, conf)
    conf.finish()


# Saving


def _save(path, name, parsed):
    """Replace the file by the state of the interface."""
    ip = rtnetlink.RtNetlink()
    lines = ["[Interface]\n"]
    for packed, length in ip.addresses(system.inet.ifindex(name)):
        if packed[:2] != _LINK_LOCAL:
            lines.append("Address = %s/%d\n" % (address.format_ip(packed), length))
    lines.append(wg_quick.format_own(parsed))
    output = Output()
    show.put_config(output, name)
    durable.atomic_write(path, output.taken().replace(b"[Interface]\n", "".join(lines).encode(), 1))
