"""The path between two peers, as on the internet: a relay that drops, delays or changes datagrams, as the test wants."""

import select
import socket
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
                    datagram, addr = one.recvfrom(65535)
                except ConnectionError:
                    continue  # no program listens at the target
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
