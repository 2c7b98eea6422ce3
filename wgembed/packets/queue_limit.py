"""Bounds by time what waits in a queue of the kernel: in the receive buffer of a socket, or before the tunnel device.

If packets come faster than a slow CPU handles them, the queue is never empty. Each packet then waits for as long as the
whole queue lasts, and more room in it only means a longer wait. So when packets were waiting all the time, the room becomes
what the daemon handles in TARGET_MS. Senders that heed losses, as TCP does, then send less. Bursts that are handled before
the next one comes lose nothing: the room grows again while the queue gets empty between them.
"""

# The longest that a packet waits, where the kernel counts as the callers do.
TARGET_MS = 20
# For so long, packets must have been waiting all the time.
_WINDOW_MS = 50
# Between two turns that are further apart, the queue can have been empty.
_GAP_MS = 30


class QueueLimit:
    """The room in one queue.

    name     of its alarm
    least    the least room that makes sense, and `most`, what the queue has from its start
    growth   (ms, shift): after each such time in which the queue got empty, the room grows by itself >> shift
    apply    apply(room) sets the room
    alarms   the Alarms of the process

    was_full  the caller sets it to False when the queue gets empty
    """

    def __init__(self, name, least, most, growth, apply, alarms):
        self.room = most
        self.was_full = False
        self._name = name
        self._least, self._most = least, most
        self._growth_ms, self._growth_shift = growth
        self._apply = apply
        self._alarms = alarms
        self._begin = self._seen = self._done = self._grows_at = 0

    def close(self):
        self._alarms.cancel(self._name)

    def left(self, now, done):
        """A turn has left packets in the queue.

        now   ms of the clock
        done  what the turn has taken from the queue, in the unit of the room
        """
        if not self.was_full or now > self._seen + _GAP_MS:
            self.was_full = True
            self._begin, self._done = now, -done
        self._seen = now
        self._done += done
        if now < self._begin + _WINDOW_MS:
            return
        self._set(self._done * TARGET_MS // (now - self._begin))
        self._begin, self._done = now, 0
        self._grow_later(now)

    def _grow_later(self, now):
        self._grows_at = now + self._growth_ms
        self._alarms.set(self._name, self._grows_at, self._grow)

    def _grow(self):
        self._set(self.room + (self.room >> self._growth_shift) + 1)
        if self.room < self._most:
            self._grow_later(self._grows_at)

    def _set(self, room):
        room = min(max(room, self._least, self.room >> 1), self._most)
        # A change costs more than a packet, and packets can be lost at that moment.
        if abs(room - self.room) * 16 > self.room or room == self._most:
            self.room = room
            self._apply(room)
