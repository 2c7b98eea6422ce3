"""`wgembed import` and `wgembed export` on the command line."""

from ..config import convert, keys, uci, uci_write, wg_quick
from ..config import options as config
from ..errors import UsageError, UserError, cause
from ..runtime import address, rtnetlink, system
from ..runtime.modes import GROUP_OR_OTHERS, OWNER

# The addresses of the default route are looked up with these destinations: the root server A, over IPv4 and IPv6.
_FAR_AWAY = ("198.41.0.4", "2001:503:ba3e::2:30")


def _parse(arguments, values, switches, wanted):
    """Return the words of a command line, `wanted` in number, and its options by name; UsageError."""
    words, given = [], {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name in values:
            if not equals and not rest:
                raise UsageError("%s needs a value" % name)
            given[name] = value if equals else rest.pop(0)
        elif word in switches:
            given[word] = True
        elif word[:1] == "-" and word != "-":
            raise UsageError("unknown option %s" % name)
        else:
            words.append(word)
    if len(words) not in wanted:
        raise UsageError("expected %d words besides options, got %d" % (wanted[-1], len(words)))
    return words, given


# import


def import_file(program, arguments):
    """Print the sections of UCI for a wg-quick file, or with --write store them; return the exit status."""
    if "--network" in arguments:
        return _import_network(arguments)
    words, given = _parse(arguments[1:], ("--name", "--peer-of", "--description", "--config-dir"), ("--write",), (1,))
    if "--name" in given and "--peer-of" in given:
        raise UsageError("--name and --peer-of cannot be combined")
    path = words[0]
    stem = path.rpartition("/")[2]
    stem = stem[:-5] if stem[-5:] == ".conf" else stem
    parsed = _read(path)
    directory = given.get("--config-dir", uci.CONFIG_DIRECTORY)
    if "--peer-of" in given:
        interface = given["--peer-of"]
        _check_peer_of(interface, given.get("--description", stem))
        sections = convert.import_peer(parsed, interface, _own_key(directory, interface), given.get("--description", stem))
    else:
        name = given.get("--name", stem)
        if not _is_name(name):
            raise UsageError("'%s' is not a valid interface name in UCI: set another with --name" % name)
        sections, left_out = convert.import_interface(parsed, name)
        if left_out:
            _tell("not imported because UCI has no option for it: %s" % ", ".join(left_out))
    if "--write" in given:
        _write(lambda package: _add_all(package, sections), directory)
    else:
        system.files.write(1, convert.format_sections(sections).encode())
    return 0


def _import_network(arguments):
    from ..config import convert_network

    words, given = _parse(arguments[1:], ("--config-dir",), ("--network", "--write"), (0, 1))
    directory = given.get("--config-dir", uci.CONFIG_DIRECTORY)
    path = uci.file_of("network", directory)
    package = _load_package("network", directory)
    found, warnings, others = convert_network.from_network(package, [word.encode() for word in words], path)
    for warning in warnings:
        _tell(warning)
    if "--write" in given:
        _write(lambda package: _add_moved(package, found), directory)
    else:
        system.files.write(1, uci_write.export(found))
    _tell(
        "in %s, put this in place of the moved sections, which would make the same interfaces; then zones, routes and rules "
        "still find them:\n%s" % (path, uci_write.export(others).decode().strip())
    )
    return 0


def _add_moved(package, found):
    """Add the sections. They take the place of an interface that is disabled and has no peers, as the package brings it."""
    for section in found.sections:
        name = None if section.anonymous else section.name
        old = package.find(name) if name else None
        if old is not None:
            peers = [one for one in package.sections if one.kind == config.PEER_TYPE.encode() + name]
            switch = old.find(b"disabled")
            if old.kind != b"interface" or peers or switch is None or switch.value != b"1":
                raise UserError("section '%s' already exists" % name.decode())
            package.sections.remove(old)
        package.add(section.kind, name).options = section.options


def _load_package(name, directory):
    path = uci.file_of(name, directory)
    try:
        return uci.load(name, True, directory)
    except (uci.ParseError, OSError) as e:
        raise UserError("%s: %s" % (path, cause(e) if isinstance(e, OSError) else e)) from None


def _is_name(text):
    return wg_quick.is_name(text) and uci.is_name(text.encode())


def _check_peer_of(interface, description):
    if not _is_name(interface):
        raise UsageError("--peer-of: expected the name of an interface")
    try:
        description.encode()
    except UnicodeError:
        raise UsageError("the description is not UTF-8 text: set another with --description") from None


def _tell(text):
    system.process.write_line("wgembed: " + text)


def _read(path):
    try:
        text = system.files.read_file(path)
        if system.files.status(path)[1] & GROUP_OR_OTHERS:
            _tell("warning: other users can read %s, which contains keys" % path)
        return wg_quick.parse(wg_quick.to_text(text))
    except OSError as e:
        raise UserError("cannot read %s: %s" % (path, cause(e))) from None
    except (UserError, UnicodeError) as e:
        raise UserError("%s: %s" % (path, e if isinstance(e, UserError) else "not UTF-8 text")) from None


def _own_key(directory, name):
    """Return the public key of the interface in the configuration, or None if there is no interface or no key yet."""
    for interface in _load(directory).interfaces if system.files.exists(_file(directory)) else ():
        if interface.name == name and interface.private_key is not None:
            return keys.public_key(interface.private_key)
    return None


def _file(directory):
    return uci.file_of(config.PACKAGE, directory)


def _load(directory):
    try:
        return config.load(directory)
    except config.ConfigError as e:
        raise UserError(e.problems[0]) from None


def _add_all(package, sections):
    for kind, name, options in sections:
        if name and package.find(name.encode()) is not None:
            raise UserError("section '%s' already exists" % name)
        if kind != "interface" and package.find(kind[len(config.PEER_TYPE) :].encode()) is None:
            raise UserError("there is no interface '%s'" % kind[len(config.PEER_TYPE) :])
        _add(package, kind, name, options)


def _write(add, directory):
    """Change the configuration by add(package), or not at all if the result has mistakes."""

    def edit(package):
        add(package)
        try:
            config.read(package, path)
        except config.ConfigError as e:
            raise UserError(e.problems[0]) from None
        return True

    path = _file(directory)
    try:
        if not system.files.exists(path):
            # Check first, so that a mistake does not leave an empty file.
            edit(uci.parse(config.PACKAGE.encode(), b""))
            system.files.close(system.files.create(path))
        uci_write.change(config.PACKAGE, edit, directory, mode=OWNER)
    except (uci.ParseError, OSError) as e:
        raise UserError("%s: %s" % (path, cause(e) if isinstance(e, OSError) else e)) from None


def _add(package, kind, name, options):
    section = package.add(kind.encode(), name.encode() if name else None)
    for option, value in options:
        if isinstance(value, list):
            for word in value:
                section.append(option.encode(), word.encode())
        else:
            section.set(option.encode(), value.encode())


# export


def export_file(program, arguments):
    """Print the wg-quick file for the peer, or with --qr its QR code; return the exit status."""
    if "--network" in arguments:
        return _export_network(arguments)
    options = ("--endpoint", "--allowed-ips", "--dns", "--config-dir")
    (name, wanted), given = _parse(arguments[1:], options, ("--qr",), (2,))
    directory = given.get("--config-dir", uci.CONFIG_DIRECTORY)
    found = [interface for interface in _load(directory).interfaces if interface.name == name]
    if not found:
        raise UserError("there is no interface '%s'" % name)
    interface = found[0]
    if interface.private_key is None:
        raise UserError("%s has no private key yet: start the interface, which generates one" % name)
    peer = convert.find_peer(interface, wanted)
    private = _private_key(directory, name, peer)
    allowed_ips = given.get("--allowed-ips", "").replace(",", " ").split()
    for word in allowed_ips:
        try:
            config.network(word)
        except ValueError as e:
            raise UsageError("--allowed-ips: %s" % e) from None
    if not allowed_ips and not interface.addresses:
        raise UserError("%s has no addresses: set the networks behind it with --allowed-ips" % name)
    if not convert.own_addresses(peer):
        _tell("the file has no Address because allowed_ips of the peer has only networks")
    endpoint = _endpoint(interface, given.get("--endpoint", ""))
    dns = given.get("--dns", "").replace(",", " ").split()
    text = convert.export(interface, peer, private, endpoint, allowed_ips, dns)
    if "--qr" in given:
        if not private:
            raise UserError("cannot draw a QR code: the peer's private key is not in the configuration")
        return _draw(text)
    system.files.write(1, text.encode())
    return 0


def _export_network(arguments):
    from ..config import convert_network

    (name,), given = _parse(arguments[1:], ("--config-dir",), ("--network",), (1,))
    directory = given.get("--config-dir", uci.CONFIG_DIRECTORY)
    _load(directory)
    found, left_out = convert_network.to_network(_load_package(config.PACKAGE, directory), name)
    if left_out:
        _tell("left out, because OpenWrt's WireGuard has no such option: %s" % ", ".join(left_out))
    system.files.write(1, uci_write.export(found))
    return 0


def _private_key(directory, name, peer):
    """Return the private key that LuCI stores in the section of the peer, or ""."""
    key = keys.encode(peer.public_key)
    for section in uci.load(config.PACKAGE, True, directory).sections:
        public, private = section.find(b"public_key"), section.find(b"private_key")
        if section.kind.decode() == config.PEER_TYPE + name and private and public and public.value == key:
            return private.value.decode()
    return ""


def _endpoint(interface, text):
    """Return our HOST:PORT: the given one, or the source address of the default route; "" without one."""
    host, port = text, ""
    if text.count(":") == 1 or "]:" in text:
        host, _, port = text.rpartition(":")
    port = port or str(interface.listen_port or config.DEFAULT_PORT)
    if host:
        try:
            host = config.host(host)
            config.endpoint_port(port)
        except ValueError as e:
            raise UsageError("--endpoint: %s" % e) from None
    else:
        host = _own_address()
    return "%s:%s" % ("[%s]" % host if ":" in host else host, port) if host else ""


def _own_address():
    ip = rtnetlink.RtNetlink()
    for text in _FAR_AWAY:
        try:
            source = ip.route_to(address.parse_ip(text)).source
        except OSError:
            continue
        if source:
            found = address.format_ip(source)
            _tell("the endpoint is the address of this machine, %s: if the peer cannot reach it, set --endpoint" % found)
            return found
    _tell("this machine has no address for the endpoint: set it with --endpoint")
    return ""


def _draw(text):
    try:
        import segno
    except ImportError:
        raise UserError("--qr needs the Python package segno") from None
    segno.make(text, error="l", micro=False).terminal(compact=True)
    return 0
