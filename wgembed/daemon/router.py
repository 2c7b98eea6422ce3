"""`wgembed run`: all interfaces of a router in one process, from its configuration.

SIGHUP, or a change of the file, applies the difference between the current configuration and the new one. If the new one
is not valid, or cannot be applied (a port in use, a full table), that is logged and nothing changes. SIGINT and SIGTERM
remove everything that was added, except for what `kill_switch` needs until the next start, and end the process.
"""

import gc
from struct import unpack_from

from ..config import keys, openwrt_network, uci
from ..config import options as config_module
from ..errors import TOOLS_PACKAGE, UserError, cause
from ..protocol.constants import MAX_PEERS
from ..runtime import abi, drop_privileges, durable, folders, netconf, pause, rtnetlink, system
from ..runtime import log as log_module
from ..runtime.link import News
from ..runtime.rtnetlink_abi import RTPROT_KILL_SWITCH
from ..uapi.server import is_served
from . import network, network_plan
from .endpoints import Names
from .outside_routes import OutsideRoutes
from .process import RETRY_MS, Process, run_to_end
from .router_interface import RouterInterface
from .router_options import do_without_marks, use_offloads
from .timestamps import Timestamps

# Changes of routes or files come in groups: the delay before they are handled, in ms.
_SETTLE_MS = 200
# The same after messages of the kernel were lost, because there are many.
_SETTLE_AFTER_LOSS_MS = 1000


class Router(Process):
    """The process, its interfaces and their shared state.

    directory  the directory of the configuration
    change     the unconfirmed.Unconfirmed in use, or None
    problem    the sentence for `status` about the configuration, "" if all is well
    """

    package = config_module.PACKAGE
    explain = None  # explain(interface, key) returns what `wgembed diagnose` says of a peer, as bytes: for the history
    only = ""  # the name of the only interface, which netifd manages: see netifd.py
    # Places in the tables, if the configuration does not need more
    least_peers = system.files.USUAL_PEERS
    least_prefixes = system.files.USUAL_PREFIXES
    spare_peers = 16

    def __init__(self, directory):
        self.directory = directory
        self._usual_level = log_module.level_from(system.files.getenv("LOG_LEVEL"))
        self.log = log_module.Log("run", self._usual_level)
        news = News()
        hooks = self._start_hooks()
        drop_privileges(self.log)
        self._warned = []
        self._is_same_file = False  # in a reload: the configuration that is in use came from the same file
        self._kept = self.problem = ""
        self.change = None
        self.router_interfaces = []
        config = self._first_config()
        process = system.process
        super().__init__(self._peers(config), (process.SIGHUP, process.SIGINT, process.SIGTERM), news)
        self.tell_of_fastpath(self.log)
        self.run_directory = folders.run()
        self._state_directory = folders.state()
        self._changes = self.run_directory + "/change"
        for path in (self.run_directory, self._state_directory, self._changes):
            try:
                _make_directories(path)
            except OSError as e:
                self.log.error("cannot create %s: %s" % (path, cause(e)))
        self.netconf = netconf.NetConf(self.loop, self.log)
        self.host_names = Names(self.loop, self.alarms, self.log)
        # Each process needs a separate high-water mark.
        clock = "/clock." + self.only if self.only else "/clock"
        self._save = durable.Saver(self.loop, self.log)
        self.timestamps = Timestamps(self._state_directory + clock, self.run_directory + clock, self._save, self.log)
        self.watch = self._make_watch(config, hooks)
        self._ip = rtnetlink.RtNetlink()
        self.outside = OutsideRoutes(self._ip)
        self.has_netifd = openwrt_network.has_netifd()
        self._way_out = None
        self.seen = self.identity()
        if not self.only and not self.watch_directory(directory, abi.FILES_CHANGED, self._on_directory_change):
            self.log.error("cannot watch %s for changes: send SIGHUP after each change" % directory)
        if not self.only:
            self._watch_changes()
        try:
            if not self.only:
                kept = [interface.name for interface in config.interfaces if interface.kill_switch]
                network.clear_up(self.run_directory, is_served, self.netconf, lambda name: name not in kept)
            self.netconf.finish()
            self._apply(config)
            self.netconf.finish()
        except BaseException:
            self.close()
            raise
        if not self.problem:
            self._keep()
        if self.watch is not None:
            self.watch.started()

    # The smallest package is without these modules.

    def _start_hooks(self):
        """Return the watch.hooks.Hooks. Their programs need privileges that the daemon drops."""
        try:
            from .watch.hooks import Hooks
        except ImportError:
            return None
        return Hooks("%s/%s" % (self.directory, config_module.PACKAGE), self.log)

    def _make_watch(self, config, hooks):
        try:
            from .watch.peer_watch import PeerWatch
        except ImportError as e:
            tell = self.log.note if config.on_event else self.log.verbose
            tell("no history and no hooks, which are in the package %s: %s" % (TOOLS_PACKAGE, e))
            return None
        configuration = "%s/%s" % (self.directory, self.package)
        return PeerWatch(self, config, hooks, configuration, self._state_directory, self._save)

    def _peers(self, config):
        """Return the size of the peer table: max_peers, or the number of peers and some more, but `least_peers` at least."""
        total = 0
        for interface in config.interfaces:
            total += interface.max_peers or len(interface.peers) + self.spare_peers
        return min(max(total, self.least_peers), MAX_PEERS)

    def level_for(self, interface):
        """Return the log level of the interface: that of its section, or of the globals, or of the environment."""
        return self.log.level if interface.log_level is None else interface.log_level

    def run(self):
        self.log.verbose("ready")
        self.loop.run()

    def close(self):
        for router_interface in self.router_interfaces:
            router_interface.close()
        self.router_interfaces.clear()
        self.host_names.close()
        self.netconf.finish()
        if self.watch is not None:
            self.watch.close()
        self.log.verbose("ended")

    # Configuration

    def _load(self):
        """Return the configuration in the file; ConfigError if it has mistakes."""
        return self._prepared(config_module.load(self.directory) if self.change is None else self.change.load())

    def _prepared(self, config):
        config.warnings += do_without_marks(config)
        if not self._is_same_file:
            # Reading leaves many small free pieces. The objects that are made next shall use these and not extend the heap.
            gc.collect()
        if config.warnings != self._warned:
            for warning in config.warnings:
                if warning not in self._warned:
                    self.log.note(warning)
            self._warned = config.warnings
        return config

    def _first_config(self):
        """Return the configuration for the start: if the file has mistakes, the last good one, or the part that is good."""
        try:
            return self._load()
        except config_module.ConfigError as e:
            from ..config import last_good  # without a mistake, the module would waste memory

            found = last_good.choose(self.directory)
            if found is None:
                raise
            config, name = found
            self._reject(e, "starting with " + name)
        return self._prepared(config)

    def _reject(self, e, instead):
        for problem in e.problems:
            self.log.error(problem)
        self.log.error("configuration rejected, " + instead)
        more = len(e.problems) - 1
        which = e.problems[0] + ("; %d more in the log" % more if more else "")
        self._tell("configuration rejected, %s: %s" % (instead, which))

    def _tell(self, problem):
        """Set the sentence for `status` about the configuration, "" if all is well."""
        self.problem = problem
        for router_interface in self.router_interfaces:
            router_interface.interface.problems["config"] = problem

    def _keep(self):
        """Keep the configuration for a start with a mistake, after it was applied."""
        if self.change is not None:
            return
        now = self.seen, system.files.identity("%s/%s" % (uci.SAVE_DIRECTORY, config_module.PACKAGE))
        if now != self._kept:
            self._kept = now
            self.alarms.set("keep", system.clock.now() + _SETTLE_MS, self._keep_now)

    def _keep_now(self):
        try:
            self._save(self._state_directory + "/last-good", self._pack, False, self._keep_again)
        except OSError as e:
            self.log.error("cannot keep the configuration: %s" % cause(e))
            self._keep_again()

    def _pack(self):
        # In the child process, where the descriptors of packets are closed, and their numbers can be those of files.
        pause.use(None)
        from ..config import last_good

        return last_good.pack(self.directory)

    def _keep_again(self):
        """The configuration could not be kept: the next reload tries again."""
        self._kept = ""

    def identity(self):
        return system.files.identity("%s/%s" % (self.directory, self.package))

    def reload(self):
        """Apply the file as it is now. If it has mistakes, they are logged, and nothing changes.

        Return the number of interfaces in the file, 0 if it is rejected.
        """
        if self.change is not None and self.change.base != self.identity():
            self.change.end("%s/%s has changed" % (self.directory, self.package))
        if self.change is None and uci.is_being_written(self.package, self.directory):
            # A writer can hold the lock for long, and packets must not wait.
            self.alarms.hasten("reload", system.clock.now() + _SETTLE_MS, self.reload)
            return 0
        seen = self.identity()
        self._is_same_file = seen is not None and seen == self.seen
        wanted = 0
        if not self._is_same_file:
            self.seen = seen
            system.heap.reserve()
        try:
            config = self._load()
            wanted = len(config.interfaces)
            self._apply(config)
        except config_module.ConfigError as e:
            self._reject(e, "keeping the previous one")
            if self.watch is not None:
                self.watch.rejected()
        except (UserError, OSError, MemoryError) as e:
            why = cause(e) if isinstance(e, OSError) else "out of memory" if isinstance(e, MemoryError) else e
            self._tell("cannot apply the configuration, keeping the previous one: %s" % why)
            self.log.error(self.problem)
        else:
            self._tell("")
            self._keep()
            if self.watch is not None:
                self.watch.reloaded(config)
            self.netconf.after(self._tell_applied)
        finally:
            if not self._is_same_file:
                system.heap.release()
        return wanted

    def _tell_applied(self):
        """Log that the configuration is applied, if no plan waits until the one before it is."""
        if any(one.network.is_waiting for one in self.router_interfaces):
            self.netconf.after(self._tell_applied)
        else:
            self.log.verbose("configuration applied")

    def _apply(self, config):
        """Apply the configuration. All steps that can fail come first, and are undone if one fails."""
        level = self.log.level
        self.log.level = self._usual_level if config.log_level is None else config.log_level
        try:
            self._check_capacity(config)
            self._prepare_keys(config)
            self._go_over(config)
        except BaseException:
            self.log.level = level
            raise
        finally:
            for interface in config.interfaces:
                interface.forget_secrets()

    def _go_over(self, config):
        old = {router_interface.name: router_interface for router_interface in self.router_interfaces}
        new = [interface for interface in config.interfaces if interface.name not in old]
        stay = [interface for interface in config.interfaces if interface.name in old]
        for interface in new:
            if is_served(interface.name):
                raise UserError("another program already serves interface %s" % interface.name)
        before = [(router_interface, router_interface.interface.listen_port) for router_interface in self.router_interfaces]
        self._take_ports(config, stay, before)
        made = []
        try:
            for interface in new:
                made.append(self._make(interface))
            levels = [self.level_for(interface) for interface in config.interfaces]
            self.tell_of_handshakes(log_module.VERBOSE in levels)
        except (UserError, OSError, MemoryError):
            for router_interface in made:
                self._drop(router_interface)
            self._give_ports_back(before)
            raise
        use_offloads(self, config)
        fresh = list(made)
        now = system.clock.now()
        for name, router_interface in old.items():
            if not any(interface.name == name for interface in stay):
                self._drop(router_interface, for_good=True)
        for interface in stay:
            router_interface = old[interface.name]
            before, router_interface.config = router_interface.config, interface
            router_interface.log.level = self.level_for(interface)
            if router_interface.set_up(before, now):
                made.append(router_interface)
            elif self._is_same_file:
                router_interface.config = before  # so that no long-lived object takes the place of frames: see runtime/heap
        for router_interface in fresh:
            router_interface.set_up(None, now)
        self.follow(made)  # a link that its owner set down stays down, if its configuration is the same

    def _check_capacity(self, config):
        others = self.tables.used - sum([router_interface.peers_present() for router_interface in self.router_interfaces])
        if sum([len(interface.peers) for interface in config.interfaces]) + others > self.tables.capacity:
            raise UserError(
                "too many peers: the daemon started with places for %d; set max_peers and restart" % self.tables.capacity
            )
        for router_interface in self.router_interfaces:
            for interface in config.interfaces:
                if interface.name == router_interface.name:
                    router_interface.check_capacity(interface)

    def _prepare_keys(self, config):
        """Get a private key for each interface. A missing key is generated and stored."""
        for interface in config.interfaces:
            if interface.private_key is None:
                interface.private_key = self._key_for(interface)

    def _key_for(self, interface):
        private = keys.make(True)
        text = keys.encode(private)
        if interface.key_file:
            try:
                durable.atomic_write(interface.key_file, text + b"\n")
            except OSError as e:
                raise UserError("%s: cannot write %s: %s" % (interface.where, interface.key_file, cause(e))) from None
        else:
            config_module.store_key(interface, text, self.directory, self.package)
            self.seen = self.identity()
        self.log.note("generated a private key for %s" % interface.where)
        return private

    def _take_ports(self, config, stay, before):
        """Listen on all new ports, or on none of them."""
        wanted = {interface.listen_port: interface.name for interface in config.interfaces if interface.listen_port}
        for router_interface, port in before:
            if wanted.get(port, router_interface.name) != router_interface.name:
                router_interface.interface.release_port()
        by_name = {router_interface.name: router_interface for router_interface, _ in before}
        try:
            # 0 means any port: these interfaces come last, and keep the port that they have.
            for interface in sorted(stay, key=lambda one: not one.listen_port):
                listener = by_name[interface.name].interface
                listener.set_listen_port(interface.listen_port or listener.listen_port)
        except OSError as e:
            self._give_ports_back(before)
            raise UserError(
                "%s: cannot use port %d as listen_port: %s" % (interface.where, interface.listen_port, cause(e))
            ) from None

    def _give_ports_back(self, before):
        for router_interface, port in before:
            if router_interface.interface.listen_port != port:
                router_interface.interface.release_port()
        for router_interface, port in before:
            try:
                router_interface.interface.set_listen_port(port)
            except OSError as e:
                self.log.error("cannot return to the previous port %d: %s" % (port, cause(e)))

    def _make(self, config):
        slots = [router_interface.slot for router_interface in self.router_interfaces]
        slot = 0
        while slot in slots:
            slot += 1
        router_interface = RouterInterface(self, config, slot)
        self.router_interfaces.append(router_interface)
        self.interfaces.append(router_interface.interface)
        router_interface.interface.problems["config"] = self.problem
        router_interface.interface.set_listen_port(config.listen_port)
        return router_interface

    def _drop(self, router_interface, for_good=False):
        self.router_interfaces.remove(router_interface)
        self.interfaces.remove(router_interface.interface)
        router_interface.close(for_good)
        self.fit_arena()

    # Events

    def on_routes(self, kind, message, start, end):
        super().on_routes(kind, message, start, end)
        if kind in (abi.RTM_NEWROUTE, abi.RTM_DELROUTE):
            self._on_route(kind, message, start, end)
        elif kind in (abi.RTM_NEWRULE, abi.RTM_DELRULE):
            self.follow_soon()
        elif not kind:
            self.outside.forget()
            for router_interface in self.router_interfaces:
                router_interface.network.doubt()
            self.follow_soon(_SETTLE_AFTER_LOSS_MS)
        elif kind in (abi.RTM_NEWNEXTHOP, abi.RTM_DELNEXTHOP):
            if self.outside.has_nexthops:
                self._doubt_outside()
        elif end - start >= abi.IFADDRMSG_SIZE:
            self._on_link_or_address(kind, unpack_from("i", message, start + 4)[0])

    def _on_route(self, kind, message, start, end):
        """Follow a route that matters, or that was ours. Others must cost little: they can be many."""
        if end - start < abi.RTMSG_SIZE:
            return
        routes = self.outside.handle(message, start, end)
        if kind == abi.RTM_DELROUTE:
            body = message[start:end]
            index = rtnetlink.route_link(body)
            if body[5] == RTPROT_KILL_SWITCH:
                self._doubt_outside()
            for router_interface in self.router_interfaces:
                if router_interface.network.is_anything_held and router_interface.is_held(body):
                    self.follow_soon(0)
                if router_interface.lost_route(index, body, routes):
                    self.follow_soon()
        if routes:
            # Between a new default route and ours, no packet must leave outside the tunnel for long.
            is_urgent = kind == abi.RTM_NEWROUTE and not all(route.length for route in routes)
            self.follow_soon(0 if is_urgent else _SETTLE_MS)

    def _on_link_or_address(self, kind, index):
        """Follow a link on the route to an endpoint, an address that was ours, and the links that options name."""
        own = [one for one in self.router_interfaces if one.interface.index == index]
        if own:
            if kind == abi.RTM_DELADDR:
                own[0].network.doubt()
                self.follow_soon()
            return
        if kind != abi.RTM_NEWADDR and index in self.outside.links():
            # The kernel does not report the routes of IPv4 that it removes together with a link, or with its last address.
            self._doubt_outside()
        elif any(one.uses_links() or one.network.is_anything_held for one in self.router_interfaces):
            self.follow_soon()

    def _doubt_outside(self):
        """Read the routes outside our links again, and see whether ours among them still exist."""
        self.outside.forget()
        for router_interface in self.router_interfaces:
            router_interface.network.doubt(only_outside=True)
        self.follow_soon()

    def is_inside(self, packed):
        """Whether the address is in the allowed IPs of a peer, so that routes can lead into a tunnel."""
        for router_interface in self.router_interfaces:
            allowed = router_interface.interface.device.allowed
            if (allowed.lookup4 if len(packed) == 4 else allowed.lookup6)(packed, 0) >= 0:
                return True
        return False

    def follow_soon(self, delay=_SETTLE_MS):
        """Read the routes of the machine after `delay` ms, when they no longer change."""
        self.alarms.hasten("network", system.clock.now() + delay, self.follow)

    def follow(self, raised=()):
        """Adapt the networks of all interfaces to the current routes. The links of those in `raised` are set up."""
        try:
            self._follow_network(raised)
        except OSError as e:
            self.log.error("cannot set up addresses and routes now, trying again: %s" % cause(e))
            self.follow_soon(RETRY_MS)

    def _follow_network(self, raised):
        self.outside.watch([packed for one in self.router_interfaces for packed in one.watched()])
        for router_interface in self.router_interfaces:
            router_interface.follow_tunlink()
            router_interface.follow_links()
            router_interface.follow_network(self._ip, router_interface in raised)
        self.follow_way_out()

    def follow_way_out(self):
        """If the machine is in another network, look all names up again, and call the peers that do not answer."""
        tunnels = [router_interface.interface.index for router_interface in self.router_interfaces]
        way_out = network_plan.way_out(self._ip, tunnels, self.outside)
        if way_out != self._way_out:
            if self._way_out is not None and self.watch is not None:
                self.watch.way_changed(way_out, self._ip)
            self._way_out = way_out
            self.host_names.all_again()
            for router_interface in self.router_interfaces:
                router_interface.network_changed()

    def on_signal(self, number):
        process = system.process
        if number == process.SIGHUP:
            self.log.verbose("reload")
            self.reload()
        else:
            self.log.verbose("received signal %d" % number)
            self.loop.stop()

    def _on_directory_change(self):
        self.alarms.hasten("files", system.clock.now() + _SETTLE_MS, self._on_files)

    def _on_files(self):
        if self.identity() != self.seen:
            self.log.verbose("the configuration has changed")
            self.reload()

    def _watch_changes(self):
        """Wait for changes that need a confirmation. One that waited before the start is over."""
        try:
            system.files.remove(self._changes + "/config")
            self.log.note("a change of the configuration is over, because the service was restarted before it was confirmed")
        except OSError:
            pass  # the usual case
        if system.files.exists(self._changes):
            self.watch_directory(self._changes, abi.FILES_CHANGED, self._on_change)

    def _on_change(self):
        if system.files.exists(self._changes + "/request"):
            system.heap.reserve()
            try:
                from . import unconfirmed

                unconfirmed.handle_request(self, self._changes)
            except ImportError:
                self.log.note("cannot handle `apply`: the package %s is not installed" % TOOLS_PACKAGE)
            finally:
                system.heap.release()

    def on_endpoint(self, endpoint):
        """The address of an Endpoint is first known, or changes. Only netifd must know."""

    def on_lost(self, router_interface):
        """Another program deleted the link of a configured interface: create the interface again."""
        self._drop(router_interface)
        self.alarms.set("lost", system.clock.now() + RETRY_MS // 5, self._restore)

    def _restore(self):
        wanted = self.reload()
        if len(self.router_interfaces) < wanted:
            self.alarms.set("lost", system.clock.now() + RETRY_MS, self._restore)


def _make_directories(path):
    parent = path.rpartition("/")[0]
    if parent:
        system.files.make_directory(parent, 0o755)
    system.files.make_directory(path, 0o700)


def serve(directory, ready, explain=None):
    """Serve the configured interfaces until the process ends; return the exit status.

    ready    ready(peers) is called when all interfaces exist, with the number of peers that can still be added
    explain  see Router; it is called in a child process
    """
    router = Router(directory)
    router.explain = explain
    return run_to_end(router, router.tables.capacity - router.tables.used, ready)
