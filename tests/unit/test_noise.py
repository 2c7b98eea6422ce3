"""Noise alone: keys, and the limits of a keypair. test_device.py tests the handshake between two devices."""

from wgembed.protocol import noise
from wgembed.protocol.constants import REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME


def test_private_keys_are_clamped():
    """As `wg` shows them (RFC 7748, 5)."""
    identity = noise.Identity()
    identity.set(b"\xff" * 32)
    assert bytes(identity.private) == b"\xf8" + b"\xff" * 30 + b"\x7f"
    identity.set(b"\1" * 32)
    assert bytes(identity.private) == b"\0" + b"\1" * 30 + b"\x41"


def test_a_secret_of_zeros_is_none():
    """The secret from a point of low order. A handshake that accepted it would be open to everybody."""
    scalar = b"\x41" * 32
    assert noise._mix_dh(scalar, bytes(32)) is False
    assert noise._mix_dh_key(scalar, bytes(32)) is False
    assert noise._mix_dh(scalar, b"\x09" + bytes(31)) is True
    assert noise._mix_dh_key(scalar, b"\x09" + bytes(31)) is True


class Keypair:
    """Return a keypair that was made at `birth` and has sent `counter` messages."""

    usable = True

    def __init__(self, birth=0, counter=0):
        self.birth, self.counter = birth, counter


def test_a_keypair_is_good_for_180_s():
    for birth in (0, 1_000, 1_000_000):
        keypair = Keypair(birth)
        for age, good in ((0, True), (REJECT_AFTER_TIME - 1, True), (REJECT_AFTER_TIME, False), (333_777, False)):
            assert noise.may_receive(keypair, birth + age) is good
            assert noise.may_send(keypair, 1, birth + age) is good


def test_a_keypair_is_good_for_so_many_messages():
    for counter, count, good in ((-1, 1, True), (-1, 2, False), (-64, 64, True), (-64, 65, False), (5, 1, False)):
        assert noise.may_send(Keypair(0, REJECT_AFTER_MESSAGES + counter), count, 0) is good
    unusable = Keypair()
    unusable.usable = False
    assert not noise.may_send(unusable, 1, 0) and not noise.may_send(None, 1, 0)


def test_the_fields_of_a_record_do_not_overlap():
    end = 0
    for field, size in (
        (noise.PRESHARED, 32), (noise.STATIC_STATIC, 32), (noise.HASH, 32), (noise.CHAIN, 32), (noise.EPHEMERAL, 32),
        (noise.REMOTE_EPHEMERAL, 32), (noise.COOKIE, 16), (noise.LAST_MAC1, 16), (noise.TIMESTAMP, 12),
        (noise.KEYPAIRS, 3 * 64),
    ):  # fmt: skip
        assert field >= end
        end = field + size
    assert end == noise.RECORD_SIZE
