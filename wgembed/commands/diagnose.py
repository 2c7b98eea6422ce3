"""`wgembed diagnose` on the command line. The rules are in diagnosis.py."""

from ..errors import UsageError, UserError
from ..runtime import system
from ..runtime.tun_device import TUN_DEVICE

from . import status_model  # isort: skip (first: modules that load one another take up MicroPython's stack)
from . import diagnosis
from .host_facts import HostFacts
from .output import print_text
from .status_model import key_text, looker

# The minimum number of characters of a public key that name a peer.
_LEAST_OF_KEY = 4


def show_diagnosis(program, arguments):
    """Print the faults of all interfaces, or of the interface or the peer in the arguments.

    Return the exit status, 0 without a fault. UsageError, or UserError for an unknown interface.
    """
    arguments = arguments[1:]
    if len(arguments) > 2 or any(word[:1] == "-" for word in arguments):
        raise UsageError("expected an interface and a peer at most")
    interfaces = looker(arguments[:1])()
    wanted = arguments[1] if len(arguments) > 1 else None
    if not interfaces:
        print_text("no interface is served: run `wgembed INTERFACE` or /etc/init.d/wgembed start\n")
        if not system.files.exists(TUN_DEVICE):
            print_text("  %s does not exist: load the kernel module tun (on OpenWrt: install kmod-tun)\n" % TUN_DEVICE)
        return 1
    host = HostFacts()
    now = system.clock.realtime()[0]
    reports = []
    for interface in interfaces:
        is_up = interface.state == status_model.UP
        if wanted is None or not is_up:
            reports.append(("%s: %s" % (interface.name, interface.state), diagnosis.about_interface(interface, host)))
        peers = [peer for peer in interface.peers if wanted is None or _is_called(peer, wanted)]
        if wanted is not None and not peers:
            raise UsageError("%s has no peer %s" % (interface.name, wanted))
        for peer in peers if is_up else ():
            about = "%s: %s: %s" % (interface.name, key_text(peer.public_key), status_model.state(interface, peer, now))
            reports.append((about, diagnosis.about_peer(interface, peer, host)))
    print_text("".join([_report(about, found) for about, found in reports]))
    if host.is_out_of_time:
        print_text("not every peer was probed because it takes too long: name an interface and a peer\n")
    return 1 if any(weight > diagnosis.NOTE for _, found in reports for weight, _ in found) else 0


def explain(name, key):
    """Return what the command says of a peer, given by its whole public key, as bytes: b"" if it says nothing."""
    host, sentences = HostFacts(), []
    try:
        for interface in looker([name])():
            for peer in interface.peers:
                if key_text(peer.public_key) == key:
                    found = diagnosis.about_interface(interface, host) + diagnosis.about_peer(interface, peer, host)
                    sentences += [sentence for weight, sentence in found if weight > diagnosis.NOTE]
    except (UserError, OSError):
        return b""
    return " ".join(sentences).encode()


def _is_called(peer, wanted):
    """Whether this is the peer's public key or the beginning of it."""
    key = key_text(peer.public_key)
    return key == wanted or len(wanted) >= _LEAST_OF_KEY and key.startswith(wanted)


def _report(about, found):
    sentences = [sentence for _, sentence in found] or ["no problem found"]
    return "".join([line + "\n" for line in [about] + ["  " + sentence for sentence in sentences]])
