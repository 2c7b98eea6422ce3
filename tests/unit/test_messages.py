"""Which datagrams are messages."""

from wgembed.protocol import messages
from wgembed.protocol.constants import COOKIE_REPLY_SIZE, INITIATION_SIZE, RESPONSE_SIZE


def kind(data, size=None):
    padded = b"\x7f" * 3 + data + bytes(160)
    return messages.kind(padded, 3, len(data) if size is None else size)


def test_sizes_are_exact():
    for type_, size in ((1, INITIATION_SIZE), (2, RESPONSE_SIZE), (3, COOKIE_REPLY_SIZE)):
        data = bytes((type_, 0, 0, 0)) + bytes(size - 4)
        assert kind(data) == type_
        assert kind(data, size - 1) == 0
        assert kind(data, size + 1) == 0


def test_transport_has_header_and_tag():
    assert kind(b"\4\0\0\0" + bytes(28)) == 4
    assert kind(b"\4\0\0\0" + bytes(27)) == 0
    assert kind(b"\4\0\0\0" + bytes(1428)) == 4


def test_reserved_bytes_are_zero():
    for i in (1, 2, 3):
        data = bytearray(b"\4\0\0\0" + bytes(28))
        data[i] = 1
        assert kind(bytes(data)) == 0


def test_unknown_types():
    for type_ in (0, 5, 6, 255):
        for size in (0, 1, 4, 32, 64, 92, 148):
            assert kind((bytes((type_,)) + bytes(size))[:size]) == 0
