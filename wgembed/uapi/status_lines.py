"""The state of an interface for `wgembed status` and `wgembed diagnose`: more than a `get`, with errors and events, but
without secret keys.

A client sends `status=1` and an empty line. The answer has the form of a `get`, with the lines below. A line is left out if
it has no value. A time has its unit in its name: `_s`, `_ms`. AGE_MS and AGE_S are how long ago it was.

    own_public_key, listen_port, fwmark, mtu (bytes), up (0 or 1)
    away=1                              the interface was moved to another network namespace
    drop=REASON,COUNT                   the number of dropped packets, for each reason (protocol/drops.py)
    send_error=ERRNO,FAMILY             the last error of a datagram that was sent; FAMILY is 4 or 6 (IPv4 or IPv6)
    link                                the name of the link to which the sockets are bound
    gso=SWITCH,FIRST,LIMIT              SWITCH is None, True or False; the largest message for a segmented send, 0 for
                                        none: at first, and since the kernel refused one
    gro=SWITCH,FAULT,USED               whether this version of the kernel has a fault, and whether GRO is used
    tun=SWITCH,FAULT,OFFLOAD,UNJOINED   whether UDP offload has a fault; the flags of the tunnel device (TUN_F_*); the
                                        joined packets that the kernel refused, 1 of TCP plus 2 of UDP. Only with the
                                        C library
    problem=SENTENCE                    what is wrong with the configuration or with what it names
    unconfirmed_s                       how long until the previous configuration returns, unless this one is confirmed
    clock_behind_s                      how far our clock is behind the last timestamp that we sent
    unmatched_handshake=REASON,COUNT,AGE_MS,ENDPOINT,KEY
                                        a handshake message of no peer; REASON is unknown_peer, or invalid_mac1 with an
                                        empty KEY
    unroutable=IP,AGE_MS                the destination of the last packet that was in no peer's allowed IPs
    source_not_allowed=IP,AGE_MS,KEY    the source of the last packet that was not in the allowed IPs of its peer KEY

    public_key                          begins a peer
    has_preshared_key (0 or 1), endpoint, source (our address), endpoint_host (NAME:PORT, as configured)
    endpoint_choice=NAME:PORT           for each endpoint of a peer with several, the preferred one first
    failover=SWITCHES,AGE_MS,REASON,HOLD_S
                                        how often another endpoint came into use, how long ago the last time, why (empty
                                        if never), and how long the preferred one must be well before it is used again
    endpoint_time=NAME:PORT,MS          how long the last answer of an endpoint took, with endpoint_order 'fastest'
    ping=IP,LOST,MS                     the address of ping_check, its answers in a row that are missing, and how long the
                                        last one took, empty before the first
    backup=ROLE,KEY                     for a peer with backups, and for these: active or standby, and the key of the peer
                                        that they replace; then `failover` is about these peers
    endpoint_found=IP                   for each address of the name
    last_handshake_time_sec (since 1970), tx_bytes, rx_bytes, persistent_keepalive_interval (s): as in a `get`
    last_rx_ms                          age of the last authentic packet or handshake message that was received
    last_data_rx_ms, last_data_tx_ms    age of the last data that was received, and that was sent
    session=AGE_MS,ROLE                 of the keypair that is in use; ROLE is initiator or responder
    segments_lost=COUNT,NEXT_S          tests in a row that showed that segmented sends do not arrive, and when the next
                                        test is due, at the earliest (protocol/segmentation.py)
    attempt                             the number of the last initiation without an answer, from 1
    unanswered=COUNT,NEXT_MS            initiations in a row without an answer, and the time to the next one, empty if
                                        none is planned; the time grows (protocol/backoff.py)
    staged                              the number of packets that wait for a handshake
    event=NAME,COUNT,AGE_S              an event (protocol/events.py), oldest first
    allowed_ip
"""

from binascii import hexlify

from ..protocol import drops, events, noise
from ..protocol.tai64n import seconds
from ..runtime import address, system

_UNMATCHED = {events.UNKNOWN_PEER: "unknown_peer", events.INVALID_MAC1: "invalid_mac1"}


def tell_device(interface, now):
    """Return the lines about the interface, as text; `now` in ms."""
    device = interface.device
    lines = [
        ("listen_port", interface.listen_port),
        ("fwmark", interface.fwmark),
        ("mtu", device.mtu),
        ("up", int(device.is_up)),
    ]
    if device.identity.present:
        lines.append(("own_public_key", _hex(device.identity.public)))
    if interface.is_away:
        lines.append(("away", 1))
    for name, count in zip(drops.NAMES, device.drops):  # noqa: B905 (MicroPython's zip has no strict)
        if count:
            lines.append(("drop", "%s,%d" % (name, count)))
    for error in interface.send_errors():
        lines.append(("send_error", "%d,%d" % error))
    lines += _offload_lines(*interface.offloads())
    if interface.bound_to:
        lines.append(("link", interface.bound_to))
    for sentence in interface.problems.values():
        if sentence:
            lines.append(("problem", sentence))
    if interface.unconfirmed_at:
        lines.append(("unconfirmed_s", max(interface.unconfirmed_at - now, 0) // 1000))
    behind = seconds(device.timestamps.latest) - system.clock.realtime()[0]
    if behind > 0:
        lines.append(("clock_behind_s", behind))
    for reason, key, addr, count, time in device.unmatched_handshakes.read():
        what = _UNMATCHED[reason], count, now - time, address.format_endpoint(addr), _hex(key)
        lines.append(("unmatched_handshake", "%s,%d,%d,%s,%s" % what))
    unroutable, source = device.unroutable, device.source_not_allowed
    if unroutable.packed:
        lines.append(("unroutable", "%s,%d" % (address.format_ip(unroutable.packed), now - unroutable.time)))
    if source.packed:
        key = device.tables.peer(source.number).public_key
        lines.append(("source_not_allowed", "%s,%d,%s" % (address.format_ip(source.packed), now - source.time, _hex(key))))
    return _text(lines)


def _offload_lines(use, sockets, fastpath):
    lines = []
    for socket in sockets[:1]:
        lines.append(("gso", "%s,%d,%d" % (use.gso, socket.gso_first, socket.gso_limit)))
        lines.append(("gro", "%s,%d,%d" % (use.gro, use.gro_fault, socket.gro)))
    if fastpath is not None:
        lines.append(("tun", "%s,%d,%d,%d" % (use.tun, use.uso_fault, fastpath.offload, fastpath.unjoined)))
    return lines


def tell_peer(peer, interface, now):
    """Return the lines about the peer, as text, without its allowed IPs; `now` in ms."""
    endpoint = interface.endpoints.get(peer.public_key)
    lines = [("public_key", _hex(peer.public_key))]
    lines.append(("has_preshared_key", int(any(peer.secret(noise.PRESHARED, 32)))))
    if peer.addr is not None:
        lines.append(("endpoint", address.format_endpoint(peer.addr)))
    if peer.src is not None:
        lines.append(("source", address.format_ip(address.source_ip(peer.src))))
    if endpoint is not None:
        lines.append(("endpoint_host", endpoint.text))
        lines += _failover_lines(endpoint, now)
        for packed in endpoint.found:
            lines.append(("endpoint_found", address.format_ip(packed)))
    for group in interface.groups:
        if peer.public_key in group.keys:
            role = "active" if group.is_in_use(peer.public_key) else "standby"
            lines.append(("backup", "%s,%s" % (role, _hex(group.keys[0]))))
            lines += _switch_lines(group, now)
    lines.append(("last_handshake_time_sec", peer.handshake_sec))
    lines.append(("tx_bytes", peer.tx_bytes))
    lines.append(("rx_bytes", peer.rx_bytes))
    lines.append(("persistent_keepalive_interval", peer.persistent_keepalive))
    if peer.last_rx:
        lines.append(("last_rx_ms", _age(peer.last_rx, now)))
    if peer.last_data_rx:
        lines.append(("last_data_rx_ms", _age(peer.last_data_rx, now)))
    if peer.last_data_tx:
        lines.append(("last_data_tx_ms", _age(peer.last_data_tx, now)))
    keypair = peer.current
    if noise.may_send(keypair, 1, now):
        lines.append(("session", "%d,%s" % (_age(keypair.birth, now), "initiator" if keypair.initiator else "responder")))
    if peer.probe_lost:
        lines.append(("segments_lost", "%d,%d" % (peer.probe_lost, max(peer.probe_at - now, 0) // 1000)))
    if peer.retransmit_at and peer.attempts >= 0:
        lines.append(("attempt", peer.attempts + 1))
    if peer.unanswered:
        lines.append(
            ("unanswered", "%d,%s" % (peer.unanswered, max(peer.retransmit_at - now, 0) if peer.retransmit_at else ""))
        )
    staged = peer.tables.staged.count(peer.number)
    if staged:
        lines.append(("staged", staged))
    for event, count, time in peer.tables.events.read(peer.number):
        lines.append(("event", "%s,%d,%d" % (events.NAMES[event], count, _age(time, now // 1000))))
    return _text(lines)


def _failover_lines(endpoint, now):
    if endpoint.failback is None:
        return []
    lines = [("endpoint_choice", one) for one in endpoint.texts]
    for text, time in zip(endpoint.texts, endpoint.times):  # noqa: B905 (MicroPython's zip has no strict)
        if time is not None:
            lines.append(("endpoint_time", "%s,%d" % (text, time)))
    return lines + _switch_lines(endpoint, now)


def _switch_lines(paths, now):
    """Return the lines about an EndpointList or a PeerGroup."""
    failback, ping, lines = paths.failback, paths.ping, []
    if ping is not None:
        took = "" if ping.answer_ms is None else ping.answer_ms
        lines.append(("ping", "%s,%d,%s" % (address.format_ip(ping.packed), ping.lost, took)))
    if failback.in_use is not None:
        what = failback.switches, _age(failback.since, now), failback.reason, failback.hold_ms // 1000
        lines.append(("failover", "%d,%d,%s,%d" % what))
    return lines


def _age(time, now):
    # `now` is the time of the request. Events can happen after it, while a slow client takes the answer.
    return max(now - time, 0)


def _text(lines):
    return "".join(["%s=%s\n" % line for line in lines])


def _hex(data):
    return hexlify(data).decode()
