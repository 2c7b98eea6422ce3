"""Endpoints by name: a real name server that changes its mind, is silent, or knows both families."""

from ..lab import net, traffic

NAME = "far.test"


def endpoint(router, pair):
    return router.dump(pair.name)[1][2]


def silent_since(harness):
    """Nothing comes back from `far` any more."""
    harness.far.place.ip("link", "set", "outer", "down")


def test_a_name_is_looked_up_and_reached(harness):
    names = harness.names()
    names.set(f"{NAME} 192.0.2.2\n")
    pair = harness.pair(prefix=names.prefix)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(endpoint_host=NAME))
    traffic.reach(harness.near.place, "10.77.0.2")
    assert endpoint(pair.router, pair) == "192.0.2.2:51821"


def test_an_address_that_changes_is_found_within_one_retry(harness):
    """The peer moves to another address and its name with it: 15 s of silence, and then at once."""
    names = harness.names()
    names.set(f"{NAME} 192.0.2.2\n")
    pair = harness.pair(prefix=names.prefix)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(endpoint_host=NAME))
    place = harness.near.place
    traffic.reach(place, "10.77.0.2")
    harness.far.readdress(4, "192.0.2.40")
    names.set(f"{NAME} 192.0.2.40\n")
    # Restarted, the other end knows no session and will not call.
    pair.far.restart()
    begin = net.time.monotonic()
    traffic.reach(place, "10.77.0.2", within=30)
    assert endpoint(pair.router, pair) == "192.0.2.40:51821"
    # 15 to 20 s without an answer (KEEPALIVE_TIMEOUT + REKEY_TIMEOUT, and jitter), then one attempt.
    assert net.time.monotonic() - begin < 27


def test_a_dead_name_server_at_the_start(harness):
    names = harness.names()
    pair = harness.pair(prefix=names.prefix)
    pair.start_far()
    pair.router.start(
        pair.interface(),
        pair.peer(endpoint_host=NAME, persistent_keepalive=25),
        pair.other_peer(1, endpoint_host="192.0.2.2", endpoint_port=9),
    )
    pair.router.expect("cannot resolve endpoint_host far.test yet", 15)
    assert endpoint(pair.router, pair) == "(none)"
    names.set(f"{NAME} 192.0.2.2\n")
    traffic.reach(harness.near.place, "10.77.0.2", within=20)


def test_one_dead_name_holds_up_nobody(harness):
    """Three names that never resolve, each with its patience: the fourth is there at once."""
    names = harness.names()
    names.set(f"{NAME} 192.0.2.2\n")
    pair = harness.pair(prefix=names.prefix)
    pair.start_far()
    dead = [pair.other_peer(n, endpoint_host=f"dead{n}.test") for n in range(3)]
    pair.router.start(pair.interface(), *dead, pair.peer(endpoint_host=NAME))
    traffic.reach(harness.near.place, "10.77.0.2", within=3)
    # The others are asked for again and again, and that disturbs nobody.
    assert traffic.ping(harness.near.place, "10.77.0.2", count=50, interval=0.05).lost == 0
    names.set("".join(f"dead{n}.test 192.0.2.{60 + n}\n" for n in range(3)))

    def known():
        return [line[2] for line in pair.router.dump(pair.name)[1:4]]

    net.poll(lambda: known() == [f"192.0.2.{60 + n}:51820" for n in range(3)], 35, what="the late names")


def test_families_come_in_turn(harness):
    """The name has an address of each family, and the first one tried is dead."""
    names = harness.names()
    names.set(f"{NAME} 2001:db8::99 192.0.2.2\n")
    pair = harness.pair(prefix=names.prefix)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(endpoint_host=NAME, persistent_keepalive=1))
    traffic.reach(harness.near.place, "10.77.0.2", within=20)
    assert endpoint(pair.router, pair) == "192.0.2.2:51821"


def test_routes_into_the_tunnel_wait_for_the_name(harness):
    """Else the questions for the name would go into the tunnel that waits for the answer."""
    names = harness.names()
    pair = harness.pair(prefix=names.prefix)
    pair.start_far()
    place = harness.near.place
    everything = {"allowed_ips": ["10.77.0.2", "0.0.0.0/0"], "route_allowed_ips": 1}
    pair.router.start(pair.interface(), pair.peer(endpoint_host=NAME, **everything))
    assert "0.0.0.0/1" not in place.ip("route", "show")
    names.set(f"{NAME} 192.0.2.2\n")
    net.poll(lambda: "0.0.0.0/1" in place.ip("route", "show"), 20, what="the route")
    traffic.reach(place, "10.77.0.2")
    assert "192.0.2.2 dev outer" in place.ip("route", "show")


def test_a_reload_changes_names(harness):
    names = harness.names()
    names.set(f"{NAME} 192.0.2.2\nother.test 192.0.2.50\n")
    pair = harness.pair(prefix=names.prefix)
    pair.start_far()
    pair.router.start(pair.interface(), pair.peer(endpoint_host="other.test"))
    net.poll(lambda: endpoint(pair.router, pair) == "192.0.2.50:51821", 5)
    pair.router.reload(pair.interface(), pair.peer(endpoint_host=NAME))
    traffic.reach(harness.near.place, "10.77.0.2")
    before = pair.handshake()
    pair.router.reload(pair.interface(), pair.peer(endpoint_host=NAME), pair.other_peer(2, endpoint_host="dead.test"))
    pair.router.reload(pair.interface(), pair.peer(endpoint_host=NAME))
    assert traffic.ping(harness.near.place, "10.77.0.2").lost == 0 and pair.handshake() == before

    def children():
        return harness.near.place.run("ps", "-o", "pid=", "--ppid", str(pair.router.pid), check=False)[1].split()

    net.poll(lambda: not children(), 15, what="that no child is left")
