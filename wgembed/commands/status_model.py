"""The state of an interface and its peers, from the status lines of the daemon (uapi/status_lines.py), and in a word.

Programs that do not know `status`, such as wireguard-go, are asked with `get`, which reports less.
"""

from binascii import b2a_base64, hexlify, unhexlify

from ..config import keys
from ..errors import UserError, cause, complain
from ..protocol.segmentation import LOST
from ..runtime import abi
from ..uapi import client

# States of an interface
DOWN = "down"
NO_PRIVATE_KEY = "no private key"
UP = "up"

# States of a peer, in addition to those of an interface
NO_ALLOWED_IPS = "no allowed ips"
NAME_UNKNOWN = "name not resolved"
WAITING = "waiting for peer"
NO_ROUTE = "no route"
SEND_FAILED = "sending fails"
KEY_MISMATCH = "key mismatch"
UNDER_LOAD = "peer under load"
HANDSHAKING = "handshaking"
NO_ANSWER = "no answer"
IDLE = "idle"
STANDBY = "standby"

# A session lasts 180 s. If the program does not report sessions, a younger handshake counts as one. In s.
_REJECT_AFTER_TIME = 180
# Older events do not count. In s.
RECENT_S = 180
FOREVER = 1 << 32
# Flags of the offloads of a tunnel device (TUN_F_*)
_TSO, _USO = 0x06, 0x60
_NO_ROUTE = (abi.ENETUNREACH, abi.EHOSTUNREACH)
# A full queue says nothing about the path.
_BUSY = (abi.EAGAIN, abi.ENOBUFS)
# A packet that arrived less than this after the error does not prove that datagrams leave again. In s.
_SAME_TIME_S = 5


class NotServed(UserError):
    """No program serves the interface."""


class Event:
    """An event of a peer, `count` times in a row, the last time `age_s` seconds ago."""

    __slots__ = ("age_s", "count", "name")

    def __init__(self, name, count, age_s):
        self.name = name
        self.count = count
        self.age_s = age_s


class Failover:
    """What happened to a peer with several endpoints, or with backups.

    switches  how often another endpoint or peer came into use
    age_ms    how long the one that is in use is in use
    reason    no_answer, no_ping, answers_again, answers_faster, peer_moved, or "" for no switch
    hold_s    how long the preferred endpoint must answer before it is used again, in seconds
    """

    __slots__ = ("age_ms", "hold_s", "reason", "switches")

    def __init__(self, switches, age_ms, reason, hold_s):
        self.switches = switches
        self.age_ms = age_ms
        self.reason = reason
        self.hold_s = hold_s


class UnmatchedHandshake:
    """Handshakes that belong to no peer, `count` from one endpoint.

    reason  unknown_peer or invalid_mac1
    age_s   the age of the last one in seconds
    key     the public key of the sender in hexadecimal, or ""
    """

    __slots__ = ("age_s", "count", "endpoint", "key", "reason")

    def __init__(self, reason, count, age_s, endpoint, key):
        self.reason = reason
        self.count = count
        self.age_s = age_s
        self.endpoint = endpoint
        self.key = key


class PeerStatus:
    """The state of a peer. Keys are in hexadecimal, an age of None means never."""

    def __init__(self, public_key):
        self.public_key = public_key
        self.has_preshared_key = False
        self.endpoint = self.source = self.endpoint_host = ""
        self.endpoint_found = []
        self.endpoint_choices = []
        self.endpoint_times = {}  # ms of the last answer, by endpoint
        self.failover = None
        self.ping = None  # (address of ping_check, answers in a row that are missing, ms of the last one or None)
        self.backup_role = self.backup_of = ""  # active or standby, and the key of the peer that the group replaces
        self.latest_handshake = 0  # in s since 1970
        self.tx_bytes = self.rx_bytes = 0
        self.persistent_keepalive = 0  # in s
        self.last_rx_ms = self.last_data_rx_ms = self.last_data_tx_ms = None
        self.session_age_ms = None
        self.attempt = self.staged = 0
        self.unanswered = 0  # initiations in a row that got no answer
        self.next_attempt_ms = None  # the time to the next one, if one is planned
        self.segments_lost = 0  # tests of segmented sends that failed in a row
        self.events = []
        self.allowed_ips = []

    def last(self, *names):
        """Return the latest of the events of these names that is recent, or None."""
        for event in reversed(self.events):
            if event.name in names and event.age_s <= RECENT_S:
                return event
        return None

    def since(self, name, *ends, within=RECENT_S):
        """Return how often `name` happened, in the last `within` seconds and after the last of the events `ends`."""
        count = 0
        for event in reversed(self.events):
            if event.name in ends or event.age_s > within:
                break
            if event.name == name:
                count += event.count
        return count

    @property
    def has_invalid_response(self):
        """Whether the peer's last response could not be decrypted."""
        within = FOREVER if self.has_timed_out else RECENT_S
        return self.since("response_invalid", "response_received", "keypair_confirmed", within=within) > 0

    @property
    def has_timed_out(self):
        """Whether twenty initiations had no answer, however long ago."""
        return self.since("handshake_timeout", "response_received", "keypair_confirmed", within=FOREVER) > 0

    @property
    def is_failing(self):
        """Whether datagrams to the peer could not be sent, and nothing arrived from the peer since."""
        if not self.since("send_failed", "response_received", "keypair_confirmed"):
            return False
        return self.last_rx_ms is None or self.last_rx_ms >= (self.last("send_failed").age_s - _SAME_TIME_S) * 1000

    @property
    def is_unconfirmed(self):
        """Whether the peer starts handshakes again and again, and does not use our responses."""
        return self.since("initiation_received", "keypair_confirmed", "response_received") > 1


class InterfaceStatus:
    """The state of an interface.

    is_complete  False if the program that serves the interface does not know `status`
    send_errors  errno by family, "4" or "6"
    offloads     on, disabled, bad_kernel, unsupported or refused, by the name of the offload
    problems     sentences about the configuration
    unconfirmed_s  seconds until the configuration before the one in use returns, None if it does not
    link         the name of the link that the sockets are bound to, "" for none
    is_away      whether the interface is in another network namespace than its sockets
    """

    def __init__(self, name):
        self.name = name
        self.is_complete = False
        self.public_key = ""
        self.listen_port = self.fwmark = self.mtu = 0
        self.is_up = True
        self.is_away = False
        self.drops = {}
        self.send_errors = {}
        self.offloads = {}
        self.link = ""
        self.problems = []
        self.unconfirmed_s = None
        self.clock_behind_s = 0
        self.unmatched_handshakes = []
        self.unroutable = None  # (address, age_s)
        self.source_not_allowed = None  # (address, age_s, public key of the peer)
        self.peers = []

    @property
    def state(self):
        if not self.is_up:
            return DOWN
        return UP if self.public_key else NO_PRIVATE_KEY

    def send_error(self, peer):
        """Return the errno with which the kernel refuses datagrams to the peer, 0 if it does not."""
        errno = self.send_errors.get("6" if peer.endpoint[:1] == "[" else "4", 0)
        return errno if peer.is_failing and errno not in _BUSY else 0


def look(name):
    """Return the current InterfaceStatus; UserError if no program serves the interface, or the answer cannot be read."""
    try:
        try:
            return parse(name, _ask(name, b"status=1\n\n"))
        except OSError as e:
            if e.errno != abi.EPROTO:
                raise
            # A program that closes the connection does not know `status`. All programs know `get`.
            return parse(name, _ask(name, b"get=1\n\n"))
    except OSError as e:
        if e.errno == abi.ENODEV:
            raise NotServed("no program serves interface %s" % (name or "''")) from None
        raise UserError("%s does not answer: %s" % (name, cause(e))) from None
    except (ValueError, IndexError):
        raise UserError("%s gives an answer that cannot be read" % name) from None


def looker(names):
    """Return a function that returns the status of these interfaces, or of all if `names` is empty."""

    def look_at_all():
        if names:
            return [look(name) for name in names]
        found, refusals = [], []
        for name in sorted(client.list_interfaces()):
            try:
                found.append(look(name))
            except NotServed:
                continue  # it ended just now
            except UserError as e:
                refusals.append(e)
        if refusals and not found:
            raise refusals[0]
        for e in refusals:
            complain(e.message())
        return found

    return look_at_all


def _ask(name, question):
    for key, value in client.ask(name, question):
        yield key.decode(), value.decode()


def parse(name, lines):
    """Return the InterfaceStatus for the pairs (key, value) of an answer to `status` or `get`, in order."""
    interface = InterfaceStatus(name)
    peer = None
    for key, value in lines:
        if key == "public_key":
            peer = PeerStatus(value)
            interface.peers.append(peer)
        elif peer is None:
            _take_device_line(interface, key, value)
        else:
            _take_peer_line(peer, key, value)
    return interface


def _take_device_line(interface, key, value):
    words = value.split(",")
    if key in ("listen_port", "fwmark", "mtu", "clock_behind_s", "unconfirmed_s"):
        setattr(interface, key, int(value))
    elif key == "own_public_key":
        interface.public_key = value
    elif key == "private_key":
        interface.public_key = hexlify(keys.public_key(unhexlify(value))).decode()
    elif key == "up":
        interface.is_complete = True
        interface.is_up = value == "1"
    elif key == "away":
        interface.is_away = value == "1"
    elif key == "drop":
        interface.drops[words[0]] = int(words[1])
    elif key == "send_error":
        interface.send_errors[words[1]] = int(words[0])
    elif key in ("gso", "gro", "tun"):
        _take_offload(interface.offloads, key, words[0] == "False", [int(word) for word in words[1:]])
    elif key == "problem":
        interface.problems.append(value)
    elif key == "link":
        interface.link = value
    elif key == "unmatched_handshake":
        found = UnmatchedHandshake(words[0], int(words[1]), int(words[2]) // 1000, words[3], words[4])
        interface.unmatched_handshakes.append(found)
    elif key == "unroutable":
        interface.unroutable = words[0], int(words[1]) // 1000
    elif key == "source_not_allowed":
        interface.source_not_allowed = words[0], int(words[1]) // 1000, words[2]


def _take_offload(offloads, key, is_disabled, numbers):
    """Add the states of these offloads."""
    if key == "gso":
        first, limit = numbers
        states = (("gso", first, False, limit < first),)
    elif key == "gro":
        fault, used = numbers
        states = (("gro", used, fault, False),)
    else:
        fault, flags, refused = numbers
        states = (("tun_tcp", flags & _TSO, False, refused & 1), ("tun_udp", flags & _USO, fault, refused & 2))
    for name, used, has_fault, is_refused in states:
        state = "on" if used and not is_refused else "refused" if used else "bad_kernel" if has_fault else "unsupported"
        offloads[name] = "disabled" if is_disabled else state


_TEXTS = ("endpoint", "source", "endpoint_host")
_NUMBERS = ("tx_bytes", "rx_bytes", "last_rx_ms", "last_data_rx_ms", "last_data_tx_ms", "attempt", "staged")
_UAPI_NUMBERS = {"last_handshake_time_sec": "latest_handshake", "persistent_keepalive_interval": "persistent_keepalive"}


def _take_peer_line(peer, key, value):
    words = value.split(",")
    if key in _TEXTS:
        setattr(peer, key, value)
    elif key in _NUMBERS:
        setattr(peer, key, int(value))
    elif key in _UAPI_NUMBERS:
        setattr(peer, _UAPI_NUMBERS[key], int(value))
    elif key == "has_preshared_key":
        peer.has_preshared_key = value == "1"
    elif key == "preshared_key":
        peer.has_preshared_key = value != "0" * 64
    elif key == "endpoint_found":
        peer.endpoint_found.append(value)
    elif key == "endpoint_choice":
        peer.endpoint_choices.append(value)
    elif key == "endpoint_time":
        peer.endpoint_times[words[0]] = int(words[1])
    elif key == "ping":
        peer.ping = words[0], int(words[1]), int(words[2]) if words[2] else None
    elif key == "backup":
        peer.backup_role, peer.backup_of = words[0], words[1]
    elif key == "failover":
        peer.failover = Failover(int(words[0]), int(words[1]), words[2], int(words[3]))
    elif key == "segments_lost":
        peer.segments_lost = int(words[0])
    elif key == "unanswered":
        peer.unanswered = int(words[0])
        peer.next_attempt_ms = int(words[1]) if words[1] else None
    elif key == "session":
        peer.session_age_ms = int(words[0])
    elif key == "event":
        peer.events.append(Event(words[0], int(words[1]), int(words[2])))
    elif key == "allowed_ip":
        peer.allowed_ips.append(value)


def segmented_sends(peer):
    """Return whether segmented sends to the peer arrive, in a word: see protocol/segmentation.py."""
    return ("unsure" if peer.segments_lost < LOST else "lost") if peer.segments_lost else "on"


def state(interface, peer, now):
    """Return the state of the peer in a word or two; `now` in s since 1970."""
    if interface.state != UP:
        return interface.state
    if not interface.is_complete:
        return _plain_state(peer, now)
    if peer.backup_role == "standby":
        return STANDBY
    if not peer.allowed_ips:
        return NO_ALLOWED_IPS
    # A handshake can fail while the previous session still works: then the peer is up.
    if peer.session_age_ms is not None and not peer.has_invalid_response:
        return UP
    if not peer.endpoint:
        return NAME_UNKNOWN if peer.endpoint_host and not peer.endpoint_found else WAITING
    errno = interface.send_error(peer)
    if errno:
        return NO_ROUTE if errno in _NO_ROUTE else SEND_FAILED
    if peer.has_invalid_response or peer.is_unconfirmed:
        return KEY_MISMATCH
    if peer.attempt:
        return UNDER_LOAD if peer.since("cookie_received", "response_received", "keypair_confirmed") else HANDSHAKING
    return NO_ANSWER if peer.has_timed_out else IDLE


def _plain_state(peer, now):
    if now - peer.latest_handshake < _REJECT_AFTER_TIME:
        return UP
    if not peer.allowed_ips:
        return NO_ALLOWED_IPS
    return IDLE if peer.endpoint else WAITING


def key_text(key):
    """Return the base64 of a key in hexadecimal."""
    return b2a_base64(unhexlify(key)).decode().strip()


def span(seconds):
    """Return a duration for people, in its largest unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return "%d %s" % (seconds // size, unit)
    return "%d s" % seconds
