"""Asking the way from here: is a port closed, does an address answer, how large may a packet be.

Only for programs that a person waits for: these calls block.
"""

from struct import pack

from . import abi, system, tool

_ECHO_REQUEST = {4: 8, 16: 128}
_ECHO_REPLY = {4: 0, 16: 129}
# Of an echo: IP and ICMP headers
HEADERS = {4: 28, 16: 48}


def port_error(addr, fwmark, link, timeout_ms):
    """Return the errno of what is said to a datagram to the socket address: ECONNREFUSED where nobody listens.

    0 is silence for `timeout_ms`, which is what WireGuard has for whoever it does not know.
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
    """Whether the address answers an ICMP echo of an IP packet of `size` bytes, within `timeout_ms` a try."""
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
    """Return an echo request; the checksum of ICMPv6 is the kernel's to fill in."""
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
            # A raw socket of IPv4 shows the IP header as well.
            at = (message[0] & 15) * 4 if width == 4 else 0
            if message[at] == _ECHO_REPLY[width] and message[at + 4 :] == request[4:]:
                return True


def _wait(fd, timeout_ms):
    poller = system.poll.Poller()
    poller.watch(fd, system.poll.IN)
    return bool(list(poller.wait(timeout_ms)))


def largest(packed, least, most, timeout_ms):
    """Return the largest size of an IP packet between the two that the address answers; 0 if not even the least."""
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
    """Whether this is what a router or the host itself says of a place where nobody is."""
    return errno in (abi.ECONNREFUSED, abi.EHOSTUNREACH, abi.ENETUNREACH, abi.EACCES)
