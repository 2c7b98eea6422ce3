"""Probes of a path, over the loopback device."""

import pytest

from wgembed.runtime import ping
from wgembed.runtime.cpython import inet

from ..lab.need import need, privileges


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("size", [100, 4096, 9000, 65000])
def test_echoes_of_all_sizes(ip, size):
    """Tunnels can have a large MTU, and an answer that is cut off looks like no answer."""
    need(privileges)
    assert ping.echo(inet.parse_ip(ip), size, 1000)


def test_the_largest_echo():
    need(privileges)
    assert ping.largest(b"\x7f\0\0\1", 576, 8920, 500) == 8920
