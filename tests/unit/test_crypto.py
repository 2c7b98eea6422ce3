"""The primitives, compared with published vectors, and the functions for runs, compared with those for single packets."""

from wgembed import crypto
from wgembed.packets import runs
from wgembed.packets.arena import Arena, Inbox

from .support import Random, allocated, raises


def h(text):
    return bytes.fromhex(text.replace(" ", ""))


KEY = bytes(range(32))

# RFC 7748, 5.2: scalar, u-coordinate, result
X25519 = (
    (
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    ),
    (
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    ),
)
# RFC 7748, 6.1
ALICE = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
ALICE_PUBLIC = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
BOB = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
BOB_PUBLIC = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
SHARED = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"

# RFC 8439, A.5; the nonce is four zero bytes and the counter, as in WireGuard
A5_KEY = "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0"
A5_COUNTER = 0x0807060504030201
A5_AD = "f33388860000000000004e91"
A5_PLAIN = (
    b"Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, or obsoleted "
    b"by other documents at any time. It is inappropriate to use Internet-Drafts as reference material or to cite them "
    b"other than as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d"
)
A5_SEALED = (
    "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7"
    "b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06e"
    "f4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433"
    "225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa7699"
    "1955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b"
    "714d6c6f2c29a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38"
)

# draft-irtf-cfrg-xchacha-03, A.3.1
XCHACHA_KEY = bytes(range(0x80, 0xA0))
XCHACHA_NONCE = bytes(range(0x40, 0x58))
XCHACHA_AD = "50515253c0c1c2c3c4c5c6c7"
XCHACHA_PLAIN = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
)
XCHACHA_SEALED = (
    "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64"
    "c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c"
    "97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49"
)

# HKDF, made with CPython's hmac and hashlib: input keying material, 96 bytes of output under the salt KEY
HKDF = (
    (
        bytes(range(100, 132)),
        "e3b7e038799447459d13f6cc03b71555c0b32ee93354ebe4526ec98bc53b20a4"
        "ca06d8e46b509266c7c0594805ffb9c256348a33c642381348f047e452d239e2"
        "5ee952936bec1473c13db1cc92b8d8ba5ad2df7c77f07478731d48aa5530a000",
    ),
    (
        b"",
        "7a38c34bf2b8738d7374ca77c44ecb309a11d2b2528304fa86052c365e722624"
        "1a17621f346abdc520746a9fb64d8eb03231d674fc15687537b0780fd9c060fd"
        "4eaf02809ac4b930ef63479de62275f1c55656e61f78a3cc653c18a2223d6c5f",
    ),
)


def test_x25519():
    for scalar, point, result in X25519:
        out = bytearray(32)
        assert crypto.x25519(out, h(scalar), h(point))
        assert out == h(result)


def test_x25519_agreement():
    out = bytearray(32)
    crypto.x25519_base(out, h(ALICE))
    assert out == h(ALICE_PUBLIC)
    crypto.x25519_base(out, h(BOB))
    assert out == h(BOB_PUBLIC)
    assert crypto.x25519(out, h(ALICE), h(BOB_PUBLIC)) and out == h(SHARED)
    assert crypto.x25519(out, h(BOB), h(ALICE_PUBLIC)) and out == h(SHARED)


def test_x25519_tells_an_all_zero_result():
    out = bytearray(32)
    assert not crypto.x25519(out, h(ALICE), bytes(32))
    assert not crypto.x25519(out, h(ALICE), b"\1" + bytes(31))


def test_blake2s():
    assert crypto.blake2s(32, b"", b"abc") == h("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982")
    assert crypto.blake2s(32, b"", b"a", b"", b"bc") == crypto.blake2s(32, b"", b"abc")
    assert crypto.blake2s(16, KEY, b"abc") == h("61ba5f165c194692e09d12520cc4c74a")
    assert crypto.blake2s(32, b"") == h("69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9")


def test_blake2s_takes_any_bytes():
    view = memoryview(bytearray(b"?abc?"))[1:4]
    assert crypto.blake2s(16, memoryview(bytearray(KEY)), view) == crypto.blake2s(16, KEY, b"abc")


def test_kdf():
    for data, result in HKDF:
        for count in (1, 2, 3):
            out = bytearray(32 * count)
            crypto.kdf(out, KEY, data)
            assert out == h(result)[: 32 * count]
            crypto.kdf(memoryview(out), memoryview(bytearray(KEY)), memoryview(bytearray(data)))
            assert out == h(result)[: 32 * count]


def test_aead():
    out = bytearray(len(A5_PLAIN) + 16)
    crypto.seal(out, h(A5_KEY), A5_COUNTER, A5_PLAIN, h(A5_AD))
    assert out == h(A5_SEALED)
    plain = bytearray(len(A5_PLAIN))
    assert crypto.open(plain, h(A5_KEY), A5_COUNTER, out, h(A5_AD))
    assert plain == A5_PLAIN


def test_aead_tampering():
    sealed = h(A5_SEALED)
    plain = bytearray(len(A5_PLAIN))
    for i in (0, 100, len(sealed) - 16, len(sealed) - 1):
        tampered = bytearray(sealed)
        tampered[i] ^= 1
        assert not crypto.open(plain, h(A5_KEY), A5_COUNTER, tampered, h(A5_AD))
    assert not crypto.open(plain, h(A5_KEY), A5_COUNTER + 1, sealed, h(A5_AD))
    assert not crypto.open(plain, h(A5_KEY), A5_COUNTER, sealed, h(A5_AD)[:-1])
    assert not crypto.open(plain, KEY, A5_COUNTER, sealed, h(A5_AD))


def test_aead_of_nothing():
    out = bytearray(16)
    crypto.seal(out, KEY, 0, b"", b"")
    assert crypto.open(bytearray(0), KEY, 0, out, b"")
    assert not crypto.open(bytearray(0), KEY, 1, out, b"")


def test_aead_with_the_largest_counters():
    out, plain = bytearray(19), bytearray(3)
    for counter in (1 << 30, 1 << 32, 1 << 62, (1 << 64) - 1):
        crypto.seal(out, KEY, counter, b"abc", b"")
        assert crypto.open(plain, KEY, counter, out, b"") and plain == b"abc"
        assert not crypto.open(plain, KEY, counter & 0xFFFF, out, b"") or counter < 1 << 16


def test_aead_in_views():
    arena = memoryview(bytearray(100))
    arena[10:13] = b"abc"
    crypto.seal(arena[20:39], memoryview(bytearray(KEY)), 7, arena[10:13], arena[50:60])
    assert crypto.open(arena[60:63], KEY, 7, arena[20:39], bytes(10))
    assert bytes(arena[60:63]) == b"abc"
    assert not any(arena[39:60]) and not any(arena[63:])


def test_xaead():
    out = bytearray(len(XCHACHA_PLAIN) + 16)
    crypto.xseal(out, XCHACHA_KEY, XCHACHA_NONCE, XCHACHA_PLAIN, h(XCHACHA_AD))
    assert out == h(XCHACHA_SEALED)
    plain = bytearray(len(XCHACHA_PLAIN))
    assert crypto.xopen(plain, XCHACHA_KEY, XCHACHA_NONCE, out, h(XCHACHA_AD))
    assert plain == XCHACHA_PLAIN
    out[0] ^= 128
    assert not crypto.xopen(plain, XCHACHA_KEY, XCHACHA_NONCE, out, h(XCHACHA_AD))


def test_wrong_lengths_are_refused():
    for function, arguments in (
        (crypto.x25519, (bytearray(31), bytes(32), bytes(32))),
        (crypto.x25519, (bytearray(32), bytes(33), bytes(32))),
        (crypto.x25519, (bytearray(32), bytes(32), bytes(31))),
        (crypto.x25519_base, (bytearray(33), bytes(32))),
        (crypto.x25519_base, (bytearray(32), bytes(0))),
        (crypto.seal, (bytearray(18), KEY, 0, b"abc", b"")),
        (crypto.seal, (bytearray(19), KEY[1:], 0, b"abc", b"")),
        (crypto.open, (bytearray(4), KEY, 0, bytes(19), b"")),
        (crypto.open, (bytearray(0), KEY, 0, bytes(15), b"")),
        (crypto.open, (bytearray(3), KEY[1:], 0, bytes(19), b"")),
        (crypto.xseal, (bytearray(19), KEY, bytes(23), b"abc", b"")),
        (crypto.xseal, (bytearray(20), KEY, bytes(24), b"abc", b"")),
        (crypto.xopen, (bytearray(3), KEY, bytes(25), bytes(19), b"")),
        (crypto.xopen, (bytearray(2), KEY, bytes(24), bytes(19), b"")),
    ):
        raises(ValueError, function, *arguments)


def test_memzero():
    buf = bytearray(b"secret and not")
    crypto.memzero(memoryview(buf)[:6])
    assert buf == bytes(6) + b" and not"
    crypto.memzero(bytearray(0))


def test_equal():
    assert crypto.equal(b"abc", bytearray(b"abc"))
    assert crypto.equal(b"", b"")
    assert not crypto.equal(b"abc", b"abd")
    assert not crypto.equal(b"abc", b"abcd")
    assert crypto.equal(memoryview(bytearray(b"xabc"))[1:], b"abc")


def test_same():
    buf = bytearray(b"..abcd.abce")
    assert runs.bytes_equal(buf, 2, 7, 3)
    assert not runs.bytes_equal(buf, 2, 7, 4)
    assert not runs.bytes_equal(buf, 2, 8, 3)
    assert runs.bytes_equal(buf, 2, 7, 0)

    def compare(count):
        for _ in range(count):
            runs.bytes_equal(buf, 2, 7, 3)

    assert allocated(compare) == 0


def test_a_pointer_is_to_a_whole_buffer():
    buf = bytearray(100)
    crypto.pointer_to(buf)
    crypto.pointer_to(memoryview(buf))
    if hasattr(memoryview(buf), "obj"):  # MicroPython does not know the buffer of a view
        raises(ValueError, crypto.pointer_to, memoryview(buf)[:50])
        raises(ValueError, crypto.pointer_to, memoryview(buf)[50:])


def test_alike():
    random = Random(3)
    for size in (1, 2, 4, 8, 16):
        for stride in (size, size + 1, 24, 40, 41, 42):
            for count in (0, 1, 2, 3, 20):
                view = memoryview(bytearray(random.bytes(count * stride + 64)))
                at = random.below(32)
                for i in range(1, count):
                    view[at + i * stride : at + i * stride + size] = bytes(view[at : at + size])
                assert runs.common_run(view, at, size, stride, count) == count
                for number in range(1, count):
                    for byte in range(size):
                        view[at + number * stride + byte] ^= 1
                        assert runs.common_run(view, at, size, stride, count) == number
                        view[at + number * stride + byte] ^= 1
    view = memoryview(bytearray(64 * 96))

    def compare(times):
        for _ in range(times):
            runs.common_run(view, 16, 16, 96, 60)

    assert allocated(compare) == 0


def test_random_fill():
    buf = bytearray(66)
    crypto.random_fill(memoryview(buf)[1:65])
    assert buf[0] == buf[65] == 0
    assert len(set(buf)) > 16
    again = bytearray(buf)
    crypto.random_fill(memoryview(buf)[1:65])
    assert buf != again


HEADER = b"\4\0\0\0\xf1\xe2\xd3\xc4"


class Bench:
    """An arena, an inbox and a key, and functions that copy messages from the arena to the inbox."""

    def __init__(self):
        self.arena = Arena(1420, 16384)
        self.inbox = Inbox(16384)
        self._key = bytearray(KEY)
        self.key = crypto.pointer_to(self._key)

    def put(self, slot, packet):
        offset = self.arena.packets[slot]
        self.arena.buffer[offset : offset + len(packet)] = packet
        self.arena.lengths[slot] = len(packet)

    def message(self, slot):
        offset = self.arena.offsets[slot]
        return bytes(self.arena.buffer[offset : offset + self.arena.lengths[slot]])

    def receive(self, start, messages):
        """Write the messages one after the other; return the end of the last one."""
        for message in messages:
            self.inbox.buffer[start : start + len(message)] = message
            start += len(message)
        return start

    def opened(self, start, stride, i):
        offset = start + i * stride + 16
        return bytes(self.inbox.buffer[offset : offset + self.inbox.lengths[i]])


def sealed(packet, counter, header=HEADER):
    """Return a transport message, made with the functions for single packets."""
    out = bytearray(len(packet) + 16)
    crypto.seal(out, KEY, counter, packet, b"")
    return header + bytes([counter >> 8 * i & 255 for i in range(8)]) + out


def test_seal_run():
    bench = Bench()
    packets = [bytes([i]) * (16 * i) for i in range(5)]
    for slot, packet in enumerate(packets):
        bench.put(slot, packet)
    runs.seal_run(bench.arena, 1, 4, bench.key, HEADER, 0x1234567890, 0)
    for slot in (1, 2, 3):
        assert bench.message(slot) == sealed(packets[slot], 0x1234567890 + slot - 1)
    # The neighbours do not change.
    assert bench.arena.lengths[:5] == [0, 48, 64, 80, 64]
    offset = bench.arena.packets[4]
    assert bench.arena.buffer[offset : offset + 64] == packets[4]


def test_seal_run_with_the_largest_counters():
    bench = Bench()
    for counter in ((1 << 30) - 1, (1 << 32) - 1, (1 << 62) - 1, (1 << 64) - 2):
        bench.put(0, b"abc")
        bench.put(1, b"defg")
        runs.seal_run(bench.arena, 0, 2, bench.key, HEADER, counter, 0)
        assert bench.message(0) == sealed(b"abc", counter)
        assert bench.message(1) == sealed(b"defg", counter + 1)


def test_seal_run_of_any_sizes():
    """Runs of equal sizes, long and short, with other sizes between them."""
    random = Random(7)
    for counter in (0, (1 << 32) - 3, (1 << 33) - 1, (1 << 64) - 65):
        bench = Bench()
        packets = []
        slots = bench.arena.slots
        while len(packets) < slots:
            packets += [random.bytes(1 + random.below(1420))] * (1 + random.below(9))
        packets = packets[:slots]
        for slot in range(slots):
            bench.put(slot, packets[slot])
        total = runs.seal_run(bench.arena, 0, slots, bench.key, HEADER, counter, 1420)
        expected = []
        for number in range(slots):
            size = len(packets[number])
            padding = min(-size % 16, 1420 - size)
            expected.append(sealed(packets[number] + bytes(padding), counter + number))
        assert [bench.message(slot) for slot in range(slots)] == expected
        assert total == sum(map(len, expected))


def test_seal_run_pads_with_zeros_up_to_the_mtu():
    for size, mtu, padded in (
        (0, 1420, 0), (1, 1420, 16), (15, 1420, 16), (16, 1420, 16), (17, 1420, 32), (1405, 1420, 1408),
        (1409, 1420, 1420), (1420, 1420, 1420), (20, 20, 20), (21, 25, 25), (30, 20, 30),
    ):  # fmt: skip
        bench = Bench()
        packet = b"p" * size
        offset = bench.arena.packets[0]
        bench.arena.buffer[offset : offset + 1500] = b"\xee" * 1500
        bench.put(0, packet)
        assert runs.seal_run(bench.arena, 0, 1, bench.key, HEADER, 5, mtu) == padded + 32
        assert bench.message(0) == sealed(packet + bytes(padded - size), 5)


def test_seal_run_of_nothing():
    bench = Bench()
    runs.seal_run(bench.arena, 2, 2, bench.key, HEADER, 0, 0)
    assert not any(bench.arena.buffer)


def test_open_run():
    bench = Bench()
    packets = [b"a" * 48, b"b" * 48, b"c" * 16]
    counters = [0, 1 << 33, (1 << 64) - 1]
    end = bench.receive(64, [sealed(packet, counter) for packet, counter in zip(packets, counters)])  # noqa: B905
    assert runs.open_run(bench.inbox, 64, end, 80, bench.key) == 3
    assert bench.inbox.lengths[:3] == [48, 48, 16]
    assert bench.inbox.counters[:3] == counters
    assert [bench.opened(64, 80, i) for i in range(3)] == packets


def test_open_run_undoes_seal_run():
    bench = Bench()
    packets = [bytes([i]) * 1408 for i in range(6)]
    for slot, packet in enumerate(packets):
        bench.put(slot, packet)
    runs.seal_run(bench.arena, 0, 6, bench.key, HEADER, 77, 0)
    end = bench.receive(0, [bench.message(slot) for slot in range(6)])
    assert runs.open_run(bench.inbox, 0, end, 1440, bench.key) == 6
    assert [bench.opened(0, 1440, i) for i in range(6)] == packets
    assert bench.inbox.counters[:6] == list(range(77, 83))


def test_open_run_tells_whether_all_came_in_order():
    for size in (16, 21, 48):  # strides with and without the alignment of 4 bytes
        for counters, in_order in (
            ((7,), True), ((7, 8, 9, 10), True), ((7, 8, 10, 11), False), ((7, 7), False), ((8, 7), False),
            (((1 << 32) - 1, 1 << 32), True), (((1 << 32) - 1, 0), False), ((1 << 40, (1 << 40) + 1), True),
        ):  # fmt: skip
            bench = Bench()
            end = bench.receive(0, [sealed(b"p" * size, counter) for counter in counters])
            assert runs.open_run(bench.inbox, 0, end, size + 32, bench.key) == len(counters)
            assert tuple(bench.inbox.counters[: len(counters)]) == counters
            assert bench.inbox.in_order is in_order
    messages = [bytearray(sealed(b"p" * 16, counter)) for counter in (7, 8)]
    messages[1][20] ^= 1
    bench = Bench()
    end = bench.receive(0, messages)
    runs.open_run(bench.inbox, 0, end, 48, bench.key)
    assert not bench.inbox.in_order


def test_open_run_of_one_keepalive():
    bench = Bench()
    end = bench.receive(0, [sealed(b"", 9)])
    assert runs.open_run(bench.inbox, 0, end, 65535, bench.key) == 1
    assert bench.inbox.lengths[0] == 0 and bench.inbox.counters[0] == 9


def test_open_run_marks_what_was_tampered_with_and_goes_on():
    bench = Bench()
    messages = [sealed(bytes([i]) * 32, i) for i in range(4)]
    for i, place in ((1, 8), (2, 63)):
        message = bytearray(messages[i])
        message[place] ^= 1
        messages[i] = bytes(message)
    end = bench.receive(0, messages)
    assert runs.open_run(bench.inbox, 0, end, 64, bench.key) == 4
    assert bench.inbox.lengths[:4] == [32, -1, -1, 32]
    assert bench.opened(0, 64, 3) == b"\3" * 32


def test_open_run_stops_at_another_header():
    for place in range(8):
        bench = Bench()
        other = bytearray(HEADER)
        other[place] ^= 1
        messages = [sealed(b"x" * 16, 0), sealed(b"y" * 16, 1), sealed(b"z" * 16, 2, bytes(other)), sealed(b"w" * 16, 3)]
        end = bench.receive(0, messages)
        bench.inbox.lengths[2] = 12345
        assert runs.open_run(bench.inbox, 0, end, 48, bench.key) == 2
        assert bench.inbox.lengths[2] == 12345
        assert bytes(bench.inbox.buffer[96:144]) == messages[2]


def test_open_run_leaves_short_datagrams():
    bench = Bench()
    for size in range(32):
        end = bench.receive(0, [sealed(b"", 0)[:size]])
        assert runs.open_run(bench.inbox, 0, end, 65535, bench.key) == 0
    messages = [sealed(b"x" * 16, 0), sealed(b"y" * 16, 1), sealed(b"", 2)[:31]]
    end = bench.receive(0, messages)
    assert runs.open_run(bench.inbox, 0, end, 48, bench.key) == 2


def test_open_run_keeps_to_the_room_for_results():
    bench = Bench()
    most = len(bench.inbox.counters)
    end = bench.receive(0, [sealed(b"", i) for i in range(most + 3)])
    assert runs.open_run(bench.inbox, 0, end, 32, bench.key) == most
    assert bench.inbox.counters == list(range(most))
    assert runs.open_run(bench.inbox, most * 32, end, 32, bench.key) == 3


def test_runs_do_not_allocate():
    bench = Bench()
    # A small int on a 32-bit machine does not hold a pointer.
    if isinstance(bench.key, int) and bench.key < 1 << 32:
        return

    def run(count):
        # One run has up to ten packets.
        for _ in range(count // 10 or 1):
            slots = min(count, 10)
            for slot in range(slots):
                bench.arena.lengths[slot] = 1408
            runs.seal_run(bench.arena, 0, slots, bench.key, HEADER, 5, 0)

    def open_run(count):
        for _ in range(count // 10 or 1):
            runs.open_run(bench.inbox, 0, min(count, 10) * 1440, 1440, bench.key)

    assert allocated(run) == 0
    bench.receive(0, [sealed(bytes(1408), i) for i in range(10)])
    assert allocated(open_run) == 0
