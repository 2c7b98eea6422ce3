"""Timestamps that never go back, not even when the machine starts with its clock set back.

A peer refuses an initiation whose timestamp is not newer than the last one it took, and a router without a battery
for its clock starts in the past. So a high-water mark is kept in /etc/wgembed/clock: no timestamp above it was ever sent.
It is written ahead by more than an hour, at most once an hour, and once at the start if it has been reached. Flash lasts
for years at that rate.

A second file, in /var/run, has the last timestamp itself. It does not outlive the machine's start but a start of the
daemon, which therefore costs no hour of the mark on flash, nor a write.

Both files hold 12 bytes of TAI64N in hexadecimal and their BLAKE2s. The one on flash is written beside, synced and
renamed: power may fail at any byte.
"""

from binascii import hexlify, unhexlify

from .. import crypto
from ..errors import cause
from ..protocol.constants import TAI64_EPOCH, TIMESTAMP_SIZE
from ..protocol.tai64n import Tai64n, seconds
from ..runtime import system

# A clock before this (2025-01-01) was never set.
CLOCK_UNSET = 1735689600
# How far ahead the high-water mark is written, and what is left of that when it is written again: an hour apart. In seconds.
AHEAD_S = 4200
SPARE_S = 600
# While flash cannot be written, it is tried again this often.
AGAIN_S = 60


class Timestamps(Tai64n):
    """Where all initiations of the process get their timestamps from.

    flash, run  the files with the high-water mark and with the last timestamp
    save(path, data, urgent, failed)  replaces the file; if it is not urgent, in the background, and calls failed() if
                                      nothing came of it (runtime/durable.py)
    """

    def __init__(self, flash, run, save, log):
        super().__init__()
        self._flash = flash
        self._run = run
        self._save = save
        self._log = log
        self._told = False  # that the mark cannot be kept
        self._again = 0  # not to be tried before this, in seconds since 1970
        self._high_water = read(flash)
        last = read(run)
        if last is None:
            # After a start of the machine: all up to the mark may have been used.
            last = self._high_water
        if last is not None:
            self.latest[:] = last

    def make(self, sec, nsec):
        """See Tai64n.make; both files are kept up."""
        timestamp = super().make(sec, nsec)
        try:
            system.files.write_new(self._run, _encode(timestamp))
        except OSError as e:
            self._log.verbose("cannot write %s: %s" % (self._run, cause(e)))
        if seconds(timestamp) >= self._again:
            if self._high_water is None or timestamp >= self._high_water:
                self._reserve(timestamp, True)
            elif seconds(timestamp) + SPARE_S >= seconds(self._high_water):
                self._reserve(timestamp, False)
        return timestamp

    def _reserve(self, timestamp, urgent):
        before = self._high_water
        self._high_water = (seconds(timestamp) + TAI64_EPOCH + AHEAD_S).to_bytes(8, "big") + bytes(4)
        try:
            self._save(self._flash, _encode(self._high_water), urgent, lambda: self._take_back(before))
        except OSError as e:
            self._take_back(before)
            if not self._told:
                self._log.error("cannot store the high-water mark of timestamps in %s: %s" % (self._flash, cause(e)))
            self._told = True
        else:
            self._told = False

    def _take_back(self, before):
        """The mark on flash is the old one still: a later timestamp tries again."""
        self._high_water = before
        self._again = seconds(self.latest) + AGAIN_S


def read(path):
    """Return the mark in the file, 12 bytes, or None if there is none that is whole."""
    try:
        text = system.files.read_file(path)
    except OSError:
        return None
    try:
        data = unhexlify(text.strip())
    except ValueError:
        return None
    if len(data) != TIMESTAMP_SIZE + 8 or data[TIMESTAMP_SIZE:] != _check(data[:TIMESTAMP_SIZE]):
        return None
    return data[:TIMESTAMP_SIZE]


def _encode(timestamp):
    timestamp = bytes(timestamp)
    return hexlify(timestamp + _check(timestamp)) + b"\n"


def _check(timestamp):
    return bytes(crypto.blake2s(8, b"", timestamp))
