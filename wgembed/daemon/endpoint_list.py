"""Several endpoints of one peer: the preferred one first, the others for when it does not answer.

The next endpoint is used when an initiation got no answer. There are two exceptions, because a lost datagram is no outage:
while something arrives from the peer, and while a session works that had an answer to its data, two more initiations must
get no answer. Meanwhile, the first endpoint is tested with trials (protocol/trial.py), and used again as failback.py says.
"""

from binascii import b2a_base64

from ..protocol import noise, trial
from ..protocol.constants import NEVER, REKEY_TIMEOUT
from ..protocol.timers import jitter
from ..runtime import system
from .endpoints import Endpoint
from .failback import Failback

# Initiations without an answer to an endpoint that seems well
PATIENCE = 2
# A peer that moves again in less than this time is probably two machines, in ms.
_QUARREL_MS = 120_000
# Why another endpoint is in use
NO_ANSWER, ANSWERS_AGAIN, PEER_MOVED = "no_answer", "answers_again", "peer_moved"
NO_PING, FASTER = "no_ping", "answers_faster"
_WORDS = {
    NO_ANSWER: "the one before did not answer",
    ANSWERS_AGAIN: "the preferred one answers again",
    PEER_MOVED: "the peer sends from there",
    NO_PING: "no answer to ping through the one before",
    FASTER: "it answers faster",
}


def seems_well(peer, is_silent):
    """Whether a peer whose initiation got no answer works otherwise.

    is_silent  whether data to the peer got no answer
    """
    if peer.last_rx > peer.last_sent_handshake:
        return True
    return not is_silent and noise.may_send(peer.current, 1, system.clock.now())


def options_of(config):
    """Return the options of the PeerConfig that need another EndpointList if they change."""
    return config.failback, config.order, config.ping, config.ping_interval, config.has_backup


def log_switch(owner, public_key, where, reason):
    """Log that another endpoint or peer is in use."""
    owner.on_switched(public_key, reason)
    owner.log.note("peer %s%s is in use now: %s" % (b2a_base64(public_key).decode().strip(), where, _WORDS[reason]))


class EndpointList:
    """The endpoints of a peer, each an Endpoint. It has the attributes and methods of the one in use.

    hosts     pairs (host, port)
    failback  a Failback
    ping      a ping_check.PingCheck, or None
    """

    ping = None
    times = ()  # see fastest.py

    def __init__(self, public_key, hosts, failback_s, owner, names, alarms, options=None):
        self.public_key = public_key
        self.hosts = hosts
        self.options = options
        self.failback = Failback(failback_s * 1000)
        self._all = [Endpoint(public_key, host, port, self, names) for host, port in hosts]
        self._number = 0
        self._owner = owner
        self._alarms = alarms
        self._alarm = "failback %s %d" % (b2a_base64(public_key).decode().strip(), id(self))
        self._is_silent = self._was_answered = False
        self._failed = 0  # initiations to the endpoint in use, in a row, without an answer
        self._unconfirmed = 0  # handshakes of the peer in a row that it did not confirm
        self._why = ""  # why another endpoint is tried, if the reason is a special one

    @property
    def _used(self):
        return self._all[self._number]

    @property
    def host(self):
        return self._used.host

    @property
    def port(self):
        return self._used.port

    @property
    def text(self):
        return self._used.text

    @property
    def texts(self):
        """HOST:PORT of each endpoint, the preferred one first."""
        return [one.text for one in self._all]

    @property
    def address(self):
        return self._used.address

    @property
    def found(self):
        return self._used.found

    @property
    def link(self):
        """The name of a link that one of the endpoints needs, or ""."""
        links = [one.link for one in self._all if one.link]
        return links[0] if links else ""

    @property
    def addresses(self):
        """The packed addresses that packets go to: of the endpoint in use, and of the others, which come next."""
        found = []
        for one in [self._used] + self._all:
            if one.address is not None and one.address not in found:
                found.append(one.address)
        return found

    def is_configured(self, config):
        """Whether the PeerConfig has the same endpoints and options."""
        return config.hosts == self.hosts and options_of(config) == self.options

    def start(self):
        for one in self._all:
            one.start()

    def close(self):
        self._alarms.cancel(self._alarm)
        self._alarms.cancel(self._alarm + " next")
        if self.ping is not None:
            self.ping.close()
        for one in self._all:
            one.close()

    def follow_link(self):
        for one in self._all:
            one.follow_link()

    # Owner of the endpoints

    def on_endpoint(self, endpoint):
        number = self._all.index(endpoint)
        # The first names can be found last. They are preferred while none of the endpoints has answered.
        if self._used.address is None or self.failback.in_use is None and number < self._number:
            self._number = number
        if endpoint is self._used:
            self._owner.on_endpoint(endpoint)
        else:
            self._owner.on_spare_endpoint(endpoint)

    def on_no_link(self, endpoint):
        self._owner.on_no_link(endpoint)

    # What the peer does

    def unanswered(self, attempts):
        """An initiation got no answer, or data got none (0 attempts): use the next endpoint, if it is time."""
        used, peer = self._used, self._peer()
        if peer is not None:
            peer.left = None  # anything that works is welcome
        if attempts:
            self._failed += 1
        else:
            self._is_silent = True
        if not attempts or self._failed <= PATIENCE and seems_well(peer, self._is_silent):
            used.unanswered(0)
            return
        self._why = ""
        self._use_next()
        used.unanswered(attempts)  # the next address of its name, for the next time

    def _use_next(self):
        following = self._all[self._number + 1 :] + self._all[: self._number]
        known = [one for one in following if one.address is not None]
        if known:
            self._failed = 0
            self._number = self._all.index(known[0])
            known[0].last_scope = None
            self._owner.on_endpoint(known[0])

    def ping_failed(self):
        """The address of ping_check did not answer: use the next endpoint."""
        peer = self._peer()
        if peer is not None:
            # Packets of this session, from a hub that is cut off from its network, must not lead back to it.
            peer.drop_keypairs()
            self._why = NO_PING
            self._call_next()

    def _call_next(self):
        peer = self._peer()
        if peer is not None:
            self._use_next()
            peer.last_sent_handshake = NEVER
            self._owner.interface.device.initiate(peer, system.clock.now(), retry=True)

    def _peer(self):
        return self._owner.interface.device.find(self.public_key)

    def on_source(self, peer):
        """A handshake with the peer was completed, or its packets come by another way."""
        number = self._number_of(peer.addr)
        if number is None:
            return
        now = system.clock.now()
        # The peer starts handshakes, but our answers do not arrive: so this endpoint is cut off in one direction.
        self._unconfirmed = 0 if peer.next is None else self._unconfirmed + 1
        if self._unconfirmed > PATIENCE:
            self._unconfirmed = 0
            self._alarms.set(self._alarm + " next", now, self._call_next)  # this handshake is not complete yet
        self._is_silent = False
        self._failed = 0
        reason = PEER_MOVED if number != self._number else NO_ANSWER if number else ANSWERS_AGAIN
        reason = self._why or reason
        self._number = number
        before, since = self.failback.in_use, self.failback.since
        is_new = self.failback.arrived(number, reason, now)
        if is_new:
            self._why = ""
            # Two machines with one key, both of which have data for us, would take the tunnel from each other for ever.
            is_wanted = reason != NO_ANSWER and (reason != PEER_MOVED or now - since < _QUARREL_MS)
            peer.left = self._addr_of(before) if is_wanted else None
            log_switch(self._owner, self.public_key, ", endpoint " + self._used.text, reason)
        if self.ping is not None:
            self.ping.begin(now, is_new)
        self._settled(number, now)

    def _settled(self, number, now):
        """The endpoint of this number is in use: plan the tests."""
        if number:
            self._plan(now)
        else:
            self._alarms.cancel(self._alarm)

    def _addr_of(self, number):
        """Return the address of the endpoint of this number, or None."""
        one = self._all[number]
        return None if one.address is None else system.inet.make_address(one.address, one.port, one.scope)

    def _number_of(self, addr):
        packed, port, _ = system.inet.split_address(addr)
        for number in [self._number] + list(range(len(self._all))):
            one = self._all[number]
            if one.port == port and (packed == one.address or packed in one.found):
                return number
        return None

    # Tests of the first endpoint

    def _plan(self, now):
        delay = self.failback.delay_ms()
        if delay is not None:
            self._alarms.hasten(self._alarm, now + delay + jitter(delay // 10), self._test)

    def _test(self):
        now, peer = system.clock.now(), self._peer()
        if peer is None or not noise.may_send(peer.current, 1, now):
            return  # the next handshake plans the test again
        addr = self._addr_of(0)
        if addr is None:
            self._end_test()
            return
        is_begun = trial.begin(self._owner.interface.device, peer, addr, now)
        self._was_answered = False
        self._alarms.set(self._alarm, now + REKEY_TIMEOUT, self._end_test if is_begun else self._test)

    def on_trial_answered(self, now):
        """The first endpoint answered the test. Return whether it must be used again."""
        self._was_answered = True
        if not self.failback.tested(True, now):
            return False
        self._number = 0
        return True

    def _end_test(self):
        now, peer = system.clock.now(), self._peer()
        if peer is None:
            return
        # If the test was ended by another handshake, it shows nothing.
        if not self._was_answered and (peer.trial is not None or self._all[0].address is None):
            self.failback.tested(False, now)
            self._all[0].unanswered(1)  # the next address of its name
        trial.end(peer)
        self._plan(now)

    def network_changed(self):
        """The machine is in another network: test the first endpoint soon."""
        if self._number:
            self.failback.forget_failures()
            self._plan(system.clock.now())
