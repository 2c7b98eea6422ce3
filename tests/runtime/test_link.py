"""News about links and routes that the kernel had to drop, because nobody read them in time. Both runtimes, a real queue."""

import sys

import pytest

from ..lab import micropython
from ..lab.need import need

ROUTES = 3000
# The first route is added while the queue is full, the second when the loss was noticed. 24 is RTM_NEWROUTE: the compiled
# package has no names of constants.
SCRIPT = """
import os, sys
from wgembed.runtime import link
news = link.News()
heard = []
news.on_routes = lambda kind, message, start, end: heard.append((kind, bytes(message[start:end])))
os.system("ip -batch " + {batch!r})
news.deliver()
heard.clear()
os.system("ip route add 10.99.0.0/16 dev lo")
news.deliver()
assert heard and heard[0][0] == 24 and bytes((10, 99)) in heard[0][1], heard[:3]
print("heard", len(heard))
"""


@pytest.fixture(params=["cpython", "micropython"])
def interpreter(request):
    if request.param == "cpython":
        return [sys.executable]
    return need(micropython.command)[:-2]


def test_news_after_a_loss(namespace, interpreter, tmp_path):
    """What waited in the full queue is older than the loss, and while it waited, the kernel would drop all that is new."""
    batch = tmp_path / "routes"
    batch.write_text("".join(f"route add 10.{n >> 8}.{n & 255}.0/24 dev lo\n" for n in range(ROUTES)))
    namespace.ip("link", "set", "lo", "up")
    script = SCRIPT.format(batch=str(batch))
    out = namespace.run(*interpreter, "-c", script)[1]
    assert out == "heard 1\n"
