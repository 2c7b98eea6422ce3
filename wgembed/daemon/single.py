"""The daemon for one interface: `wgembed [-f] IFNAME`.

It replaces `wireguard-go [-f] IFNAME`. It ends on SIGINT or SIGTERM, when the tunnel device is lost, and when its control
socket is deleted.
"""

from ..errors import UserError
from ..runtime import abi, drop_privileges, system
from ..runtime import log as log_module
from ..runtime.link import News
from ..runtime.tun_device import is_valid_name
from ..uapi.server import ControlServer, is_served
from . import capacity
from .interface import Interface
from .process import Process, run_to_end


class Daemon(Process):
    """A process that serves one interface."""

    def __init__(self, name, level):
        self.log = log_module.Log(name, level)
        news = News()
        drop_privileges(self.log)
        if not is_valid_name(name):
            raise UserError("'%s' is not a valid interface name" % name)
        if is_served(name):
            raise UserError("another program already serves interface %s" % name)
        peers = capacity.peers()
        super().__init__(peers, (system.process.SIGINT, system.process.SIGTERM), news)
        self.tell_of_fastpath(self.log)
        self.tell_of_handshakes(level >= log_module.VERBOSE)
        self._server = None
        try:
            prefixes = capacity.prefixes(peers)
            interface = Interface(name, self, self, prefixes, self.log)
            self.interfaces.append(interface)
            self._server = ControlServer(interface, self.loop, self.alarms, self.log)
            if not self.watch_directory(self._server.path.rpartition("/")[0], abi.NAMES_GONE, self._on_directory_change):
                self.log.error("cannot watch the control socket: the daemon does not end when the socket is deleted")
            interface.follow_link()
        except (OSError, UserError):
            self.close()
            raise

    def run(self):
        """Serve until the loop is stopped."""
        self.log.verbose("ready")
        self.loop.run()

    def close(self):
        if self._server is not None:
            self._server.close()
        for interface in self.interfaces:
            interface.close()
        self.log.verbose("ended")

    def on_signal(self, number):
        self.log.verbose("received signal %d" % number)
        self.loop.stop()

    # Owner of the interface

    def on_lost(self):
        self.loop.stop()

    def on_renamed(self):
        """The control socket is called as the interface is."""
        self._server.rename(self.interfaces[0].name)

    def on_no_port(self):
        self.retry_ports()

    def on_up(self):
        """Do nothing: other programs set addresses and routes."""

    on_down = on_flapped = on_moved = on_up

    def on_source(self, peer):
        """Do nothing: other programs set routes to endpoints."""

    def on_trial_answered(self, peer, now):
        """Return False: only a router has peers with several endpoints."""
        return False

    def on_unanswered(self, peer):
        """Do nothing: only `wg` sets endpoints."""

    def _on_directory_change(self):
        if not self._server.exists():
            self.log.verbose("the control socket was deleted")
            self.loop.stop()


def serve(name, ready):
    """Serve the interface until the process ends; return the exit status.

    ready  ready(peers) is called when the control socket exists, with the number of peers that can be added
    """
    level = log_module.level_from(system.files.getenv("LOG_LEVEL"))
    daemon = Daemon(name, level)
    return run_to_end(daemon, daemon.tables.capacity, ready)
