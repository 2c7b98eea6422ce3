"""Traffic through a tunnel, and its results. Every function ends by itself."""

import contextlib
import json
import re
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from .net import CommandFailed, poll
from .patience import factor, stretch

IPERF_PORT = "5201"


@dataclass
class Pings:
    sent: int
    received: int

    @property
    def lost(self):
        return self.sent - self.received


def ping_command(address, count=3, interval=0.1, size=None, fragment=True, patience=2):
    command = ["ping", "-n", "-c", str(count), "-i", str(interval), "-W", str(round(stretch(patience)))]
    if size is not None:
        command += ["-s", str(size)]
    if not fragment:
        command += ["-M", "do"]
    return [*command, address]


def parse_pings(output):
    found = re.search(r"(\d+) packets transmitted, (\d+) received", output)
    if not found:
        raise CommandFailed(f"ping: {output}")
    return Pings(int(found[1]), int(found[2]))


def ping(place, address, **options):
    command = ping_command(address, **options)
    limit = options.get("count", 3) * max(1, options.get("interval", 0.1)) + 20
    return parse_pings(place.run(*command, timeout=limit, check=False)[1])


def round_trips(place, address, count, interval):
    """Ping `count` times, every `interval` seconds. Returns the round-trip times in ms, in ascending order."""
    command = ping_command(address, count, interval)
    output = place.run(*command, timeout=count * max(interval, 0.1) + 20, check=False)[1]
    return sorted(float(ms) for ms in re.findall(r"time=([\d.]+) ms", output))


def reach(place, address, within=15):
    """Ping until an answer comes."""

    def answered():
        try:
            return ping(place, address, count=1, patience=1).received
        except CommandFailed:  # no route yet
            return 0

    poll(answered, within, what=f"an answer from {address}")


def iperf(client, server, address, *options, timeout=40):
    """Run iperf3 from client to server, or with `-R` back. Returns the "end" part of its report."""
    listener = server.spawn("iperf3", "-s", "-1", "--forceflush", "-p", IPERF_PORT, timeout=timeout + 10)
    try:
        listener.expect("Server listening", 10)
        code, output = client.run("iperf3", "-J", "-c", address, "-p", IPERF_PORT, *options, timeout=timeout, check=False)
    finally:
        listener.stop()
    try:
        report = json.loads(output[output.index("{") :])
    except ValueError:
        raise CommandFailed(f"iperf3: {output}") from None
    if code or "error" in report:
        raise CommandFailed(f"iperf3 to {address}: {report.get('error')}")
    return report["end"]


def tcp(client, server, address, size="8M", reverse=False):
    """Send `size` bytes over TCP. Returns the number of bytes that arrived."""
    # the default congestion control differs between machines
    options = ["-C", "cubic", "-n", size] + (["-R"] if reverse else [])
    return iperf(client, server, address, *options)["sum_received"]["bytes"]


def udp(client, server, address, size="1M", rate_mbit=10, reverse=False):
    """Send datagrams at a moderate rate, `rate_mbit` on a quiet machine. Returns (sent, lost)."""
    options = ["-u", "-b", f"{rate_mbit / factor():.2f}M", "-l", "1200", "-n", size] + (["-R"] if reverse else [])
    total = iperf(client, server, address, *options)["sum"]
    return total["packets"], total["lost_packets"]


@contextlib.contextmanager
def echo(place, port=7007):
    """Run an echo of TCP and UDP in a namespace. Yields the port."""
    server = place.spawn(sys.executable, str(Path(__file__).with_name("echo.py")), str(port))
    server.expect("(?m)^ready$", 10)
    yield port
    server.stop()


def connect(place, host, port):
    """Return a connection to a listener, which possibly does not listen yet."""

    def attempt():
        stream = place.socket(_family(host), socket.SOCK_STREAM)
        stream.settimeout(20)
        try:
            stream.connect((host, port))
        except ConnectionRefusedError:
            stream.close()
            return None
        return stream

    return poll(attempt, 10, what=f"a listener at {host} port {port}")


def stream_to_echo(place, host, port, data):
    """Send `data` to an echo, and return the bytes that come back."""
    with connect(place, host, port) as stream:
        back = bytearray()
        for start in range(0, len(data), 4096):
            chunk = data[start : start + 4096]
            stream.sendall(chunk)
            end = len(back) + len(chunk)
            while len(back) < end:
                more = stream.recv(65536)
                if not more:
                    return bytes(back)
                back += more
        return bytes(back)


def transfer(client, server, host, data, within, port=7009):
    """Send `data` over TCP as fast as possible. Returns the bytes that arrived at `server`, whose address is `host`."""
    arrived = bytearray()
    with server.socket(_family(host), socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1)
        listener.settimeout(within)

        def receive():
            with contextlib.suppress(OSError):
                stream, _ = listener.accept()
                with stream:
                    stream.settimeout(within)
                    while chunk := stream.recv(65536):
                        arrived.extend(chunk)

        receiver = threading.Thread(target=receive)
        receiver.start()
        try:
            with client.socket(_family(host), socket.SOCK_STREAM) as stream:
                stream.settimeout(within)
                stream.connect((host, port))
                stream.sendall(data)
                stream.shutdown(socket.SHUT_WR)
                receiver.join(within)
        finally:
            listener.close()
            receiver.join(within)
    return bytes(arrived)


def datagram_to_echo(place, host, port, data, within=5):
    """Send one datagram, and return the answer."""
    with place.socket(_family(host), socket.SOCK_DGRAM) as end:
        end.settimeout(within)
        end.sendto(data, (host, port))
        return end.recv(65535)


def _family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET
