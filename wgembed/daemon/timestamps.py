"""Timestamps that never go back, even if the machine starts with its clock set back.

A peer drops an initiation whose timestamp is not newer than the last one that the peer accepted, and a router without a
battery for its clock starts in the past. Therefore a high-water mark is kept in /etc/wgembed/clock: no timestamp above the
mark was ever sent. The mark is set more than an hour ahead, at most once an hour, and once at the start if it is reached.
Flash lasts for years at that rate.

A second file, in /var/run, contains the last timestamp itself. The file is lost when the machine restarts, but not when the
daemon restarts. So a restart of the daemon does not use up an hour of the mark, and does not write to flash.

Both files contain the 12 bytes of a TAI64N timestamp in hexadecimal, and their BLAKE2s. The file on flash is written under
another name, synced and renamed, because power can fail at any byte.
"""

from binascii import hexlify, unhexlify

from .. import crypto
from ..errors import cause
from ..protocol.constants import TAI64_EPOCH, TIMESTAMP_SIZE
from ..protocol.tai64n import Tai64n, seconds
from ..runtime import system

# A clock before this time (2025-01-01) was never set. In s since 1970.
CLOCK_UNSET = 1735689600
# The mark is set AHEAD_S ahead, and set again when only SPARE_S of that remain: an hour later. In seconds.
AHEAD_S = 4200
SPARE_S = 600
# If flash cannot be written, the next attempt is this much later, in seconds.
AGAIN_S = 60


class Timestamps(Tai64n):
    """The source of timestamps for all initiations of the process.

    flash, run  the files with the high-water mark and with the last timestamp
    save(path, data, urgent, failed)  replaces the file. If not urgent, it does so in the background, and calls failed() if
                                      the file could not be replaced (runtime/durable.py).
    """

    def __init__(self, flash, run, save, log):
        super().__init__()
        self._flash = flash
        self._run = run
        self._save = save
        self._log = log
        self._told = False  # whether it was logged that the mark cannot be stored
        self._again = 0  # the mark is not stored before this time, in s since 1970
        self._high_water = read(flash)
        last = read(run)
        if last is None:
            # The machine has restarted: all timestamps up to the mark can have been used.
            last = self._high_water
        if last is not None:
            self.latest[:] = last

    def make(self, sec, nsec):
        """See Tai64n.make. Both files are updated."""
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
        """The mark on flash is still the old one: a later timestamp tries again."""
        self._high_water = before
        self._again = seconds(self.latest) + AGAIN_S


def read(path):
    """Return the timestamp in the file, 12 bytes, or None if the file is missing or damaged."""
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
