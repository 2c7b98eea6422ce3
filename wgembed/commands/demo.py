"""`wgembed demo`: two real daemons in two private network namespaces that a veth pair connects.

The namespaces have no names. They exist as long as this program has them open, so nothing remains after its end. Steps
inside a namespace run in a child process that enters the namespace.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time

from .. import crypto
from ..errors import UsageError, UserError, cause
from ..protocol.icmp import checksum
from ..runtime.cpython import start

_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_INTERRUPT = (signal.SIGINT,)
_libc = ctypes.CDLL(None, use_errno=True)

WIRE = "wire"
PINGS = 10
TRANSFER_SECONDS = 2.0
_CHUNK = 1 << 16


class End:
    """One of the two ends: its addresses on the wire and in the tunnel, its keys and its daemon."""

    def __init__(self, name, number):
        self.name = name
        self.interface = "wg-" + name
        self.outer = "192.0.2.%d" % number
        self.inner4 = "10.99.0.%d" % number
        self.inner6 = "fd99::%d" % number
        self.private, self.public = bytearray(32), bytearray(32)
        crypto.random_fill(self.private)
        crypto.x25519_base(self.public, self.private)
        self.namespace = _new_namespace()
        self.daemon = None
        self.socket = None


def demo(program, arguments):
    """Run it; return the exit status."""
    if len(arguments) > 1:
        raise UsageError
    if os.geteuid() != 0:
        print("wgembed demo: root is needed to create network namespaces. Try it with sudo.", file=sys.stderr)
        return 1
    if not os.path.exists("/dev/net/tun"):
        print("wgembed demo: /dev/net/tun does not exist. Load the tun module: modprobe tun", file=sys.stderr)
        return 1
    ends = ()
    folder = tempfile.mkdtemp(prefix="wgembed-demo-")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a broken pipe then is an error like others
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        ends = End("left", 1), End("right", 2)
        _run(ends, folder)
        return 0
    except KeyboardInterrupt:
        print("\nwgembed demo: interrupted", file=sys.stderr)
        return 130
    except (UserError, OSError) as e:
        raise UserError("demo: %s" % (cause(e) if isinstance(e, OSError) else e)) from None
    finally:
        _clean_up(ends, folder)


def _run(ends, folder):
    left, right = ends
    print("Two network namespaces that a veth pair connects, each with a daemon:")
    _join(left, right)
    for end in ends:
        _start_daemon(end, folder)
    psk = bytearray(32)
    crypto.random_fill(psk)
    _configure(left, right, psk)
    _configure(right, left, psk)
    for end in ends:
        _inside(end, _bring_up, end)
        print("  %-8s %s  %s  process %d" % (end.interface, end.inner4, end.inner6, end.daemon))
    print()
    _try_out(left, right)


def _try_out(left, right):
    first = _inside(left, _ping, right.inner4, 1)
    pings4 = _inside(left, _ping, right.inner4, PINGS)
    pings6 = _inside(left, _ping, right.inner6, PINGS)
    if not first or len(pings4) < PINGS or len(pings6) < PINGS:
        raise UserError(
            "not all pings through the tunnel were answered: %d + %d of %d" % (len(pings4), len(pings6), 2 * PINGS)
        )
    rate = _transfer(left, right)
    median4, median6 = sorted(pings4)[PINGS // 2], sorted(pings6)[PINGS // 2]
    handshake = max(0.0, first[0] - median4)
    print("handshake     %.1f ms (first packet %.1f ms)" % (handshake * 1e3, first[0] * 1e3))
    print("round trip    %.2f ms IPv4, %.2f ms IPv6 (median of %d)" % (median4 * 1e3, median6 * 1e3, PINGS))
    print("TCP           %.0f Mbit/s for %.0f s, %s to %s" % (rate / 1e6, TRANSFER_SECONDS, left.name, right.name))
    for end in (left, right):
        print()
        _show(end)


# Namespaces and the wire


def _check(result, what):
    if result < 0:
        raise UserError("%s: %s" % (what, cause(OSError(ctypes.get_errno()))))


def _new_namespace():
    """Return a descriptor of a new network namespace."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        _check(_libc.unshare(_CLONE_NEWNET), "cannot create a network namespace")
        new = os.open("/proc/self/ns/net", os.O_RDONLY)
        _check(_libc.setns(here, _CLONE_NEWNET), "cannot return to the network namespace")
    finally:
        os.close(here)
    return new


def _child(end, function, *arguments):
    """Fork a process that enters the end's namespace and calls the function. It ends when this process ends."""
    sys.stdout.flush()
    parent = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT)
    try:
        pid = os.fork()
        if not pid:
            # The child has nothing to undo, and Python only prints an exception that comes while a module loads.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)
    if pid:
        return pid
    status = 1
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        _check(_libc.setns(end.namespace, _CLONE_NEWNET), "cannot enter the network namespace")
        function(*arguments)
        status = 0
    except BaseException as e:
        print("wgembed demo: %s" % e, file=sys.stderr)
    finally:
        os._exit(status)


def _inside(end, function, *arguments):
    """Call the function in the end's namespace and return its result, which must be possible in JSON."""
    read, write = os.pipe()

    def report():
        os.write(write, json.dumps(function(*arguments)).encode())

    pid = _child(end, report)
    os.close(write)
    with open(read, "rb") as pipe:
        result = pipe.read()
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status) == -signal.SIGINT:
        raise KeyboardInterrupt
    if status:
        raise UserError("a step in the namespace of %s failed" % end.name)
    return json.loads(result)


def _join(left, right):
    _inside(left, _make_wire, right.namespace)
    for end in (left, right):
        _inside(end, _address_wire, end.outer)


def _make_wire(other):
    from pyroute2 import IPRoute

    with IPRoute() as ip:
        ip.link("add", ifname=WIRE, kind="veth", peer={"ifname": WIRE, "net_ns_fd": other})


def _address_wire(address):
    _add_addresses(WIRE, (address, 24))


def _bring_up(end):
    _add_addresses(end.interface, (end.inner4, 24), (end.inner6, 64))


def _add_addresses(name, *addresses):
    from pyroute2 import IPRoute

    with IPRoute() as ip:
        ip.link("set", index=1, state="up")
        (index,) = ip.link_lookup(ifname=name)
        for address, mask in addresses:
            ip.addr("add", index=index, address=address, prefixlen=mask, flags=2 if ":" in address else 0)  # 2: nodad
        ip.link("set", index=index, state="up")


# The daemons


def _start_daemon(end, folder):
    command, environment = start.command_for("serve", end.interface)
    environment["WGEMBED_SOCKET_DIR"] = folder
    end.socket = os.path.join(folder, end.interface + ".sock")
    end.daemon = _child(end, os.execve, command[0], command, environment)
    deadline = time.monotonic() + 10
    while not _answers(end.socket):
        if os.waitpid(end.daemon, os.WNOHANG)[0]:
            end.daemon = None
            raise UserError("the daemon %s did not start" % end.name)
        if time.monotonic() > deadline:
            raise UserError("the daemon %s is not ready after 10 s" % end.name)
        time.sleep(0.005)


def _answers(path):
    """Whether a daemon listens at the control socket, which exists a moment before."""
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(path) == 0


def _control(end, text):
    """Send a request to the daemon's control socket; return the answer as a list of (key, value)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(end.socket)
        connection.sendall(text.encode())
        answer = b""
        while not answer.endswith(b"\n\n"):
            data = connection.recv(65536)
            if not data:
                break
            answer += data
    pairs = [tuple(line.split("=", 1)) for line in answer.decode().split("\n") if "=" in line]
    if not pairs or pairs[-1] != ("errno", "0"):
        raise UserError("the daemon %s refused a request: %s" % (end.name, answer.decode().strip()))
    return pairs


def _configure(end, other, psk):
    _control(
        end,
        "set=1\nprivate_key=%s\nlisten_port=51820\npublic_key=%s\npreshared_key=%s\nendpoint=%s:51820\n"
        "allowed_ip=%s/32\nallowed_ip=%s/128\n\n"
        % (end.private.hex(), other.public.hex(), psk.hex(), other.outer, other.inner4, other.inner6),
    )


def _show(end):
    """Print the state of the daemon in the form of wg(8), and its resident memory."""
    told = dict(_control(end, "get=1\n\n"))
    allowed = ", ".join(v for k, v in _control(end, "get=1\n\n") if k == "allowed_ip")
    age = time.time() - int(told["last_handshake_time_sec"])
    with open("/proc/%d/status" % end.daemon) as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    for label, value in (
        ("interface", end.interface),
        ("  listening port", told["listen_port"]),
        ("  endpoint", told["endpoint"]),
        ("  allowed ips", allowed),
        ("  latest handshake", "%d seconds ago" % age),
        ("  transfer", "%.2f MiB received, %.2f MiB sent" % (int(told["rx_bytes"]) / 2**20, int(told["tx_bytes"]) / 2**20)),
        ("  memory", "%.1f MB resident" % (resident / 1024)),
    ):
        print("%-20s %s" % (label + ":", value))


# Traffic


def _ping(address, count):
    """Ping the address; return the round trips in seconds of the answers that came within 2 s each."""
    v6 = ":" in address
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if v6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    ident = os.getpid() & 0xFFFF
    times = []
    with socket.socket(family, socket.SOCK_RAW, protocol) as raw:
        raw.settimeout(0.1)
        for sequence in range(count):
            request = struct.pack(">BBHHH", 128 if v6 else 8, 0, 0, ident, sequence) + bytes(56)
            if not v6:  # the kernel fills in the other one
                request = request[:2] + struct.pack(">H", checksum(request, 0, len(request))) + request[4:]
            begin = time.perf_counter()
            raw.sendto(request, (address, 0))
            while time.perf_counter() - begin < 2:
                try:
                    answer = raw.recv(2048)
                except TimeoutError:
                    continue
                message = answer if v6 else answer[20:]
                if message[0] == (129 if v6 else 0) and message[4:8] == request[4:8]:
                    times.append(time.perf_counter() - begin)
                    break
    return times


def _transfer(left, right):
    """Send over TCP through the tunnel; return the rate in bit/s that arrived."""
    read, write = os.pipe()
    server = _child(right, _take, right.inner4, write)
    os.close(write)
    with open(read, "rb") as pipe:
        try:
            pipe.read(1)
            _inside(left, _give, right.inner4)
            told = pipe.read()
        finally:
            os.kill(server, signal.SIGKILL)
            os.waitpid(server, 0)
    if not told:
        raise UserError("the TCP transfer did not end")
    return float(told)


def _take(address, write):
    with socket.create_server((address, 9000)) as server:
        os.write(write, b"+")
        connection, _ = server.accept()
    total, begin, buffer = 0, time.perf_counter(), bytearray(_CHUNK)
    while True:
        size = connection.recv_into(buffer)
        if not size:
            break
        total += size
    os.write(write, b"%f" % (total * 8 / (time.perf_counter() - begin)))


def _give(address):
    chunk = bytes(_CHUNK)
    with socket.create_connection((address, 9000), timeout=10) as connection:
        end = time.perf_counter() + TRANSFER_SECONDS
        while time.perf_counter() < end:
            connection.sendall(chunk)


def _clean_up(ends, folder):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for end in ends:
        if end.daemon:
            try:
                os.kill(end.daemon, signal.SIGTERM)
            except ProcessLookupError:
                continue
    for end in ends:
        if end.daemon:
            os.waitpid(end.daemon, 0)
        os.close(end.namespace)
    while True:  # children that an interrupt left
        try:
            os.wait()
        except ChildProcessError:
            break
    shutil.rmtree(folder, ignore_errors=True)
