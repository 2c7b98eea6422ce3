"""The bench of a test: two sites with a peer at each, and the guests, which stay for the whole session."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

from . import net, peers, qemu

NEAR_PORT, FAR_PORT = 51820, 51821


class Guests:
    """The guests of the session. Each is booted when a test first needs it."""

    def __init__(self):
        self._running = {}

    def get(self, package):
        if package not in self._running:
            self._running[package] = qemu.Guest(package)
        return self._running[package]

    def close(self):
        for guest in self._running.values():
            guest.close()


class Bench:
    """Two sites with a link between them, and a peer at each: `near` runs wgembed, `far` the other implementation.

    near  the class of the near peer; by default the opponent of `kind`
    """

    def __init__(self, kind, guests, mtu=1500, near=None):
        self._closing = ExitStack()
        if issubclass(kind, peers.Linux):
            guest = guests.get(kind.package)
            guest.tidy()
            self._closing.callback(guest.tidy)
            self.near_site, self.far_site = guest.near, guest.far
        else:
            self.near_site, self.far_site = net.veth(self._namespace(), self._namespace(), mtu=mtu)
        self.near = (near or kind.opponent or peers.Wgembed)(self.near_site, NEAR_PORT)
        self.far = kind(self.far_site, FAR_PORT)
        for peer in (self.near, self.far):
            self._closing.callback(peer.end)

    def _namespace(self):
        namespace = net.Namespace()
        self._closing.callback(namespace.close)
        return namespace

    def tunnel(self, **options):
        return peers.Tunnel(self.near, self.far, **options)

    def stranger(self):
        """A third machine that reaches both outer addresses."""
        stranger = net.Stranger(self.near_site, self.far_site)
        self._closing.callback(stranger.close)
        return stranger

    def logs(self):
        """The last output of both peers."""
        return "\n".join(
            f"-- {peer.name} ({peer.interface})\n{peer.log()[-3000:]}" for peer in (self.near, self.far) if peer.started
        )

    def close(self):
        self._closing.close()


class Together:
    """Run scenarios that mostly wait, in parallel; those of one lane run one after the other.

    A scenario is a function of a Bench. A lane is one peer, so no two scenarios use the same guest at once.
    """

    def __init__(self, lanes, guests):
        self._guests = guests
        pairs = [(kind, scenario) for kind, scenarios in lanes.items() for scenario in scenarios]
        self._outcomes = {pair: Future() for pair in pairs}
        self._pool = ThreadPoolExecutor(max(1, len(lanes)))
        for kind, scenarios in lanes.items():
            self._pool.submit(self._run, kind, scenarios)

    def _run(self, kind, scenarios):
        for scenario in scenarios:
            outcome = self._outcomes[kind, scenario]
            try:
                outcome.set_result(self._one(kind, scenario))
            except BaseException as error:
                outcome.set_exception(error)

    def _one(self, kind, scenario):
        bench = Bench(kind, self._guests)
        try:
            return scenario(bench)
        except Exception as error:
            raise AssertionError(f"{error!r}\n{bench.logs()}") from error
        finally:
            bench.close()

    def outcome(self, kind, scenario):
        return self._outcomes[kind, scenario].result()

    def close(self):
        self._pool.shutdown()
