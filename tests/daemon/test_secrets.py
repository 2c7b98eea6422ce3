"""Where secrets stand in the daemon's memory, which root may read: once each, and nowhere when they are done with.

The other end of the sessions is in the test's process and knows their keys, and what they were derived from.
"""

import base64
import contextlib
import os

import pytest

from ..lab import memory, net, wire
from ..lab.counterpart import Counterpart, learning
from ..lab.router import Router, interface, peer
from .test_daemon import ask

PORT = 4500


@pytest.fixture
def name():
    return net.unique("s")


class Scene:
    """A daemon, its keys, and the counterpart, whose sessions' keys are noted with `note`.

    without  parts of the memory that are not searched
    """

    def __init__(self, namespace, name, pid, private, psk, without=()):
        self.place, self.name, self.pid, self._without = namespace, name, pid, without
        self.secrets = {"private": private, "psk": psk}
        self.other = Counterpart(namespace, wire.public_key(private), ("127.0.0.1", PORT), psk)

    def note(self, label):
        self.secrets[label + " there"], self.secrets[label + " back"] = self.other.keys()

    def found(self, *names):
        """How often each form of each of the secrets, all unless named, stands in the daemon's memory."""
        return memory.found(self.pid, {name: self.secrets[name] for name in names or self.secrets}, self._without)


def once(*names):
    return {(name, "raw"): 1 for name in names}


SESSION = "session there", "session back"


@pytest.fixture
def keys():
    return wire.generate_private_key(), os.urandom(32)


@pytest.fixture
def scene(namespace, name, command, keys):
    private, psk = keys
    child = namespace.spawn(*command, "-f", name, env=dict(os.environ, LOG_LEVEL="verbose"))
    child.expect("ready", 10)
    # libsodium for 32-bit x86 leaves the key of the last packet on its stack; docs/threat-model.md says so.
    scene = Scene(namespace, name, child.pid, private, psk, ["[stack]"] if "setarch" in command else [])
    configured = (
        f"private_key={private.hex()}\nlisten_port={PORT}\npublic_key={scene.other.mine.public.hex()}\n"
        f"preshared_key={psk.hex()}\nallowed_ip=10.99.0.2/32\n"
    )
    assert ask(name, f"set=1\n{configured}\n") == "errno=0\n\n"
    namespace.ip("addr", "add", "10.99.0.1/24", "dev", name)
    namespace.ip("link", "set", name, "up")
    child.expect("interface up", 5)
    yield scene
    scene.other.close()
    for name, secret in scene.secrets.items():
        for form in memory.forms(secret).values():
            assert form.decode("latin-1") not in child.text(), f"the log, which tells everything, tells {name}"


def test_what_is_configured_is_nowhere_but_in_its_place(scene, name, keys):
    """Neither what came through the socket nor what was told through it is left, as bytes or as digits."""
    assert scene.found() == once("private", "psk")
    told = ask(name, "get=1\n\n")
    assert f"private_key={keys[0].hex()}\n" in told and f"preshared_key={keys[1].hex()}\n" in told
    for text in ("get=1\n\n", "get=1\n\nget=1\n\n", "set=1\n\nget=1\n\n", "status=1\n\n"):
        ask(name, text)
    assert scene.found() == once("private", "psk")


@pytest.mark.parametrize("said,kept", [
    ("set=1\nprivate_key={0}0\n\n", False),
    ("set=1\npreshared_key={0}\n\n", False),
    ("set=1\nlisten_port=x\nprivate_key={0}\n\n", False),
    ("set=1\nprivate_key={0}", False),
    # A whole line takes effect at once.
    ("set=1\nprivate_key={0}\n", True),
    ("get=1\n\nset=1\nprivate_key={0}\n\n", True),
])  # fmt: skip
def test_what_is_refused_or_cut_off_is_not_kept(scene, said, kept):
    """A line too long, one in the wrong place, one after a mistake, one without an end."""
    scene.secrets["stray"] = wire.generate_private_key()
    with contextlib.suppress(TimeoutError):
        ask(scene.name, said.format(scene.secrets["stray"].hex()), timeout=0.5)
    ask(scene.name, "status=1\n\n")  # the connection before this one is over
    assert scene.found("stray") == (once("stray") if kept else {})


def test_a_session_leaves_only_its_two_keys(scene):
    """Neither ephemeral keys nor shared secrets nor chaining keys nor what HKDF worked out on the way."""
    with learning() as learnt:
        scene.other.talk()
    scene.note("session")
    keys = scene.other.keys()
    steps = {f"{what} {n}": secret for n, (secret, what) in enumerate(learnt.items()) if secret not in keys}
    assert len(steps) > 10
    scene.secrets |= steps
    assert scene.found() == once("private", "psk", *SESSION)


def test_sessions_that_were_replaced_are_gone(scene):
    """Of three, two are kept: what is on its way may still come under the last but one."""
    scene.other.talk()
    scene.note("session")
    scene.other.rekey()
    scene.note("second")
    assert scene.found(*SESSION) == once(*SESSION)
    scene.other.rekey()
    scene.note("third")
    assert scene.found() == once("private", "psk", "second there", "second back", "third there", "third back")


def test_sessions_that_the_daemon_began_leave_nothing_else(scene):
    """The initiator's side of it."""
    place = scene.place
    ask(scene.name, f"set=1\npublic_key={scene.other.mine.public.hex()}\nendpoint=127.0.0.1:{scene.other.port}\n\n")
    with learning() as learnt:
        child = place.spawn("ping", "-c", "1", "-W", "5", "10.99.0.2")
        scene.other.until(lambda: scene.other.keys())
        child.stop()
    scene.note("session")
    # The precomputed secret of the two static keys is kept for as long as the peer.
    static = scene.other.shared(bytearray(32))
    known = (*scene.other.keys(), static)
    scene.secrets |= {f"{what} {n}": secret for n, (secret, what) in enumerate(learnt.items()) if secret not in known}
    assert scene.found() == once("private", "psk", *SESSION)


def test_a_peer_that_was_removed_leaves_nothing(scene):
    scene.other.talk()
    scene.note("session")
    scene.secrets["static-static"] = scene.other.shared(bytearray(32))
    assert scene.found("static-static") == once("static-static")
    ask(scene.name, f"set=1\npublic_key={scene.other.mine.public.hex()}\nremove=true\n\n")
    assert scene.found() == once("private")


def test_keys_that_were_replaced_or_removed_are_gone(scene):
    scene.other.talk()
    scene.note("session")
    scene.secrets["static-static"] = scene.other.shared(bytearray(32))
    public = scene.other.mine.public.hex()
    ask(scene.name, f"set=1\npublic_key={public}\npreshared_key={'0' * 64}\n\n")
    assert scene.found("psk") == {}
    scene.secrets["new"] = wire.generate_private_key()
    ask(scene.name, f"set=1\nprivate_key={scene.secrets['new'].hex()}\n\n")
    assert scene.found() == once("new", *SESSION), "what is on its way under the session may still come"
    ask(scene.name, f"set=1\nprivate_key={'0' * 64}\nreplace_peers=true\n\n")
    assert scene.found() == {}


# The router, from its configuration


def test_a_router_that_loses_its_interface_keeps_none_of_its_keys(namespace, name, command, keys, tmp_path):
    """Its keys, that is: the text of the file was the interpreter's, which promises nothing (docs/threat-model.md)."""
    private, psk = keys
    command = [word.replace("heapsize=512K", "heapsize=1M") for word in command]
    router = Router(namespace, tmp_path, command)
    scene = Scene(namespace, name, None, private, psk)
    public = base64.b64encode(scene.other.mine.public).decode()
    configured = (
        interface(name, private_key=base64.b64encode(private).decode(), listen_port=PORT, addresses="10.99.0.1/24"),
        peer(name, public_key=public, preshared_key=base64.b64encode(psk).decode(), allowed_ips="10.99.0.2/32"),
    )
    other = interface(net.unique("s"), private_key=base64.b64encode(wire.generate_private_key()).decode())

    def raw():
        return {name: count for (name, form), count in scene.found().items() if form == "raw"}

    try:
        router.start(*configured)
        scene.pid = router.pid
        router.expect("interface up", 5)
        assert raw() == {"private": 1, "psk": 1}
        scene.other.talk()
        scene.note("session")
        # Read again, and the session is the same.
        assert "applied" in router.reload(*configured, other)
        assert raw() == dict.fromkeys(scene.secrets, 1)
        assert "applied" in router.reload(configured[0], other)
        assert raw() == {"private": 1}, "the peer is gone"
        assert "applied" in router.reload(other)
        assert raw() == {}, "the interface is gone"
    finally:
        router.stop()
        scene.other.close()
