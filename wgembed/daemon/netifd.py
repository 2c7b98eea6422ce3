"""`wgembed run --netifd INTERFACE`: serves one interface of /etc/config/network for OpenWrt's network daemon, netifd.

netifd sets addresses, routes, rules and MTU, and sets the link up and down. So the daemon only makes the link, and carries
packets. SIGHUP, which netifd's renew sends, applies the difference between the sections then and now. When another program
deletes the link, the daemon ends, and netifd starts it again: a new link would have none of netifd's addresses.

The protocol handler (package/wgembed-netifd/files/wireguard.sh) waits for a line in the named pipe WGEMBED_REPORT. It is
"ready", or a sentence that says why not, which is in a file as well, because netifd ends the handler together with the
daemon. WGEMBED_ENDPOINT_HOOK is a program that is called with the interface, the IP address and the name of an endpoint,
when the name has been looked up: netifd then keeps a route to it, and adds the peer's routes. The handler knows the
endpoints that are addresses.
"""

from ..config import options as config_module
from ..config import uci
from ..errors import UserError, cause, complain
from ..runtime import system
from ..runtime.child import Child
from .process import run_to_end
from .router import Router

# Exit statuses, besides 1 for what is not possible now. With 0, after a signal, netifd starts the daemon again at once; so
# it does after SIGKILL.
REFUSED, LOST = 2, 3

PACKAGE = "network"
# The options of an interface that netifd leaves to the protocol.
_NOT_OF_NETIFD = b"proto", b"private_key", b"listen_port", b"fwmark"
_HOOK = "WGEMBED_ENDPOINT_HOOK"
_REPORT = "WGEMBED_REPORT"
_KNOWN = 64  # addresses that netifd need not be asked for again; a name can have new ones for years


class NetifdRouter(Router):
    """A router of one interface, for netifd. `status` is the exit status."""

    def __init__(self, directory, name):
        self.only = name
        self.status = 0
        self._hook = system.files.getenv(_HOOK)
        self._told = []  # addresses and names that the hook was called with
        self._calls = []  # those that it must be called with
        self._call = None
        self._is_too_small = False
        super().__init__(directory)

    # In place of the router's

    package = PACKAGE
    # Each interface is a process, which must be small. If there are more later, netifd starts it again.
    least_peers, least_prefixes, spare_peers = 8, 64, 4

    def _load(self):
        config = load(self.only, self.directory)
        if not config.interfaces:
            raise config_module.ConfigError(["%s/%s has no interface %s" % (self.directory, PACKAGE, self.only)])
        _take_globals(config, self.directory)
        return self._prepared(config)

    _first_config = _load  # netifd starts it again when the file is corrected

    def _keep(self):
        """Do nothing: netifd keeps no interface with a mistake, either."""

    def _follow_network(self, raised):
        for router_interface in self.router_interfaces:
            interface = router_interface.interface
            if interface.fwmark != router_interface.config.fwmark:
                interface.set_fwmark(router_interface.config.fwmark)
            router_interface.follow_links()
        self.follow_way_out()

    def on_lost(self, router_interface):
        self.log.error("the interface was deleted; netifd starts it again")
        self.status = LOST
        self.loop.stop()

    def _check_capacity(self, config):
        try:
            super()._check_capacity(config)
        except UserError:
            self.log.verbose("the tables are too small now; netifd starts the interface again")
            self._is_too_small = True
            self.loop.stop()
            raise

    def on_endpoint(self, endpoint):
        found = system.inet.format_ip(endpoint.address), endpoint.host
        if self._hook and endpoint.is_name and found not in self._told:
            self._told = self._told[1 - _KNOWN :] + [found]
            self._calls.append(found)
            self._call_hook()

    def reload(self):
        wanted = super().reload()
        if self.problem and not self._is_too_small:
            report("refused: " + self.problem)
        elif wanted:
            report("ready")
        return wanted

    # The hook

    def _call_hook(self):
        if self._call is not None or not self._calls:
            return
        try:
            self._call = Child(*system.process.spawn_program([self._hook, self.only] + list(self._calls.pop(0))))
        except OSError as e:
            self.log.error("cannot call %s: %s" % (self._hook, cause(e)))
            return
        self.loop.watch(self._call.fd, self._on_hook)

    def _on_hook(self, events):
        if self._call.advance():
            self.loop.forget(self._call.fd)
            self._call.end()
            self._call = None
            self._call_hook()


def load(name, directory):
    """Return the Config of one interface and its peers in the file of netifd; ConfigError if they have mistakes.

    The whole file need not be valid UCI: netifd passes over such lines, too.
    """
    filename = "%s/%s" % (directory, PACKAGE)
    try:
        package = uci.load(PACKAGE, False, directory)
    except OSError as e:
        raise config_module.ConfigError(["cannot read %s: %s" % (filename, cause(e))]) from None
    kind = (config_module.PEER_TYPE + name).encode()
    own = [section for section in package.sections if section.kind == b"interface" and section.name == name.encode()]
    for section in own:
        section.options = [option for option in section.options if option.name in _NOT_OF_NETIFD]
    package.sections = own + [section for section in package.sections if section.kind == kind]
    return config_module.read(package, filename)


def _take_globals(config, directory):
    """Take the options of events from the section globals of /etc/config/wgembed, if there are any without a mistake."""
    try:
        package = uci.load(config_module.PACKAGE, False, directory)
        package.sections = [section for section in package.sections if section.kind == b"globals"]
        found = config_module.read(package, "")
    except (OSError, config_module.ConfigError):
        return
    config.history, config.outage_minutes = found.history, found.outage_minutes


def report(text, is_end=False):
    """Write to the protocol handler that the daemon is ready, or why not; `is_end`: and so the daemon ends."""
    path = system.files.getenv(_REPORT)
    line = text.replace("\n", "; ") + "\n"
    try:
        if path and is_end:
            system.files.write_new(path + ".error", line.encode())
        if path:
            system.files.write_file(path, line)
    except OSError:
        return  # nobody waits any more


def serve(directory, name, ready, explain=None):
    """Serve the interface `name` until the process ends; return the exit status. For the others, see router.serve."""

    def ready_for(peers):
        ready(peers)
        report("ready")

    try:
        router = NetifdRouter(directory, name)
        router.explain = explain
    except config_module.ConfigError as e:
        report("refused: %s" % e, True)
        complain(e.message())
        return REFUSED
    except (UserError, OSError, MemoryError) as e:
        why = "out of memory" if isinstance(e, MemoryError) else str(e)
        if isinstance(e, OSError):
            why = "cannot start: " + cause(e)
        report(why, True)
        raise
    return run_to_end(router, router.tables.capacity - router.tables.used, ready_for) or router.status
