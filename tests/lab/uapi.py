"""A control socket with prepared answers, which keeps the requests; and a client, which sends requests to a daemon."""

import contextlib
import re
import socket
import threading
import time

GET = b"get=1\n\n"
DONE = b"errno=0\n\n"
AGO = re.compile(rb"@(-?\d+)@")


class Control:
    """A connection to the control socket at `path`."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(60)
        self._socket.connect(str(path))

    def set(self, lines):
        """Send a `set`, which must succeed. Returns the seconds until the answer."""
        begin = time.perf_counter()
        self._socket.sendall(("set=1\n" + "\n".join(lines) + "\n\n").encode())
        answer = b""
        while not answer.endswith(b"\n\n"):
            part = self._socket.recv(4096)
            if not part:
                raise AssertionError("the daemon hung up")
            answer += part
        if answer != DONE:
            raise AssertionError(answer.decode())
        return time.perf_counter() - begin

    def close(self):
        self._socket.close()


class UapiServer:
    """Serves `path`. Answers are bytes, or None to hang up. `@60@` in an answer becomes the time a minute ago.

    requests  the requests, bytes, one for each connection that sent something
    """

    def __init__(self, path, to_get=DONE, to_set=DONE):
        self.requests = []
        self._answers = {True: to_get, False: to_set}
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(16)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def take(self):
        """Return the requests since the last call."""
        taken, self.requests = self.requests, []
        return taken

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            # A client can hang up before the end of the answer.
            with connection, contextlib.suppress(ConnectionError):
                self._answer(connection)

    def _answer(self, connection):
        request = b""
        while not request.endswith(b"\n\n"):
            part = connection.recv(65536)
            if not part:
                break
            request += part
        if request:
            self.requests.append(request)
            answer = self._answers[request == GET]
            if answer is not None:
                connection.sendall(AGO.sub(lambda found: b"%d" % (int(time.time()) - int(found[1])), answer))
