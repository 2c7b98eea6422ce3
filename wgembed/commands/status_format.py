"""`wgembed status`: the state of interfaces and peers as text, as JSON, and for Prometheus.

The JSON is stable: fields are added, never renamed or removed, and `version` grows if that must be broken. It is one
object, {"version": 1, "interfaces": [...]}; see docs/status.md.
"""

from . import status_model
from .status_model import key_text, span

VERSION = 1

# The states of offloads that the text shows; the JSON has all.
_SHOWN_OFFLOADS = {
    "disabled": "off by option",
    "bad_kernel": "off because this version of the kernel has a fault",
    "refused": "refused by the kernel",
}


# The first attempts follow each other within this time.
_LONG_WAIT_MS = 8_000


class Rates:
    """Bytes a second, from two states of the same peers; `interval` in s between them, 0 if there is only one."""

    def __init__(self, before, interval):
        self._before = {(i.name, p.public_key): p for i in before for p in i.peers}
        self.interval = interval

    def of(self, interface, peer):
        """Return (received, sent) in bytes a second, or None if not known."""
        before = self._before.get((interface.name, peer.public_key))
        if before is None or self.interval <= 0:
            return None
        received, sent = peer.rx_bytes - before.rx_bytes, peer.tx_bytes - before.tx_bytes
        if received < 0 or sent < 0:
            return None  # the peer was removed and added again
        return int(received / self.interval), int(sent / self.interval)


def _bytes(count):
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return "%d %s" % (count, unit) if unit == "B" else "%.1f %s" % (count, unit)
        count /= 1024
    return "%.1f TiB" % count


def as_text(interfaces, rates, now):
    """Return the lines for people; `now` in s since 1970."""
    lines = []
    for interface in interfaces:
        lines.append(_interface_line(interface))
        lines += ["  problem: " + sentence for sentence in interface.problems]
        if interface.unconfirmed_s is not None:
            lines.append(
                "  not confirmed: the previous configuration returns in %s, unless you run wgembed confirm"
                % span(interface.unconfirmed_s)
            )
        for peer in interface.peers:
            lines += _peer_lines(interface, peer, rates.of(interface, peer), now)
        unused = sorted([entry for entry in interface.offloads.items() if entry[1] in _SHOWN_OFFLOADS])
        if unused:
            lines.append("  offloads: " + ", ".join(["%s %s" % (name, _SHOWN_OFFLOADS[why]) for name, why in unused]))
        if interface.drops:
            dropped = sorted(interface.drops.items())
            lines.append("  dropped: " + ", ".join(["%s %d" % entry for entry in dropped]))
    return "".join([line + "\n" for line in lines])


def _interface_line(interface):
    words = ["%s: %s" % (interface.name, interface.state), "port %d" % interface.listen_port]
    if interface.mtu:
        words.append("MTU %d" % interface.mtu)
    if interface.fwmark:
        words.append("fwmark 0x%x" % interface.fwmark)
    if interface.is_away:
        words.append("in another network namespace")
    if interface.public_key:
        words.append("public key " + key_text(interface.public_key))
    return ", ".join(words)


def _peer_lines(interface, peer, rate, now):
    first = "  %s: %s" % (key_text(peer.public_key), status_model.state(interface, peer, now))
    if peer.latest_handshake:
        first += ", handshake %s ago" % span(max(now - peer.latest_handshake, 0))
    if peer.attempt > 1:
        first += ", attempt %d" % peer.attempt
    if peer.next_attempt_ms is not None and peer.next_attempt_ms >= _LONG_WAIT_MS:
        first += ", next attempt in %s" % span(peer.next_attempt_ms // 1000)
    where = []
    if peer.endpoint_host:
        where.append("endpoint %s" % peer.endpoint_host)
    if peer.endpoint and peer.endpoint != peer.endpoint_host:
        where.append("at %s" % peer.endpoint if where else "endpoint %s" % peer.endpoint)
    if peer.source:
        where.append("from %s" % peer.source)
    lines = [first]
    if where:
        lines.append("    " + " ".join(where))
    if peer.failover is not None:
        lines.append("    " + _failover_text(peer))
    if peer.endpoint_times:
        times = sorted([(ms, name) for name, ms in peer.endpoint_times.items()])
        lines.append("    answers: " + ", ".join(["%s in %d ms" % (name, ms) for ms, name in times]))
    if peer.ping is not None:
        lines.append("    " + _ping_text(*peer.ping))
    received, sent = [" (%s/s)" % _bytes(part) for part in rate] if rate else ("", "")
    lines.append("    received %s%s, sent %s%s" % (_bytes(peer.rx_bytes), received, _bytes(peer.tx_bytes), sent))
    if status_model.segmented_sends(peer) == "lost":
        lines.append("    segmented sends (UDP GSO) do not arrive: sending packet by packet")
    lines.append("    allowed ips " + (", ".join(peer.allowed_ips) or "none"))
    return lines


_REASONS = {
    "no_answer": "because the one before did not answer",
    "no_ping": "because of no answer to ping through the one before",
    "answers_again": "because the preferred one answers again",
    "answers_faster": "because it answers faster",
    "peer_moved": "because the peer sends from there",
}


def _failover_text(peer):
    failover, choices = peer.failover, peer.endpoint_choices
    if peer.backup_role:
        text = peer.backup_role
    else:
        number = choices.index(peer.endpoint_host) + 1 if peer.endpoint_host in choices else 0
        text = "endpoint %d of %d" % (number, len(choices))
    text += " for %s" % span(failover.age_ms // 1000)
    if failover.switches:
        text += ", %s; %d switches" % (_REASONS.get(failover.reason, failover.reason), failover.switches)
    return text


def _ping_text(ip, lost, answer_ms):
    if lost:
        return "no answer to ping from %s, %d times in a row" % (ip, lost)
    return "ping %s: %s" % (ip, "not yet asked" if answer_ms is None else "%d ms" % answer_ms)


def as_json(interfaces, rates, now):
    """Return the JSON text, with a line feed; `now` in s since 1970."""
    import json

    told = [_interface_object(interface, rates, now) for interface in interfaces]
    return json.dumps({"version": VERSION, "time": now, "interfaces": told}) + "\n"


def _interface_object(interface, rates, now):
    return {
        "name": interface.name,
        "state": interface.state,
        "public_key": key_text(interface.public_key) if interface.public_key else None,
        "listen_port": interface.listen_port,
        "fwmark": interface.fwmark,
        "mtu": interface.mtu or None,
        "other_namespace": interface.is_away,
        "offloads": interface.offloads,
        "dropped": interface.drops,
        "problems": interface.problems,
        "unconfirmed_s": interface.unconfirmed_s,
        "peers": [_peer_object(interface, peer, rates.of(interface, peer), now) for peer in interface.peers],
    }


def _peer_object(interface, peer, rate, now):
    return {
        "public_key": key_text(peer.public_key),
        "state": status_model.state(interface, peer, now),
        "has_preshared_key": peer.has_preshared_key,
        "endpoint": peer.endpoint or None,
        "endpoint_host": peer.endpoint_host or None,
        "endpoint_choices": peer.endpoint_choices,
        "endpoint_times_ms": peer.endpoint_times,
        "failover": _failover_object(peer.failover),
        "ping": None if peer.ping is None else {"address": peer.ping[0], "lost": peer.ping[1], "answer_ms": peer.ping[2]},
        "backup": {"role": peer.backup_role, "of": key_text(peer.backup_of)} if peer.backup_role else None,
        "source": peer.source or None,
        "allowed_ips": peer.allowed_ips,
        "persistent_keepalive": peer.persistent_keepalive,
        "latest_handshake": peer.latest_handshake or None,
        "handshake_age_s": max(now - peer.latest_handshake, 0) if peer.latest_handshake else None,
        "attempt": peer.attempt,
        "unanswered": peer.unanswered,
        "next_attempt_s": None if peer.next_attempt_ms is None else peer.next_attempt_ms // 1000,
        "segmented_sends": status_model.segmented_sends(peer),
        "rx_bytes": peer.rx_bytes,
        "tx_bytes": peer.tx_bytes,
        "rx_rate": rate[0] if rate else None,
        "tx_rate": rate[1] if rate else None,
        "staged": peer.staged,
        "events": [{"event": event.name, "count": event.count, "age_s": event.age_s} for event in peer.events],
    }


def _failover_object(failover):
    if failover is None:
        return None
    return {
        "switches": failover.switches,
        "reason": failover.reason or None,
        "age_s": failover.age_ms // 1000,
        "hold_s": failover.hold_s,
    }


# Prometheus: name, type, help, and the function for the value of an interface and a peer

_OF_PEERS = (
    ("wireguard_sent_bytes_total", "counter", "Bytes sent to the peer", lambda i, p, now: p.tx_bytes),
    ("wireguard_received_bytes_total", "counter", "Bytes received from the peer", lambda i, p, now: p.rx_bytes),
    ("wireguard_latest_handshake_seconds", "gauge", "Time of the latest handshake", lambda i, p, now: p.latest_handshake),
    (
        "wireguard_peer_unanswered_initiations",
        "gauge",
        "Handshake initiations in a row without an answer",
        lambda i, p, now: p.unanswered,
    ),
    (
        "wireguard_endpoint_switches_total",
        "counter",
        "How often another endpoint of the peer came into use",
        lambda i, p, now: p.failover.switches if p.failover else 0,
    ),
    (
        "wireguard_peer_up",
        "gauge",
        "Whether there is a session",
        lambda i, p, now: status_model.state(i, p, now) == status_model.UP,
    ),
)


def _label(text):
    """Return the text escaped as the value of a label. A wrong label would make the whole file invalid."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def as_prometheus(interfaces, now):
    """Return the text exposition format, for the node exporter's textfile collector; `now` in s since 1970."""
    lines = []
    for name, kind, text, value in _OF_PEERS:
        lines += _head(name, kind, text)
        for interface in interfaces:
            for peer in interface.peers:
                labels = 'interface="%s",public_key="%s"' % (_label(interface.name), key_text(peer.public_key))
                lines.append("%s{%s} %d" % (name, labels, value(interface, peer, now)))
    lines += _head("wireguard_interface_up", "gauge", "Whether the interface is up and has a private key")
    for interface in interfaces:
        up = interface.state == status_model.UP
        lines.append('wireguard_interface_up{interface="%s"} %d' % (_label(interface.name), up))
    lines += _head("wireguard_dropped_packets_total", "counter", "Packets and messages dropped, by reason")
    for interface in interfaces:
        for reason, count in sorted(interface.drops.items()):
            labels = 'interface="%s",reason="%s"' % (_label(interface.name), _label(reason))
            lines.append("wireguard_dropped_packets_total{%s} %d" % (labels, count))
    return "".join([line + "\n" for line in lines])


def _head(name, kind, text):
    return ["# HELP %s %s" % (name, text), "# TYPE %s %s" % (name, kind)]
