"""`wgembed run --netifd INTERFACE`: what the daemon does, and leaves to netifd, on either runtime."""

import os
import re
import signal
import time

import pytest

from ..lab import net, traffic
from ..lab.router import Keys, interface, peer, rest
from .test_network import everything

LOST, REFUSED = 3, 2


class Served:
    """A daemon for one interface of /etc/config/network, and the end of the report that the protocol handler reads."""

    nonsense = "nonsense\n"

    def __init__(self, harness, pair):
        self.harness, self.pair = harness, pair
        self.place, self.name, self.folder = harness.near.place, pair.name, harness.folder / "netifd"
        for folder in ("config", "state", "run"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        self.network = self.folder / "config/network"
        self.hooked = self.folder / "hooked"
        hook = self.folder / "hook"
        hook.write_text(f'#!/bin/sh\necho "$*" >>{self.hooked}\n')
        hook.chmod(0o755)
        self.report = self.folder / "report"
        os.mkfifo(self.report)
        self._reading = os.open(self.report, os.O_RDWR | os.O_NONBLOCK)
        self.environment = {
            **os.environ, "LOG_LEVEL": "verbose", "WGEMBED_REPORT": str(self.report), "WGEMBED_ENDPOINT_HOOK": str(hook),
            "WGEMBED_STATE_DIR": str(self.folder / "state"), "WGEMBED_RUN_DIR": str(self.folder / "run"),
        }  # fmt: skip
        self.child = None

    def write(self, *sections):
        """Sections as they are in /etc/config/network, among others and with lines that are no UCI."""
        others = "config interface 'lan'\n\toption proto 'static'\n\toption device 'br-lan'\n" + self.nonsense
        self.network.write_text(others + "\n".join(sections))

    def start(self, *sections):
        """Start the daemon, and return its report."""
        self.write(*sections)
        command = [*self.harness.command, "run", "--netifd", self.name, "--config-dir", str(self.network.parent)]
        self.child = self.place.spawn(*command, env=self.environment)
        return net.poll(self.read, 10, what="a report")

    def read(self):
        try:
            return os.read(self._reading, 4096).decode().strip()
        except BlockingIOError:
            return ""

    def raise_(self):
        """What netifd does when the daemon is ready."""
        for address in ("10.77.0.1/24", "fd77::1/64"):
            self.place.ip("address", "add", address, "dev", self.name)
        self.place.ip("link", "set", self.name, "up")

    def renew(self, *sections):
        before = self.child.text().count("configuration applied")
        self.write(*sections)
        os.kill(self.child.pid, signal.SIGHUP)
        net.poll(lambda: self.child.text().count("configuration applied") > before, 5, what="the renewal")

    def hooks(self):
        return self.hooked.read_text().split("\n")[:-1] if self.hooked.exists() else []

    def close(self):
        os.close(self._reading)
        if self.child:
            print(self.child.text())
            self.child.stop()


@pytest.fixture
def served(harness):
    served = Served(harness, harness.pair())
    yield served
    served.close()


def of(served, **options):
    """The section of the interface, with options that only netifd heeds."""
    given = {"proto": "wireguard", "private_key": served.pair.keys.private, "listen_port": 51820, "auto": 0, "metric": 7,
             "addresses": ["10.77.0.1/24"], "dns": "10.0.0.1", "ip4table": 99, "defaultroute": 0, **options}  # fmt: skip
    return interface(served.name, **given)


def test_only_packets_are_its_business(served):
    """Addresses, routes, rules, MTU, and whether the link is up, are netifd's."""
    served.pair.start_far()
    before = everything(served.place)
    section = of(served, fwmark="0x77"), served.pair.peer(allowed_ips=["10.77.0.0/24", "0.0.0.0/0"], route_allowed_ips=1)
    assert served.start(*section) == "ready"
    rest(0.5)
    assert everything(served.place) == before
    assert "UP" not in served.place.ip("link", "show", served.name).split(">")[0]
    assert "mtu 1420" in served.place.ip("link", "show", served.name)
    assert "ignored" not in served.child.text(), "no notes about what netifd does"
    served.raise_()
    traffic.reach(served.place, "10.77.0.2")
    assert served.place.run("wg", "show", served.name, "fwmark")[1].strip() == "0x77"
    served.place.ip("link", "set", served.name, "down")
    served.renew(*section)
    rest(0.3)
    assert "UP" not in served.place.ip("link", "show", served.name).split(">")[0]
    assert [path.name for path in (served.folder / "state").iterdir()] == [f"clock.{served.name}"]


def test_hooks_and_history_are_those_of_the_router(served):
    """The options are in the other file, and the records have the name of the interface."""
    told = served.folder / "told"
    program = served.folder / "on-event"
    program.write_text(f'#!/bin/sh\necho "$ACTION $INTERFACE" >>{told}\n')
    program.chmod(0o755)
    options = "config globals\n\toption on_event '%s'\n\toption outage_minutes '2'\n" % program
    (served.network.parent / "wgembed").write_text(options)
    served.pair.start_far()
    served.start(of(served), served.pair.peer())
    served.raise_()
    traffic.reach(served.place, "10.77.0.2")
    net.poll(lambda: told.exists() and told.read_text() == f"up {served.name}\n", 5, what="the call")
    [records] = (served.folder / "run").glob(f"history.{served.name}")
    kinds = [line.split("\t")[5] for line in records.read_text().splitlines()]
    assert kinds == ["start", "up"]
    served.child.stop()
    assert (served.folder / "state/history").read_text().count(f"\t{served.name}\tstop\t") == 1


def test_a_renewal_keeps_sessions(served):
    """Peers come, change and go; not one ping of another peer is lost."""
    served.pair.start_far()
    served.start(of(served), served.pair.peer())
    served.raise_()
    traffic.reach(served.place, "10.77.0.2")
    pings = served.place.spawn("ping", "-n", "-i", "0.02", "-c", "100", "-W", "2", "10.77.0.2")
    new = peer(served.name, public_key=Keys().public, allowed_ips="10.99.0.0/16")
    for sections in ((new,), (new.replace("10.99", "10.98"),), ()):
        served.renew(of(served), served.pair.peer(), *sections)
    assert traffic.parse_pings(pings.finish(30)).lost == 0
    # A file with a mistake changes nothing.
    served.write(of(served, listen_port="many"), served.pair.peer())
    os.kill(served.child.pid, signal.SIGHUP)
    served.child.expect("configuration rejected, keeping the previous one", 5)
    assert traffic.ping(served.place, "10.77.0.2", count=2).received == 2


def test_it_ends_with_its_link(served):
    """A new link would have none of netifd's addresses."""
    assert served.start(of(served), served.pair.peer()) == "ready"
    served.place.ip("link", "del", served.name)
    assert served.child.wait(5) == LOST


def test_endpoints_are_told(served):
    """Names, when they are found: once each, and again after a renewal. The handler knows those that are addresses."""
    names = served.harness.names()
    names.set("far.test 192.0.2.2\nmore.test 203.0.113.10\n")
    other = peer(served.name, public_key=Keys().public, endpoint_host="203.0.113.9", allowed_ips="10.99.0.0/16")
    twin = peer(served.name, public_key=Keys().public, endpoint_host="far.test", allowed_ips="10.98.0.0/16")
    by_name = served.pair.peer(0, endpoint_host="far.test", endpoint_port=served.pair.far.port)
    served.environment["PATH"] = os.environ["PATH"]
    served.harness.command = [*names.prefix, *served.harness.command]
    assert served.start(of(served), by_name, other, twin) == "ready"
    net.poll(served.hooks, 5, what="the call of the hook")
    rest(0.5)
    assert served.hooks() == [f"{served.name} 192.0.2.2 far.test"]
    served.renew(of(served), by_name, other, peer(served.name, public_key=Keys().public, endpoint_host="more.test"))
    net.poll(lambda: f"{served.name} 203.0.113.10 more.test" in served.hooks(), 5, what="the new peer's")


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"private_key": "short"}, r"refused: .*network:\d+: interface 'NAME', option private_key: .*"),
        ({"listen_port": "many"}, r"refused: .*option listen_port: expected a number from 0 to 65535, got 'many'"),
    ],
)
def test_what_is_refused(served, options, sentence):
    report = served.start(of(served, **options), served.pair.peer())
    assert re.fullmatch(sentence.replace("NAME", served.name), report)
    assert served.child.wait(5) == REFUSED


def test_an_interface_that_is_not_there(served):
    report = served.start(interface("another", proto="wireguard"))
    assert report == f"refused: {served.network} has no interface {served.name}"


def test_what_cannot_be_now(served):
    """A port that another program has: the sentence, and status 1, so that it is tried again."""
    with served.place.socket(2, 2) as taken:
        taken.bind(("0.0.0.0", 51820))
        report = served.start(of(served), served.pair.peer())
        assert "cannot use port 51820 as listen_port" in report or report == "ready"
        if report != "ready":
            assert served.child.wait(5) == 1


def test_a_key_is_made_in_the_file_of_netifd(served):
    served.pair.keys.private = "generate"
    served.nonsense = ""  # uci, too, changes no file with mistakes
    assert served.start(of(served), served.pair.peer()) == "ready"
    time.sleep(0.1)
    key = re.search(r"option private_key '?([A-Za-z0-9+/]{43}=)", served.network.read_text())[1]
    assert served.place.run("wg", "show", served.name, "private-key")[1].strip() == key


def test_no_descriptor_is_inherited_or_left(served):
    read, write = os.pipe()
    os.set_inheritable(write, True)
    served.start(of(served), served.pair.peer())
    open_ = [os.readlink(f"/proc/{served.child.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{served.child.pid}/fd")]
    assert not [path for path in open_ if path.startswith("/tmp") and "report" in path]
    os.close(read)
    os.close(write)
