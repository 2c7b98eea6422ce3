"""`wgembed run`: all interfaces of a router in one process, from its configuration.

SIGHUP, or a change of the file, applies the difference between the configuration that holds and the new one. What
does not validate, or cannot be had (a port in use, no room), changes nothing and is told. SIGINT and SIGTERM take away
everything that was made, and end.
"""

from .. import crypto
from ..protocol import noise
from ..protocol.allowedips import MAX_PREFIXES
from ..protocol.constants import NEVER
from ..runtime import durable, netconf, rtnetlink, system
from ..runtime.alarms import Alarms
from ..runtime.link import LinkError
from . import config as config_module
from . import log as log_module
from . import network, peering, tunlink
from .daemon import PREFIXES_PER_PEER, Process
from .interface import Interface, do_without_marks
from .names import Endpoint, Names
from .server import ControlServer, Refusal, is_served
from .stamps import DIRECTORY, RUN_DIRECTORY, Stamps

# After news of routes or of files there is more to come: so long is waited, in ms.
_SETTLE = 200
# How long until what could not be had is tried again, in ms.
_RETRY = 5000
# Room in the tables for what comes after the start.
_SPARE_PEERS = 16
_SPARE_PREFIXES = 64


class Member:
    """An interface of the router: its configuration, and what has come of it."""

    def __init__(self, router, config, place):
        self._router = router
        self.name = config.name
        self.config = config
        self.place = place
        self.log = router.log_for(config)
        self.endpoints = {}  # by public key
        self.interface = Interface(config.name, router, _prefixes(config), self.log, router.stamps)
        try:
            self.server = ControlServer(self.interface, router.loop, self.log)
        except (Refusal, MemoryError):
            self.interface.close()
            raise
        record = "%s/%s.added" % (router.run_directory, config.name)
        self.network = network.Network(router.netconf, record, self.log)
        network.clear_up(record, router.netconf)
        self.network.begin(self.interface.index)

    def set_up(self, old, now):
        """Apply the configuration; `old` is the one that held, None for none. Nothing here can fail."""
        config, device = self.config, self.interface.device
        private = self._router.take_key(config)
        device.set_private_key(private, now)
        crypto.memzero(private)
        fresh = peering.apply(device, old.peers if old else [], config.peers, now)
        self._set_endpoints(fresh)

    def _set_endpoints(self, fresh):
        wanted = {peer.public_key: peer for peer in self.config.peers if peer.host}
        for key in list(self.endpoints):
            endpoint, peer = self.endpoints[key], wanted.get(key)
            if peer is None or key in fresh or (peer.host, peer.port) != (endpoint.host, endpoint.port):
                endpoint.close()
                del self.endpoints[key]
        for key, peer in wanted.items():
            if key not in self.endpoints:
                self.endpoints[key] = Endpoint(peer.host, peer.port, _Target(self, key), self._router.names)
                self.endpoints[key].start()

    def on_endpoint(self, key, endpoint):
        """The endpoint of this peer became known, or is another: what waits for an answer need not wait on."""
        device = self.interface.device
        peer = device.find(key)
        if peer is None:
            return
        now = system.clock.now()
        addr = system.udp.make_address(endpoint.address, endpoint.port, endpoint.scope)
        if addr == peer.addr:
            return
        begun = peer.handshake != noise.ZEROED or self._router.tables.staged.count(peer.number)
        device.set_endpoint(peer, addr, now)
        self._router.follow_soon(0)
        if begun and device.is_up:
            # The limit of one initiation in 5 s is for one place, and this is another.
            peer.last_sent_handshake = NEVER
            device.initiate(peer, now, retry=True)

    def follow_network(self, ip, raise_link):
        """Make addresses, routes and MTU fit what the configuration and the machine's routes are now."""
        wanted = self.plan(ip)
        if wanted.mark != self.interface.mark:
            self.interface.set_mark(wanted.mark)
        self.network.follow(wanted, raise_link)

    def plan(self, ip):
        router = self._router
        outside = [thing for member in router.members for thing in member.network.outside]
        paths = network.Paths(ip, [member.interface.index for member in router.members], outside)
        endpoints = []
        for endpoint in self.endpoints.values():
            if endpoint.address is not None and endpoint.address not in endpoints:
                endpoints.append(endpoint.address)
        routed = [
            (packed, length, member is self)
            for member in router.members
            for peer in member.config.peers
            if peer.route and member.is_found(peer)
            for packed, length in peer.allowed_ips
        ]
        chosen = tunlink.index_of(self.config.tunlink) if self.config.tunlink else 0
        return network.plan(self.config, self.interface.index, self.place, endpoints, routed, paths, chosen)

    def is_found(self, peer):
        """Whether the peer's routes may stand: not while its name is looked up, for they may lead to the name server."""
        endpoint = self.endpoints.get(peer.public_key)
        return endpoint is None or endpoint.address is not None

    def bind(self):
        """With `nohostroute`, `tunlink` is what the sockets are bound to."""
        device = tunlink.device_of(self.config.tunlink) if self.config.nohostroute and self.config.tunlink else ""
        if device == self.interface.bound_to:
            return
        try:
            self.interface.bind_to(device)
        except OSError as e:
            self.log.error("cannot bind to %s: %s" % (device, e))

    def close(self):
        for endpoint in self.endpoints.values():
            endpoint.close()
        self.network.end()
        self.server.close()
        self.interface.close()


class _Target:
    """The peer that an endpoint is for; the key alone stands for it, for the peer may go and come back."""

    __slots__ = ("_key", "_member")

    def __init__(self, member, key):
        self._member = member
        self._key = key

    def on_endpoint(self, endpoint):
        self._member.on_endpoint(self._key, endpoint)


def _prefixes(config):
    """Return how many allowed IPs of each family there is room for."""
    configured = sum([len(peer.allowed_ips) for peer in config.peers])
    each = PREFIXES_PER_PEER * max(config.max_peers, len(config.peers)) if system.files.USUAL_PEERS > 64 else 0
    return min(max(each, 2 * configured + _SPARE_PREFIXES), MAX_PREFIXES)


class Router(Process):
    """The process, its interfaces and what they share.

    directory  where the configuration is
    """

    def __init__(self, directory):
        self._directory = directory
        self._level = log_module.level_from(system.files.getenv("LOG_LEVEL"))
        self._log = log_module.Log("run", self._level)
        self._warned = []
        self.members = []
        config = self._load()
        process = system.process
        super().__init__(_peers(config), (process.SIGHUP, process.SIGINT, process.SIGTERM, process.SIGIO))
        self.run_directory = system.files.getenv("WGEMBED_RUN_DIR") or RUN_DIRECTORY
        self._state_directory = system.files.getenv("WGEMBED_STATE_DIR") or DIRECTORY
        _make_directories(self.run_directory)
        _make_directories(self._state_directory)
        self.alarms = Alarms()
        self.netconf = netconf.NetConf(self.loop, self._log)
        self.names = Names(self.loop, self.alarms, self._log)
        self.stamps = Stamps(
            self._state_directory + "/clock", self.run_directory + "/clock", durable.Saver(self.loop, self._log), self._log
        )
        self._ip = rtnetlink.RtNetlink()
        self._way_out = None
        self._seen = self._identity()
        self._watched = system.process.watch_directory(directory, True)
        if not self._watched:
            self._log.error("the kernel cannot tell when the configuration changes: send SIGHUP")
        try:
            self._apply(config)
            self.netconf.finish()
        except BaseException:
            self.close()
            raise

    def log_for(self, config):
        return log_module.Log(config.name, self._level if config.log_level is None else config.log_level)

    def run(self):
        self._log.verbose("ready")
        self.loop.run()

    def close(self):
        for member in self.members:
            member.close()
        self.members.clear()
        self.names.close()
        self.netconf.finish()
        self._log.verbose("ended")

    def deadline(self):
        protocol, alarm = super().deadline(), self.alarms.next()
        if protocol is None or alarm is None:
            return alarm if protocol is None else protocol
        return min(protocol, alarm)

    def _after_turn(self):
        super()._after_turn()
        due = self.alarms.next()
        if due is not None and due <= system.clock.now():
            self.alarms.run(system.clock.now())

    # Configuration

    def _load(self):
        """Return the configuration in the file; ConfigError if it does not hold together."""
        config = config_module.load(self._directory)
        config.warnings += do_without_marks(config)
        for warning in config.warnings:
            if warning not in self._warned:
                self._log.error(warning)
        self._warned = config.warnings
        return config

    def _identity(self):
        return system.files.identity("%s/%s" % (self._directory, config_module.PACKAGE))

    def reload(self):
        """Apply what the file says now; what is wrong with it is told, and nothing changes.

        Returns how many interfaces it wants, 0 where it is refused.
        """
        self._seen = self._identity()
        wanted = 0
        try:
            config = self._load()
            wanted = len(config.interfaces)
            self._apply(config)
        except config_module.ConfigError as e:
            for problem in e.problems:
                self._log.error(problem)
            self._log.error("the configuration is refused, the one before holds")
        except (Refusal, OSError, LinkError, MemoryError) as e:
            self._log.error("the configuration cannot be applied, the one before holds: %s" % e)
        else:
            self.netconf.after(lambda: self._log.verbose("configuration applied"))
        return wanted

    def _apply(self, config):
        """Go over to this configuration. Whatever may fail comes first, and is undone if it does."""
        try:
            self._check_room(config)
            self._prepare_keys(config)
            self._go_over(config)
        finally:
            for interface in config.interfaces:
                interface.forget_secrets()

    def _go_over(self, config):
        old = {member.name: member for member in self.members}
        new = [interface for interface in config.interfaces if interface.name not in old]
        stay = [interface for interface in config.interfaces if interface.name in old]
        for interface in new:
            if is_served(interface.name):
                raise Refusal("the interface %s is served by another program" % interface.name)
        self._take_ports(stay, old)
        made = []
        try:
            for interface in new:
                made.append(self._make(interface))
        except (Refusal, OSError, LinkError, MemoryError):
            for member in made:
                self._drop(member)
            self._give_ports_back(stay, old)
            raise
        now = system.clock.now()
        for name, member in old.items():
            if not any(interface.name == name for interface in stay):
                self._drop(member)
        for interface in stay:
            member = old[interface.name]
            before, member.config = member.config, interface
            member.log.set_level(self._level if interface.log_level is None else interface.log_level)
            member.set_up(before, now)
        for member in made:
            member.set_up(None, now)
        self._follow(True)

    def _check_room(self, config):
        others = self.tables.used - sum([_present(member) for member in self.members])
        if sum([len(interface.peers) for interface in config.interfaces]) + others > self.tables.capacity:
            raise Refusal(
                "there is room for %d peers since the start: set max_peers, and restart" % self.tables.capacity
            )
        for member in self.members:
            for interface in config.interfaces:
                if interface.name == member.name:
                    _check_prefixes(interface, member)

    def _prepare_keys(self, config):
        """Have a private key for each interface: one that is nowhere yet is made and kept."""
        for interface in config.interfaces:
            if interface.private_key is None:
                interface.private_key = self._key_for(interface)

    def _key_for(self, interface):
        private = config_module.make_key()
        text = config_module.encode_key(private)
        if interface.key_file:
            try:
                durable.replace(interface.key_file, text + b"\n")
            except OSError as e:
                raise Refusal("%s: %s cannot be written: %s" % (interface.where, interface.key_file, e)) from None
        else:
            config_module.store_key(interface, text, self._directory)
            self._seen = self._identity()
        self._log.error("made a private key for %s" % interface.where)
        return private

    def take_key(self, config):
        """Return the private key of the configuration, to be wiped by who asked."""
        private, config.private_key = config.private_key, None
        return private

    def _take_ports(self, stay, old):
        """Listen on the new ports, all of them or none."""
        try:
            for interface in stay:
                # 0 leaves the port to us: then the one that we have is as good as any.
                if interface.listen_port:
                    old[interface.name].interface.set_listen_port(interface.listen_port)
        except OSError as e:
            self._give_ports_back(stay, old)
            raise Refusal("port %d of %s cannot be had: %s" % (interface.listen_port, interface.where, e)) from None

    def _give_ports_back(self, stay, old):
        for interface in stay:
            member = old[interface.name]
            if member.config.listen_port:
                try:
                    member.interface.set_listen_port(member.config.listen_port)
                except OSError as e:
                    self._log.error("cannot go back to port %d: %s" % (member.config.listen_port, e))

    def _make(self, config):
        places = [member.place for member in self.members]
        place = 0
        while place in places:
            place += 1
        member = Member(self, config, place)
        self.members.append(member)
        self.interfaces.append(member.interface)
        member.interface.set_listen_port(config.listen_port)
        return member

    def _drop(self, member):
        self.members.remove(member)
        self.interfaces.remove(member.interface)
        member.close()
        self.fit_arena()

    # What happens to us

    def follow_soon(self, delay=_SETTLE):
        """Look at the machine's routes when they have settled."""
        self.alarms.hasten("network", system.clock.now() + delay, self._follow)

    def _follow(self, raise_links=False):
        for member in self.members:
            member.bind()
            member.follow_network(self._ip, raise_links)
        way_out = network.way_out(self._ip, [member.interface.index for member in self.members])
        if way_out != self._way_out:
            self._way_out = way_out
            self.names.all_again()

    def _open_ports(self):
        """Try again for the ports that others had taken."""
        for interface in self.interfaces:
            interface.follow_link()

    def on_signal(self, number):
        process = system.process
        if number == process.SIGHUP:
            self._log.verbose("reload")
            self.reload()
        elif number == process.SIGIO:
            self.alarms.hasten("files", system.clock.now() + _SETTLE, self._on_files)
        else:
            self._log.verbose("signal %d" % number)
            self.loop.stop()

    def _on_files(self):
        if self._identity() != self._seen:
            self._log.verbose("the configuration has changed")
            self.reload()

    def on_routes(self):
        self.follow_soon()

    def on_no_port(self, interface):
        self.alarms.hasten("ports", system.clock.now() + _RETRY, self._open_ports)

    def on_up(self, interface):
        self.follow_soon(0)

    def on_down(self, interface):
        for member in self.members:
            if member.interface is interface:
                member.network.went_down()

    def on_lost(self, interface):
        """Somebody deleted a link that the configuration wants: it is made again."""
        for member in self.members:
            if member.interface is interface:
                self._drop(member)
        self.alarms.set("lost", system.clock.now() + _RETRY // 5, self._restore)

    def _restore(self):
        wanted = self.reload()
        if len(self.members) < wanted:
            self.alarms.set("lost", system.clock.now() + _RETRY, self._restore)

    def on_unanswered(self, peer):
        for member in self.members:
            if member.interface.device is peer.device:
                endpoint = member.endpoints.get(peer.public_key)
                if endpoint is not None:
                    endpoint.unanswered(peer.attempts)


def _present(member):
    return len([peer for peer in member.config.peers if member.interface.device.find(peer.public_key)])


def _check_prefixes(interface, member):
    allowed = member.interface.device.allowed
    for trie, size in ((allowed.trie4, 4), (allowed.trie6, 16)):
        had, wanted = [
            len([packed for packed, _ in peering.owners(peers) if len(packed) == size])
            for peers in (member.config.peers, interface.peers)
        ]
        if wanted + max(trie.used - had, 0) > trie.capacity:
            raise Refusal("%s: there is room for %d allowed IPs since the start: restart" % (interface.where, trie.capacity))


def _peers(config):
    """Return the size of the peer table: what the configuration asks for, or what is usual and some more."""
    total = 0
    for interface in config.interfaces:
        total += interface.max_peers or len(interface.peers) + _SPARE_PEERS
    return min(max(total, system.files.USUAL_PEERS), 16383)


def _make_directories(path):
    parent = path.rpartition("/")[0]
    if parent:
        system.files.make_directory(parent, 0o755)
    system.files.make_directory(path, 0o700)


def serve(directory, ready):
    """Serve what is configured until it is time to end; returns the exit status.

    ready  is called once all is there, with the number of peers that may still come
    """
    try:
        router = Router(directory)
    except config_module.ConfigError as e:
        for problem in e.problems:
            system.process.write_line("wgembed: %s" % problem)
        return 1
    except (Refusal, OSError, LinkError) as e:
        system.process.write_line("wgembed: %s" % e)
        return 1
    try:
        ready(router.tables.capacity - router.tables.used)
        router.run()
    finally:
        router.close()
    return 0
