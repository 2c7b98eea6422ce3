"""`wgembed apply` and `wgembed confirm`: another configuration, which has to be confirmed if it can cut its author off.

Without --confirm, the file replaces /etc/config/wgembed at once. With it, `wgembed run` serves the new configuration from a
copy in /var/run, and `confirm` writes it to /etc/config/wgembed; daemon/unconfirmed.py explains why nothing can go wrong
between. With --peer, this command waits for a handshake with that peer, and confirms the change itself. It is not the daemon
that does so, because the daemon cannot write to /etc/config from its jail.
"""

from binascii import hexlify

from ..config import keys, options, uci, uci_write
from ..errors import UsageError, UserError, cause
from ..runtime import folders, system, tool
from ..runtime.modes import GROUP_OR_OTHERS
from .output import print_text

_MOST_MINUTES = 1440
_DIGITS = "0123456789"
# How long the daemon may take, and the time between two looks, in ms.
_ANSWER_TIMEOUT_MS = 10_000
_TAKEN_TIMEOUT_MS = 120_000
_STEP_MS = 50
_LOOK_MS = 1000
# The sections that only /etc/config/network has
_OF_NETWORK = (b"device", b"bridge-vlan", b"route", b"route6", b"rule", b"rule6", b"switch", b"switch_vlan", b"alias")
_FOR_NETWORK = (
    "for interfaces in /etc/config/network, LuCI's Save & Apply returns to the previous configuration by itself, and so "
    'does `ubus call uci apply \'{"rollback":true,"timeout":90}\'` after `uci set`, until `ubus call uci confirm`'
)


def apply(program, arguments):
    """Replace the configuration by the one in a file; return the exit status. UsageError or UserError."""
    path, given = _parse(arguments[1:])
    seconds = _seconds(given["--confirm"]) if "--confirm" in given else 0
    if "--peer" in given and not seconds:
        raise UsageError("--peer is for --confirm")
    directory = given.get("--config-dir", folders.CONFIG)
    name = "the standard input" if path == "-" else path
    text = _without_generate(_read(path, name), name, directory)
    config = _checked(text, name)
    interface, peer = _find_peer(config, given["--peer"]) if "--peer" in given else ("", None)
    key = hexlify(peer.public_key).decode() if peer else "-"
    for one in config.interfaces:
        one.forget_secrets()
    _check_pending()
    if not seconds:
        _store(text, directory)
        return 0
    _check_writable(text, directory)
    data = b"# %d %s %s\n" % (seconds, key.encode(), tool.encode(directory)) + text
    _ask(data)
    if peer is None:
        print_text(
            "The configuration is in use. The previous one returns in %s, unless you run: wgembed confirm\n" % _span(seconds)
        )
        return 0
    return _wait_for_peer(interface, key, data, seconds)


def confirm(program, arguments):
    """Keep the configuration that waits for its confirmation; return the exit status. UsageError or UserError."""
    if len(arguments) > 1:
        raise UsageError
    data = _waiting()
    if data is None:
        raise UserError("no change of the configuration waits for a confirmation: it was confirmed, or its time is over")
    return _confirm(data)


def _confirm(data):
    first, _, text = data.partition(b"\n")
    directory = tool.decode(first.split(b" ", 3)[3])
    _store(text, directory)
    # The daemon sees the file, and removes its copy.
    if not _wait(lambda: _waiting() != data, _ANSWER_TIMEOUT_MS):
        print_text("The configuration is stored, but `wgembed run` does not answer. Start the service, or see its log.\n")
        return 1
    print_text("The configuration is confirmed.\n")
    return 0


# Arguments and the file


def _parse(arguments):
    """Return the file, and the options by name; UsageError."""
    words, given = [], {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name in ("--confirm", "--peer", "--config-dir"):
            if not equals and not rest:
                raise UsageError("%s needs a value" % name)
            given[name] = value if equals else rest.pop(0)
        elif word[:1] == "-" and word != "-":
            raise UsageError("unknown option %s" % name)
        else:
            words.append(word)
    if len(words) != 1:
        raise UsageError("expected one file, got %d" % len(words))
    return words[0], given


def _seconds(text):
    whole, _, part = text.partition(".")
    if not whole + part or not all(c in _DIGITS for c in whole + part) or len(whole) > 4 or len(part) > 3:
        seconds = 0
    else:
        seconds = int(whole or "0") * 60 + int((part + "000")[:3]) * 60 // 1000
    if not 0 < seconds <= _MOST_MINUTES * 60:
        raise UsageError("--confirm: expected a number of minutes up to %d, got '%s'" % (_MOST_MINUTES, text))
    return seconds


def _read(path, name):
    try:
        if path == "-":
            return uci.read_all(0)
        if system.files.status(path)[1] & GROUP_OR_OTHERS:
            system.process.write_line("wgembed: warning: other users can read %s, which contains keys" % path)
        return system.files.read_file(path)
    except OSError as e:
        raise UserError("cannot read %s: %s" % (name, cause(e))) from None


def _package(text, name):
    try:
        return uci.parse(options.PACKAGE.encode(), text)
    except uci.ParseError as e:
        raise UserError("%s:%d: %s" % (name, e.line, e)) from None


def _without_generate(text, name, directory):
    """Return the text with a key for each `private_key 'generate'`: that of the interface now, or a new one."""
    package = _package(text, name)
    wanted = [one for one in package.sections if one.kind == b"interface" and _wants_key(one)]
    if not wanted:
        return text
    try:
        before = uci.load(options.PACKAGE, True, directory)
    except (OSError, uci.ParseError):
        before = uci.Package(b"")
    for section in wanted:
        old = before.find(section.name)
        option = old and old.find(b"private_key")
        is_key = option is not None and option.value not in (None, b"", b"generate")
        section.set(b"private_key", option.value if is_key else keys.encode(keys.make(True)))
    return uci_write.export(package)


def _wants_key(section):
    option, file = section.find(b"private_key"), section.find(b"private_key_file")
    return file is None and (option is None or option.value == b"generate")


def _checked(text, name):
    """Return the Config in the text; UserError with all mistakes."""
    package = _package(text, name)
    for section in package.sections:
        proto = section.find(b"proto") if section.kind == b"interface" else None
        if section.kind in _OF_NETWORK or proto is not None and proto.value not in (b"wireguard", b"wgembed", b"none"):
            raise UserError(
                "%s:%d: this section belongs to /etc/config/network, and not to /etc/config/wgembed; %s"
                % (name, section.line, _FOR_NETWORK)
            )
    config = options.read(package, name)
    for warning in config.warnings:
        system.process.write_line("wgembed: warning: " + warning)
    return config


def _find_peer(config, wanted):
    """Return (name of the interface, PeerConfig) of the peer with this description or public key; UserError."""
    found = [
        (interface.name, peer)
        for interface in config.interfaces
        for peer in interface.peers
        if wanted in (peer.description, keys.encode(peer.public_key).decode())
    ]
    if len(found) != 1:
        which = "several peers have" if found else "no peer has"
        raise UserError("--peer: %s the description or public key %s" % (which, options.shown(wanted)))
    return found[0]


# /etc/config


def _check_pending():
    path = "%s/%s" % (uci.SAVE_DIRECTORY, options.PACKAGE)
    try:
        is_pending = bool(system.files.read_file(path).strip())
    except OSError:
        return
    if is_pending:
        raise UserError(
            "%s has changes that are not committed; nothing was changed. First run `uci commit %s` or `uci revert %s`"
            % (path, options.PACKAGE, options.PACKAGE)
        )


def _store(text, directory):
    try:
        uci_write.replace(options.PACKAGE, text, directory)
    except OSError as e:
        path = uci.file_of(options.PACKAGE, directory)
        raise UserError("cannot write %s: %s; it is as it was before" % (path, cause(e))) from None


def _check_writable(text, directory):
    """A change that cannot be confirmed must not begin: write as much as the confirmation, beside the file."""
    path = uci.file_of(options.PACKAGE, directory)
    fresh = None
    try:
        path = system.files.real_path(path)
        fresh = "%s/.%s.test-%d" % (path.rpartition("/")[0], options.PACKAGE, system.process.pid())
        fd = system.files.create(fresh)
        try:
            system.files.write(fd, text)
            system.files.sync(fd)
        finally:
            system.files.close(fd)
            system.files.remove(fresh)
    except OSError as e:
        raise UserError("cannot write %s: %s; nothing was changed" % (fresh or path, cause(e))) from None


# The daemon


def _folder():
    return folders.run() + "/change"


def _waiting():
    """Return the change that waits for its confirmation, or None."""
    try:
        return system.files.read_file(_folder() + "/config")
    except OSError:
        return None


def _remove(path):
    """Remove the file; return whether it was there."""
    try:
        system.files.remove(path)
    except OSError:
        return False
    return True


def _wait(is_over, timeout_ms):
    end = system.clock.now() + timeout_ms
    while not is_over():
        if system.clock.now() > end:
            return False
        tool.sleep_us(_STEP_MS * 1000)
    return True


def _ask(data):
    """Give the change to the daemon; UserError if that does not serve it."""
    from ..runtime import durable

    request, answer = _folder() + "/request", _folder() + "/answer"
    _remove(answer)
    is_running = system.files.exists(_folder())
    if is_running:
        try:
            durable.atomic_write(request, data)
        except OSError as e:
            raise UserError("cannot write %s: %s; nothing was changed" % (request, cause(e))) from None
        is_running = _wait(lambda: system.files.exists(answer), _ANSWER_TIMEOUT_MS) or not _remove(request)
    if not is_running:
        raise UserError(
            "`wgembed run` does not run, so nothing would return to the previous configuration; nothing was changed. Start "
            "the service, or leave out --confirm; " + _FOR_NETWORK
        )
    if not _wait(lambda: system.files.exists(answer), _TAKEN_TIMEOUT_MS):
        raise UserError("`wgembed run` does not answer; see its log")
    why = system.files.read_file(answer).decode()
    _remove(answer)
    if why:
        raise UserError("%s; nothing was changed" % why)


def _wait_for_peer(interface, key, data, seconds):
    """Confirm the change after a handshake with the peer; return the exit status. UserError if there is none in time."""
    # The connection of the person who typed this can go through the tunnel: the end of a terminal must not end the wait.
    system.process.Signals((system.process.SIGHUP,))
    begin = system.clock.now()
    system.process.write_line("wgembed: waiting for a handshake with the peer, for %s" % _span(seconds))
    while _waiting() == data:
        if _has_handshake(interface, key, system.clock.now() - begin):
            return _confirm(data)
        tool.sleep_us(_LOOK_MS * 1000)
    raise UserError("there was no handshake with the peer in time, or another change came: this one is not in use any more")


def _has_handshake(interface, key, elapsed_ms):
    from .status_model import look

    try:
        found = [peer for peer in look(interface).peers if peer.public_key == key]
    except UserError:
        return False
    return bool(found) and found[0].session_age_ms is not None and found[0].session_age_ms < elapsed_ms


def _span(seconds):
    return "%d s" % seconds if seconds < 120 else "%d min" % (seconds // 60)
