"""The four messages on the wire (WireGuard paper, 5.4.2 to 5.4.7). Integers are little-endian.

The fields in order, and the size of the message. "+tag" means that the field is encrypted, with a tag of 16 bytes:
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

# The offsets of the fields, in bytes.
SENDER = 4  # in an initiation and in a response

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
    """Return the type of the message of `size` bytes at `buf[offset]`, or 0 if it is not a message.

    The reserved bytes must be zero and the size must be exact. A transport message has at least the header and the tag.
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
