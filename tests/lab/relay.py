"""The path between two peers, as on the internet: a relay that drops, delays or changes datagrams, as the test wants."""

import contextlib
import select
import socket
import struct
import sys
import threading


class Relay:
    """Passes datagrams from `port` of a site to the port `target` of this site, and back, for one client at a time.

    keep(is_back, datagram)    whether the datagram is passed; a test can replace this function at any time
    change(is_back, datagram)  returns the datagrams that are passed instead; None: no change; can be replaced, too
    """

    def __init__(self, site, port, target, family=socket.AF_INET):
        self.keep = lambda is_back, datagram: True
        self.change = None
        self.seen = []  # (is_back, datagram)
        self._front = site.place.socket(family, socket.SOCK_DGRAM)
        self._front.bind((site.outer[4 if family == socket.AF_INET else 6], port))
        self._back = site.place.socket(family, socket.SOCK_DGRAM)
        self._back.connect((site.outer[4 if family == socket.AF_INET else 6], target))
        self._client = None
        self._end, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self):
        self._stop.send(b"\0")
        self._thread.join()
        for one in (self._front, self._back, self._end, self._stop):
            one.close()

    def _run(self):
        while True:
            ready, _, _ = select.select([self._front, self._back, self._end], [], [])
            if self._end in ready:
                return
            for one in ready:
                try:
                    self._take(one)
                except ConnectionError:
                    continue  # no program listens at the target

    def _take(self, one):
        datagram, addr = one.recvfrom(65535)
        self._carry(one is self._back, datagram, addr)

    def _carry(self, is_back, datagram, addr):
        self.seen.append((is_back, datagram))
        if not is_back:
            self._client = addr
        if not self.keep(is_back, datagram):
            return
        for one in self.change(is_back, datagram) if self.change else (datagram,):
            self._send(is_back, one)

    def _send(self, is_back, datagram):
        try:
            if not is_back:
                self._back.send(datagram)
            elif self._client is not None:
                self._front.sendto(datagram, self._client)
        except ConnectionError:
            return


_SEGMENTS = 103  # UDP_SEGMENT, and the next number is UDP_GRO


class RunRelay(Relay):
    """A relay that sees which datagrams left in one segmented send, because these cross a veth link whole.

    carry_run(is_back, run, size)  returns what is passed on for a run of datagrams of `size` bytes: pairs of bytes and
                                   segment size, 0 for one datagram; a test can replace this function at any time
    """

    def __init__(self, *arguments, **options):
        self.carry_run = lambda is_back, run, size: [(run, size)]
        self.runs = [0, 0]  # that were seen: there, and back
        super().__init__(*arguments, **options)
        for one in (self._front, self._back):
            one.setsockopt(socket.SOL_UDP, _SEGMENTS + 1, 1)
            for name in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                one.setsockopt(socket.SOL_SOCKET, name + 25, 1 << 22)  # SO_SNDBUFFORCE, SO_RCVBUFFORCE

    def _receive(self, one):
        data, control, _, addr = one.recvmsg(65535, 64)
        for level, kind, value in control:
            if level == socket.SOL_UDP and kind == _SEGMENTS + 1:
                size = int.from_bytes(value[:4], sys.byteorder)
                return data, addr, size if size < len(data) else 0
        return data, addr, 0

    def _take(self, one):
        data, addr, size = self._receive(one)
        is_back = one is self._back
        if not size:
            self._carry(is_back, data, addr)
            return
        if not is_back:
            self._client = addr
        self.runs[is_back] += 1
        for run, of in self.carry_run(is_back, data, size):
            self._send_run(is_back, run, of)

    def _send_run(self, is_back, run, size):
        control = [(socket.SOL_UDP, _SEGMENTS, struct.pack("H", size))] if size and size < len(run) else []
        one, addr = (self._front, self._client) if is_back else (self._back, None)
        with contextlib.suppress(ConnectionError):
            one.sendmsg([run], control, 0, *([addr] if addr else []))
