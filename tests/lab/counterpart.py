"""The other end of a tunnel, in the process of the test: a Device at a UDP socket. The test has all secrets of a session."""

import contextlib
import select
import socket
import time

from wgembed.protocol import noise
from wgembed.protocol.constants import NEVER

from ..unit.harness import Harness, ipv4
from .patience import stretch

# A device handles initiations of one peer at most this often, in seconds.
INITIATION_INTERVAL = 0.05


class Counterpart(Harness):
    """One node in this process. Its peer is the daemon under test, at `target`, with the 32-byte `public` key.

    address    the address of the node's socket
    is_natted  datagrams are received only from the peer's endpoint, as behind a NAT
    senders    the addresses that datagrams came from, one for each change
    """

    INSIDE, OTHER = b"\x0a\x63\0\2", b"\x0a\x63\0\1"

    def __init__(self, place, public, target, psk=None, address="127.0.0.1"):
        super().__init__()
        self.is_natted = False
        self.senders = []
        self._socket = place.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self.port = self._socket.getsockname()[1]
        self.tick()
        self.mine = self.node("here")
        self.peer = self.mine.device.add_peer(public)
        self.mine.device.allowed.insert(self.OTHER, 32, self.peer.number)
        if psk is not None:
            self.mine.device.set_preshared_key(self.peer, psk)
        self.mine.device.set_endpoint(self.peer, target, self.now)

    def close(self):
        self._socket.close()

    def tick(self):
        self.now = time.monotonic_ns() // 1_000_000 + 1_000_000

    def carry(self, source, destination, datagram, tos):
        # The other end can be down for a moment.
        with contextlib.suppress(ConnectionError):
            self._socket.sendto(datagram, destination)

    def settle(self):
        """Do nothing: `until` receives the answers."""

    def until(self, question, within=5):
        """Receive datagrams until the function returns true. Fail after `within` seconds, of a quiet machine."""
        begin = time.monotonic()
        while not question():
            waited = time.monotonic() - begin
            if waited > within and waited > stretch(within):
                raise AssertionError(f"the counterpart has waited in vain, {waited:.0f} s")
            if select.select([self._socket], [], [], 0.05)[0]:
                with contextlib.suppress(ConnectionError):
                    data, addr = self._socket.recvfrom(65535)
                    self.tick()
                    self.senders += [addr] if self.senders[-1:] != [addr] else []
                    if not self.is_natted or addr == self.peer.addr:
                        self.mine.receive(data, addr)
            self.tick()

    def talk(self):
        """Send a packet that the other end's kernel answers. Then the session is confirmed in both directions."""
        self.mine.got.clear()
        self.tick()
        self.mine.transmit(ipv4(self.INSIDE, self.OTHER, b"\x10\x92\x10\x93\0\x0c\0\0ping"))
        self.until(lambda: self.mine.got)

    def rekey(self):
        """Start a new session, and use it."""
        before = self.keys()
        time.sleep(INITIATION_INTERVAL)
        self.tick()
        self.peer.last_sent_handshake = NEVER
        self.mine.device.initiate(self.peer, self.now)
        self.until(lambda: self.keys() != before)
        self.talk()

    def shared(self, out):
        """Return the shared secret of the static keys of the two ends. `out` is scratch memory of 32 bytes."""
        noise.crypto.x25519(out, self.mine.device.identity.private, self.peer.public_key)
        return bytes(out)

    def keys(self):
        """The two keys of the current session; empty without a session."""
        keypair = self.peer.current
        if keypair is None:
            return ()
        both = bytes(self.peer.secret(noise.KEYPAIRS + keypair.number * 64, 64))
        return both[:32], both[32:]


@contextlib.contextmanager
def learning():
    """Yield a dict of the secrets that this process computes: secret -> name. The other end computes the same ones."""
    learnt = {}

    def keep(name, secret):
        if any(secret):
            learnt[bytes(secret)] = name

    real = {name: getattr(noise.crypto, name) for name in ("kdf", "x25519")}

    def kdf(out, key, data):
        real["kdf"](out, key, data)
        for at in range(0, len(out), 32):
            keep("kdf", out[at : at + 32])

    def x25519(out, scalar, point):
        done = real["x25519"](out, scalar, point)
        keep("dh", out)
        return done

    noise.crypto.kdf, noise.crypto.x25519 = kdf, x25519
    try:
        yield learnt
    finally:
        for name, function in real.items():
            setattr(noise.crypto, name, function)
