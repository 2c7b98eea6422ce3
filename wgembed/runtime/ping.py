"""Probes of a path from this machine: is a port closed, does an address answer, how large can a packet be.

These calls block. Only commands use them.
"""

from struct import pack

from . import abi, system, tool

_ECHO_REQUEST = {4: 8, 16: 128}
_ECHO_REPLY = {4: 0, 16: 129}
# The size of the IP and ICMP headers of an echo, in bytes
HEADERS = {4: 28, 16: 48}


def port_error(addr, fwmark, link, timeout_ms):
    """Send a datagram to the socket address and return the errno of the answer: ECONNREFUSED if the port is closed.

    0 if there is no answer for `timeout_ms`. WireGuard does not answer an unknown sender.
    """
    try:
        probe = tool.Probe(addr, fwmark, link)
    except OSError as e:
        return e.errno
    try:
        probe.send(b"\0")
        _wait(probe.fd, timeout_ms)
        probe.receive()
    except OSError as e:
        return e.errno
    finally:
        probe.close()
    return 0


def echo(packed, size, timeout_ms, tries=1):
    """Whether the packed address answers an ICMP echo in an IP packet of `size` bytes. Each try takes up to `timeout_ms`."""
    width = len(packed)
    probe = None
    try:
        probe = tool.Probe(system.inet.make_address(packed, 0, 0), echo=True)
        for sequence in range(tries):
            message = _request(width, sequence, size)
            probe.send(message)
            if _is_answered(probe, width, message, timeout_ms):
                return True
    except OSError:
        return False
    finally:
        if probe is not None:
            probe.close()
    return False


def _request(width, sequence, size):
    """Return an echo request. The kernel fills in the checksum of ICMPv6."""
    length = size - HEADERS[width]
    payload = (bytes(range(256)) * (length // 256 + 1))[:length]
    header = pack(">BBHHH", _ECHO_REQUEST[width], 0, 0, 0x5747, sequence)
    total = 0
    data = header + payload + bytes(len(payload) & 1)
    for i in range(0, len(data), 2):
        total += data[i] << 8 | data[i + 1]
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return header[:2] + pack(">H", ~total & 0xFFFF) + header[4:] + payload


def _is_answered(probe, width, request, timeout_ms):
    end = system.clock.now() + timeout_ms
    while True:
        left = end - system.clock.now()
        if left <= 0 or not _wait(probe.fd, left):
            return False
        message = probe.receive()
        if message is not None:
            # A raw socket of IPv4 also returns the IP header.
            at = (message[0] & 15) * 4 if width == 4 else 0
            if message[at] == _ECHO_REPLY[width] and message[at + 4 :] == request[4:]:
                return True


def _wait(fd, timeout_ms):
    poller = system.poll.Poller()
    poller.watch(fd, system.poll.IN)
    return bool(list(poller.wait(timeout_ms)))


def largest(packed, least, most, timeout_ms):
    """Return the largest size of an IP packet, from `least` to `most` bytes, that the address answers; else 0."""
    if not echo(packed, least, timeout_ms, 3):
        return 0
    while least < most:
        size = (least + most + 1) // 2
        if echo(packed, size, timeout_ms, 2):
            least = size
        else:
            most = size - 1
    return least


def is_refusal(errno):
    """Whether a router or the host reports with this errno that the address or port cannot be reached."""
    return errno in (abi.ECONNREFUSED, abi.EHOSTUNREACH, abi.ENETUNREACH, abi.EACCES)
