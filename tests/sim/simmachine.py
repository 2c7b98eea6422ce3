"""A machine of the simulation: one process of the daemon and the clocks that it reads.

The devices of a process share its tables and buffers, and end together.
"""

from wgembed.protocol.peers import Tables

from . import simcheck

STAGED = 96 * 512
_LIMITER = 64


class Crash(Exception):
    """The process ends in the middle of what it does."""


class Machine:
    """What its nodes have in common.

    number         from 0
    wall           its wall clock, less the simulated time, in ms
    stalled_until  when the process gets to run again
    """

    def __init__(self, sim, number):
        self.sim = sim
        self.number = number
        self.nodes = []
        self.wall = 1_700_000_000_000 - sim.now
        self.booted = sim.now - 1_000_000
        self.tables = self.arena = self.inbox = self.fastpath = None
        self.life = 0  # how often the process was started
        self.stalled_until = 0
        self.wakes_at = None
        self.buckets = {}  # of simcheck.Limits, for the life of the process

    @property
    def now(self):
        """Milliseconds of CLOCK_BOOTTIME."""
        return self.sim.now - self.booted

    @property
    def is_running(self):
        return self.tables is not None

    def start(self):
        """Begin as after a power cut: with the configuration, and with what was on flash."""
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
        """The machine starts anew: CLOCK_BOOTTIME from zero, and without the files in memory."""
        self.booted = self.sim.now - 20_000
        for node in self.nodes:
            self.sim.files.remove(node.fleeting)

    def guarded(self, step, *arguments):
        """Do something with the devices; a crash planned within it ends the process there."""
        try:
            step(*arguments)
        except Crash:
            self.sim.say("crash within", self.number)
            self.stop()
            self.sim.after(1_000 + self.sim.random.below(20_000), self.restart)
            return
        self.sim.touched(self)
