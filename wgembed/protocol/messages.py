"""The four messages as they stand on the wire (WireGuard paper, 5.4.2 to 5.4.6). Integers are little-endian.

The fields in their order, and the size:
    initiation  type sender ephemeral static+tag timestamp+tag mac1 mac2     148 bytes
    response    type sender receiver ephemeral nothing+tag mac1 mac2          92 bytes
    cookie      type receiver nonce cookie+tag                                64 bytes
    transport   type receiver counter packet+tag                             32 bytes and the packet
"""

from .constants import (
    COOKIE_REPLY_SIZE,
    INITIATION_SIZE,
    MESSAGE_COOKIE_REPLY,
    MESSAGE_INITIATION,
    MESSAGE_RESPONSE,
    MESSAGE_TRANSPORT,
    RESPONSE_SIZE,
    TRANSPORT_OVERHEAD,
)

TYPE_INITIATION = b"\x01\0\0\0"
TYPE_RESPONSE = b"\x02\0\0\0"
TYPE_COOKIE_REPLY = b"\x03\0\0\0"
TYPE_TRANSPORT = b"\x04\0\0\0"

# Where the fields begin.
SENDER = 4  # of an initiation and of a response

INITIATION_EPHEMERAL = 8
INITIATION_STATIC = 40
INITIATION_TIMESTAMP = 88
INITIATION_MAC1 = 116

RESPONSE_RECEIVER = 8
RESPONSE_EPHEMERAL = 12
RESPONSE_NOTHING = 44
RESPONSE_MAC1 = 60

COOKIE_RECEIVER = 4
COOKIE_NONCE = 8
COOKIE_SEALED = 32

TRANSPORT_RECEIVER = 4
TRANSPORT_COUNTER = 8
TRANSPORT_PACKET = 16


def kind(buf, offset, size):
    """Return the type of the message of `size` bytes at `offset`, or 0 if it is none.

    The reserved bytes must be zero and the size exact; a transport message has at least header and tag.
    """
    if size < TRANSPORT_OVERHEAD or buf[offset + 1] or buf[offset + 2] or buf[offset + 3]:
        return 0
    type_ = buf[offset]
    if type_ == MESSAGE_TRANSPORT:
        return type_
    if type_ == MESSAGE_INITIATION and size == INITIATION_SIZE:
        return type_
    if type_ == MESSAGE_RESPONSE and size == RESPONSE_SIZE:
        return type_
    if type_ == MESSAGE_COOKIE_REPLY and size == COOKIE_REPLY_SIZE:
        return type_
    return 0
