"""The control protocol, sent to a session byte by byte. The interface around the device is a simple replacement."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wgembed.protocol import noise
from wgembed.runtime import address as addresses
from wgembed.uapi.session import LINE_MAX, READ_SIZE, Session

from ..unit.harness import Harness, connected, key
from ..unit.support import Log

KEY = "aa" * 32
OTHER = "bb" * 32


class Interface:
    """The part of an interface that a session uses."""

    def __init__(self, device):
        self.device = device
        self.listen_port = 0
        self.fwmark = 0
        self.busy_port = None
        self.bound_to = ""
        self.is_away = False
        self.problems = {}
        self.unconfirmed_at = 0
        self.endpoints = {}
        self.groups = []

    def send_errors(self):
        return []

    def offloads(self):
        return None, (), None

    def set_listen_port(self, port):
        if port == self.busy_port:
            raise OSError(98, "Address already in use")
        self.listen_port = port

    def set_fwmark(self, fwmark):
        self.fwmark = fwmark


class Client:
    def __init__(self, peers=4):
        self.harness = Harness()
        self.node = self.harness.node("a", peers=peers)
        self.device = self.node.device
        self.device.down()
        self.device.set_private_key(bytes(32), 0)
        self.interface = Interface(self.device)
        self.log = Log()
        self.session = Session(self.interface, self.log)

    def say(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        answer = b""
        for at in range(0, len(data) or 1, READ_SIZE):
            answer += self.session.feed(data[at : at + READ_SIZE], self.harness.now)
            while self.session.is_answering:
                answer += self.session.piece()
                if not self.session.is_answering:
                    answer += self.session.feed(b"", self.harness.now)
        return answer.decode()

    def set(self, *lines):
        return self.say("set=1\n" + "".join(line + "\n" for line in lines) + "\n")

    def get(self):
        return self.say("get=1\n\n")


def test_empty_device():
    assert Client().get() == "listen_port=0\nerrno=0\n\n"


def test_everything_round_trips_in_order():
    c = Client()
    private, _ = key()
    assert c.set(
        "private_key=" + private.hex(), "listen_port=51820", "fwmark=4660", "replace_peers=true",
        "public_key=" + KEY, "preshared_key=" + OTHER, "endpoint=192.0.2.1:7", "persistent_keepalive_interval=25",
        "replace_allowed_ips=true", "allowed_ip=10.0.0.1/24", "allowed_ip=2001:db8::1/32",
        "public_key=" + OTHER, "endpoint=[2001:db8::5]:9",
    ) == "errno=0\n\n"  # fmt: skip
    assert c.get() == (
        f"private_key={private.hex()}\nlisten_port=51820\nfwmark=4660\n"
        f"public_key={KEY}\npreshared_key={OTHER}\nprotocol_version=1\nendpoint=192.0.2.1:7\n"
        "last_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=0\nrx_bytes=0\n"
        "persistent_keepalive_interval=25\nallowed_ip=10.0.0.0/24\nallowed_ip=2001:db8::/32\n"
        f"public_key={OTHER}\npreshared_key={'00' * 32}\nprotocol_version=1\nendpoint=[2001:db8::5]:9\n"
        "last_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=0\nrx_bytes=0\n"
        "persistent_keepalive_interval=0\n"
        "errno=0\n\n"
    )


def test_private_key_is_clamped_and_removed_by_zero():
    c = Client()
    c.set("private_key=" + "ff" * 32)
    assert c.get().startswith("private_key=f8" + "ff" * 30 + "7f\n")
    c.set("private_key=" + "00" * 32)
    assert "private_key" not in c.get()


def test_several_operations_on_one_connection_and_any_split():
    c = Client()
    script = f"set=1\npublic_key={KEY}\nallowed_ip=10.0.0.1/32\n\nget=1\n\nset=1\nlisten_port=5\n\nget=1\n\n"
    whole = c.say(script)
    assert whole.count("errno=0\n\n") == 4 and "listen_port=5\n" in whole
    d = Client()
    assert "".join(d.say(script[i : i + 1]) for i in range(len(script))) == whole


def test_unknown_operation_closes():
    for text in ("foo=1\n", "get=2\n", "set=0\n", "\n", "get\n", "set=1 \n"):
        c = Client()
        assert c.say(text) == "" and c.session.closed
    c = Client()
    assert c.say("get=1\nx\n") == "errno=22\n\n"


@pytest.mark.parametrize(
    ("line", "errno"),
    [
        ("nonsense", 71), ("unknown=1", 22), ("private_key=12", 22), ("private_key=" + "g" * 64, 22),
        ("private_key=" + "a" * 66, 22), ("listen_port=65536", 22), ("listen_port=-1", 22), ("listen_port=", 22),
        ("listen_port=1x", 22), ("listen_port= 1", 22), ("listen_port=1_0", 22), ("listen_port=\u0661", 22),
        ("fwmark=4294967296", 22), ("fwmark=x", 22), ("replace_peers=false", 22), ("endpoint=1.2.3.4:5", 22),
        ("allowed_ip=1.2.3.4/32", 22), ("public_key=" + "a" * 63, 22), ("\xff=1", 22), ("listen_port=98", 98),
    ],
)  # fmt: skip
def test_device_lines_refused(line, errno):
    c = Client()
    c.interface.busy_port = 98
    assert c.set(line) == f"errno=-{errno}\n\n"
    assert c.log.lines, "the log says why"
    assert c.set("listen_port=7") == "errno=0\n\n", "the session goes on"


@pytest.mark.parametrize(
    ("line", "errno"),
    [
        ("nonsense", 71), ("private_key=" + KEY, 22), ("preshared_key=1", 22), ("endpoint=1.2.3.4", 22),
        ("endpoint=1.2.3.4:0", 22), ("endpoint=1.2.3.4:65536", 22), ("endpoint=::1:5", 22), ("endpoint=[::1]", 22),
        ("endpoint=host:5", 22), ("endpoint=[1.2.3.4]:5", 22), ("endpoint=[fe80::1%nolink]:5", 22),
        ("endpoint=1.2.3.4:\xb2", 22),
        ("persistent_keepalive_interval=65536", 22), ("persistent_keepalive_interval=off", 22),
        ("replace_allowed_ips=1", 22), ("remove=1", 22), ("update_only=1", 22), ("protocol_version=2", 22),
        ("allowed_ip=10.0.0.0/33", 22), ("allowed_ip=10.0.0/8", 22), ("allowed_ip=::/129", 22),
        ("allowed_ip=10.0.0.0/", 22), ("allowed_ip=/8", 22), ("allowed_ip=--10.0.0.0/8", 22), ("listen_port=1", 22),
    ],
)  # fmt: skip
def test_peer_lines_refused(line, errno):
    c = Client()
    assert c.set("public_key=" + KEY, line) == f"errno=-{errno}\n\n"
    assert c.set("public_key=" + KEY) == "errno=0\n\n"


def test_earlier_lines_of_a_failed_set_stay():
    c = Client()
    assert c.set("listen_port=9", "bad", "listen_port=10") == "errno=-71\n\n"
    assert "listen_port=9\n" in c.get()


def test_a_secret_with_a_typing_error_is_not_logged():
    c = Client()
    c.set("private_key=" + "c0ffee" * 10 + "xyzw")
    assert "c0ffee" not in "".join(c.log.lines)


def test_modifying_a_peer_keeps_what_is_not_named():
    """Other implementations crashed at this, or ignored replace_allowed_ips."""
    c = Client()
    c.set("public_key=" + KEY, "endpoint=192.0.2.1:7", "allowed_ip=10.0.0.0/8", "preshared_key=" + OTHER)
    c.set("public_key=" + KEY, "replace_allowed_ips=true", "allowed_ip=10.1.0.0/16")
    told = c.get()
    assert "allowed_ip=10.1.0.0/16" in told and "10.0.0.0/8" not in told
    assert "endpoint=192.0.2.1:7" in told and "preshared_key=" + OTHER in told
    assert told.count("public_key=") == 1


def test_nothing_leaks_from_one_peer_of_a_set_to_the_next():
    c = Client()
    c.set(
        "public_key=" + KEY, "preshared_key=" + OTHER, "endpoint=192.0.2.1:7", "persistent_keepalive_interval=5",
        "public_key=" + OTHER, "allowed_ip=10.0.0.0/8",
    )  # fmt: skip
    second = c.get().split("public_key=")[2]
    assert "endpoint" not in second and "preshared_key=" + "00" * 32 in second
    assert "persistent_keepalive_interval=0" in second


def test_remove_and_update_only():
    c = Client(peers=1)
    assert c.set("public_key=" + OTHER, "update_only=true", "allowed_ip=10.0.0.0/8") == "errno=0\n\n"
    assert "public_key" not in c.get()
    assert c.set("public_key=" + OTHER, "allowed_ip=10.0.0.0/8", "update_only=true") == "errno=0\n\n"
    assert "public_key" not in c.get()
    c.set("public_key=" + KEY, "allowed_ip=10.0.0.0/8")
    assert c.set("public_key=" + OTHER, "remove=true") == "errno=0\n\n", "removing needs no room"
    assert c.set("public_key=" + KEY, "update_only=true", "persistent_keepalive_interval=3") == "errno=0\n\n"
    assert "persistent_keepalive_interval=3" in c.get()
    assert c.set("public_key=" + KEY, "remove=true") == "errno=0\n\n"
    assert "public_key" not in c.get()


def test_own_key_as_a_peer_is_ignored_but_its_lines_are_checked():
    c = Client()
    private, public = key()
    assert c.set("private_key=" + private.hex(), "public_key=" + public.hex(), "allowed_ip=10.0.0.0/8") == "errno=0\n\n"
    assert "public_key" not in c.get()
    assert c.set("public_key=" + public.hex(), "allowed_ip=nonsense") == "errno=-22\n\n"


def test_a_peer_too_many():
    c = Client(peers=2)
    third = "cc" * 32
    assert c.set("public_key=" + KEY, "public_key=" + OTHER, "public_key=" + third) == "errno=-28\n\n"
    assert "the peer table is full (2 peers)" in c.log.lines[-1]
    assert c.set("public_key=" + third, "endpoint=192.0.2.1:1") == "errno=-28\n\n"
    told = c.get()
    assert KEY in told and OTHER in told and third not in told


def test_a_prefix_too_many():
    c = Client()
    lines = [f"allowed_ip=10.0.{i}.0/24" for i in range(65)]
    assert c.set("public_key=" + KEY, *lines) == "errno=-28\n\n"


def test_allowed_ip_moves_and_minus_removes_only_ones_own():
    c = Client()
    c.set("public_key=" + KEY, "allowed_ip=10.0.0.0/8", "public_key=" + OTHER, "allowed_ip=10.0.0.0/8")
    assert "allowed_ip" not in c.get().split("public_key=")[1]
    c.set("public_key=" + KEY, "allowed_ip=-10.0.0.0/8")
    assert "allowed_ip=10.0.0.0/8" in c.get()
    c.set("public_key=" + OTHER, "allowed_ip=-10.0.0.0/8", "allowed_ip=10.9.0.1/32")
    assert "allowed_ip=10.9.0.1/32" in c.get() and "/8" not in c.get()


def test_get_while_peers_go_and_come():
    c = Client(peers=200)
    keys = [("%02x" % i) * 32 for i in range(1, 150)]
    c.set(*["public_key=" + k for k in keys])
    c.session.feed(b"get=1\n\n", 0)
    told = c.session.piece() + c.session.piece()
    other = Session(c.interface, c.log)
    gone = keys[30:40] + keys[60:70] + keys[-1:]
    for k in gone:
        other.feed(f"set=1\npublic_key={k}\nremove=true\n\n".encode(), 0)
    other.feed(("set=1\npublic_key=" + "ee" * 32 + "\n\n").encode(), 0)
    while c.session.is_answering:
        told += c.session.piece()
    text = told.decode()
    for k in keys:
        assert text.count("public_key=" + k) == (k not in gone[2:]), k
    assert text.count("ee" * 32) == 1 and text.endswith("errno=0\n\n")
    assert c.device.readers == []


def test_all_peers_go_in_mid_get():
    """Other implementations continued with the next peer after it was removed, and read freed memory."""
    c = Client(peers=100)
    keys = [bytes((n,)).hex() * 32 for n in range(1, 91)]
    assert c.set(*[f"public_key={key}" for key in keys]) == "errno=0\n\n"
    c.session.feed(b"get=1\n\n", 0)
    told = c.session.piece() + c.session.piece()
    other = Session(c.interface, c.log)
    other.feed(b"set=1\nreplace_peers=true\npublic_key=" + b"ee" * 32 + b"\n\n", 0)
    while c.session.is_answering:
        told += c.session.piece()
    assert 0 < told.count(b"public_key=") < 90 and told.endswith(b"errno=0\n\n")


def test_a_client_that_leaves_in_mid_get_is_forgotten():
    c = Client()
    c.set("public_key=" + KEY)
    c.session.feed(b"get=1\n\n", 0)
    c.session.piece()
    c.session.close()
    assert c.device.readers == []


def test_a_line_without_end_is_cut_off():
    c = Client()
    c.say(b"set=1\n" + b"x" * (LINE_MAX + 1))
    assert c.session.closed


def test_keepalive_set_while_up_sends():
    harness, a, b, peer_b, _ = connected()
    session = Session(Interface(a.device), Log())
    session.feed(f"set=1\npublic_key={b.public.hex()}\npersistent_keepalive_interval=9\n\n".encode(), harness.now)
    assert len(a.sent) == 1


def test_preshared_key_is_stored():
    c = Client()
    c.set("public_key=" + KEY, "preshared_key=" + OTHER)
    assert bytes(c.device.first.secret(noise.PRESHARED, 32)).hex() == OTHER


def test_endpoint_forms():
    udp = addresses
    for text, shown in (
        ("1.2.3.4:5", "1.2.3.4:5"), ("[2001:DB8::1]:5", "[2001:db8::1]:5"), ("[::1%1]:65535", "[::1%1]:65535"),
        ("[::1%lo]:5", "[::1%1]:5"),
    ):  # fmt: skip
        assert udp.format_endpoint(udp.parse_endpoint(text)) == shown


LINE = st.one_of(
    st.sampled_from(
        ["set=1", "get=1", "", "public_key=" + KEY, "public_key=" + OTHER, "remove=true", "update_only=true",
         "allowed_ip=10.0.0.0/8", "allowed_ip=-10.0.0.0/8", "replace_allowed_ips=true", "replace_peers=true",
         "private_key=" + KEY, "endpoint=1.2.3.4:5", "persistent_keepalive_interval=1", "protocol_version=1"]
    ).map(str.encode),
    st.binary(max_size=80),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(LINE, max_size=40), st.integers(1, 50))
def test_arbitrary_bytes_never_raise(lines, step):
    """For any input, in any pieces: the answers are well-formed, and the tables stay consistent."""
    c = Client(peers=2)
    data = b"\n".join(lines)
    answer = ""
    for i in range(0, len(data), step):
        answer += c.say(data[i : i + step])
        if c.session.closed:
            break
    for part in answer.split("\n\n")[:-1]:
        assert part.split("\n")[-1].startswith("errno=")
    assert c.node.tables.used == len(c.device._by_key) <= 2
