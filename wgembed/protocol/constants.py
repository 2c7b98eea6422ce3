"""The numbers of the protocol, named as in the WireGuard paper and the Linux kernel. Times are in ms."""

# Timers (WireGuard paper, 6.1; Linux messages.h)
REKEY_AFTER_MESSAGES = 1 << 60
REJECT_AFTER_MESSAGES = (1 << 64) - (1 << 13) - 1
REKEY_AFTER_TIME = 120_000
REJECT_AFTER_TIME = 180_000
REKEY_TIMEOUT = 5_000
REKEY_TIMEOUT_JITTER_MAX = 333
KEEPALIVE_TIMEOUT = 10_000
# 90 s of attempts. The test is "more than", so twenty initiations are sent before the handshake times out.
MAX_TIMER_HANDSHAKES = 18
# Not of Linux: the longest time between two initiations without an answer, before jitter. See `retry_interval` in timers.py.
RETRY_INTERVAL_MAX = 60_000
# Linux: REKEY_TIMEOUT_JITTER_MAX. All peers of a hub that restarts notice it at the same time.
NO_REPLY_JITTER_MAX = 5_000
COOKIE_SECRET_MAX_AGE = 120_000
COOKIE_SECRET_LATENCY = 5_000
INITIATION_INTERVAL = 20  # Linux: 1 s / INITIATIONS_PER_SECOND
UNDER_LOAD_TIME = 1_000

# Longer ago than every timeout, for every `now`.
NEVER = -3 * REJECT_AFTER_TIME

# An initiator that receives a packet under a key of this age starts a handshake. A keepalive and a handshake still fit
# before the key is rejected.
REKEY_ON_RECEIVE_AFTER = REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT

# Replay window (RFC 6479; Linux messages.h)
COUNTER_BITS_TOTAL = 8192
COUNTER_WINDOW_SIZE = COUNTER_BITS_TOTAL - 64  # the kernel keeps one word of 64 bits free

# Queues
MAX_STAGED_PACKETS = 128
MAX_QUEUED_HANDSHAKES = 128
# These places are reserved for messages from endpoints of peers. So a flood from other addresses does not stop rekeys.
RESERVED_HANDSHAKES = MAX_QUEUED_HANDSHAKES // 8
UNDER_LOAD_HANDSHAKES = MAX_QUEUED_HANDSHAKES // 8
# The work for a handshake, as a multiple of that for a message under load, which mostly gets a cookie and needs no X25519.
HANDSHAKE_WORK = 8

# Message types and sizes (paper, 5.4.2 to 5.4.7)
MESSAGE_INITIATION = 1
MESSAGE_RESPONSE = 2
MESSAGE_COOKIE_REPLY = 3
MESSAGE_TRANSPORT = 4
INITIATION_SIZE = 148
RESPONSE_SIZE = 92
COOKIE_REPLY_SIZE = 64
TRANSPORT_HEADER_SIZE = 16
TRANSPORT_OVERHEAD = 32  # header and authentication tag

KEY_SIZE = 32
TAG_SIZE = 16
MAC_SIZE = 16
COOKIE_SIZE = 16
TIMESTAMP_SIZE = 12

CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
LABEL_MAC1 = b"mac1----"
LABEL_COOKIE = b"cookie--"

# TAI64N: the label of 1970-01-01 is 2^62 + 10, as in Linux (noise.c, tai64n_now). The low bits of the nanoseconds are
# cleared, as there, so that a timestamp does not show the exact clock of its sender.
TAI64_EPOCH = (1 << 62) + 10
TAI64N_COARSENESS = 1 << 24

# Results of host.send and host.send_run
SEND_OK = 0
SEND_LOST = 1
SEND_BAD_SOURCE = 2  # the machine no longer has the source address; nothing was sent

# The largest MTU of a tunnel device: a message with its headers and tag must fit into one UDP datagram.
MAX_MTU = 65535 - 80
DEFAULT_MTU = 1420
# The smallest MTU for IPv4 (RFC 791: every host accepts such packets) and for IPv6 (RFC 8200, 5).
IPV4_MIN_MTU = 576
IPV6_MIN_MTU = 1280
# The largest peer table. The index table keeps the numbers of a peer and of its slot together in 16 bits.
MAX_PEERS = 16383

# Inner and outer IP
HANDSHAKE_DSCP = 0x88  # AF41, as the whole TOS byte, with zero ECN bits
ECN_MASK = 3
ECN_NOT_ECT = 0
ECN_ECT1 = 1
ECN_ECT0 = 2
ECN_CE = 3
