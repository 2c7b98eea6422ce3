"""A machine of the simulation: one process of the daemon, and the clocks that it reads.

The devices of a process share its tables and buffers, and end together.
"""

from wgembed.protocol.peers import Tables

from . import simcheck

STAGED = 96 * 512
_LIMITER = 64


class Crash(Exception):
    """The process crashes in the middle of an operation."""


class Machine:
    """The common state of the nodes of a process.

    number         from 0
    wall           its wall clock minus the simulated time, in ms
    stalled_until  the time when the process runs again
    """

    def __init__(self, sim, number):
        self.sim = sim
        self.number = number
        self.nodes = []
        self.wall = 1_700_000_000_000 - sim.now
        self.booted = sim.now - 1_000_000
        self.tables = self.arena = self.inbox = self.fastpath = None
        self.life = 0  # the number of starts of the process
        self.stalled_until = 0
        self.wakes_at = None
        self.buckets = {}  # for simcheck.Limits, as long as the process runs

    @property
    def now(self):
        """Milliseconds of CLOCK_BOOTTIME."""
        return self.sim.now - self.booted

    @property
    def is_running(self):
        return self.tables is not None

    def start(self):
        """Start as after a power cut: with the configuration and the files on flash."""
        self.life += 1
        self.wakes_at = None
        self.buckets = {}
        self.tables = Tables(sum([len(node.knows) + 1 for node in self.nodes]), staged=STAGED, limiter=_LIMITER)
        self.arena, self.inbox, self.fastpath = self.sim.packet_memory()
        for node in self.nodes:
            node.begin()
        self.frame = simcheck.frame(self)
        self.sim.touched(self)

    def stop(self):
        for node in self.nodes:
            node.end()
        self.tables = self.arena = self.inbox = self.fastpath = None

    def restart(self):
        if not self.is_running:
            self.start()

    def reboot(self):
        """Reboot the machine: CLOCK_BOOTTIME is zero, and the files in memory are gone."""
        self.booted = self.sim.now - 20_000
        for node in self.nodes:
            self.sim.files.remove(node.fleeting)

    def guarded(self, step, *arguments):
        """Call a function of the devices. If a crash is planned during it, the process ends there."""
        try:
            step(*arguments)
        except Crash:
            self.sim.say("crash within", self.number)
            self.stop()
            self.sim.after(1_000 + self.sim.random.below(20_000), self.restart)
            return
        self.sim.touched(self)
