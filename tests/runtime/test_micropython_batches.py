"""The batch steps of the runtime on MicroPython allocate no memory, after the first packets of a peer."""

import subprocess
from pathlib import Path

from ..lab import debian
from ..lab.need import need

ROOT = Path(__file__).parents[2]

SCRIPT = """
import gc, sys
sys.path.insert(0, {root!r})
from wgembed.packets.arena import Arena, Inbox
from wgembed.runtime.micropython import inet, libc, tun, udp

arena, inbox = Arena(1420), Inbox()
near, far = udp.UdpSocket(False, 0, 0), udp.UdpSocket(False, 0, 0)
to = inet.make_address(bytes((127, 0, 0, 1)), far.port, 0)
ends = bytearray(8)
libc.func("i", "pipe2", "Pi")(ends, 0x800)
reader, writer = tun.TunPort(ends[0]), tun.TunPort(ends[4])
for i in range(8):
    inbox.packet_lengths[i] = 60

def batch():
    for slot in range(8):
        arena.lengths[slot] = 1452
    gc.collect()
    before = gc.mem_alloc()
    near.send_run(to, None, arena, 0, 8, 0)
    near.send(to, None, arena.buffer, 100, 0)  # by itself: the kernel says something else of it
    taken = 0
    while far.receive(inbox):
        taken += far.length
    writer.write_batch(inbox.view, inbox.packets, inbox.packet_lengths, 8)
    slots = reader.read_batch(arena)
    return gc.mem_alloc() - before, taken, slots

batch()
print(*[batch() for _ in range(5)])
"""


def test_batches_allocate_nothing(tmp_path):
    """UDP in both directions on loopback. A pipe replaces the tunnel device, because its calls are read and write."""
    file = tmp_path / "script.py"
    file.write_text(SCRIPT.format(root=str(ROOT)))
    command = [*need(debian.micropython), "-X", "heapsize=1M", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == " ".join(["(0, 11716, 1)"] * 5) + "\n", done.stdout + done.stderr
