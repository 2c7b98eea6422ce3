"""`wgembed genkey`, `genpsk` and `pubkey` beside the real `wg`."""

import base64
import stat
import subprocess

import pytest

from ..lab import wire
from ..lab.need import need, programs


@pytest.fixture(autouse=True)
def wg():
    need(programs, "wg")


def run(argv, input=b"", **how):
    done = subprocess.run(argv, input=input, capture_output=True, timeout=30, **how)
    return done.returncode, done.stdout, done.stderr


KEY = base64.b64encode(bytes(range(8, 40)))
GOOD = [
    KEY,
    KEY + b"\n",
    KEY + b"\r\n",
    KEY + b" \t\n\n",
    KEY + b"\v\f",
    KEY + b"\0\n\0",
    KEY + b"\n" * 9000,
    base64.b64encode(bytes(32)),
    base64.b64encode(b"\xff" * 32),
]
BAD = [
    b"",
    b"\n",
    b"x",
    KEY[:-1],
    KEY[:-1] + b"\n",
    KEY[:-2] + b"j=",
    KEY[:-1] + b"A",
    b" " + KEY,
    KEY + b"x",
    KEY + b"\n" + KEY + b"\n",
    KEY + b" " * 20 + b"x",
    b"\n" + KEY[:-1],
    "\u00fc".encode() * 22,
    b"\xff" * 44,
    b"\0" * 44,
    b"A" * 1000,
    KEY[:20] + b"\n" + KEY[20:43],
    b"-" * 43 + b"=",
    KEY.replace(b"=", b"\0"),
    KEY[:43] + b"\n",
    KEY + b" " * 5000 + b"x",
    KEY[:44] + b"\0" * 10 + b"x",
    b"=" * 44,
]


@pytest.mark.parametrize("text", GOOD + BAD)
def test_pubkey_answers_as_wg_does(command, text):
    code, out, told = run(["wg", "pubkey"], text)
    assert (code, bool(out)) == (0, True) if text in GOOD else (1, False)
    assert run([*command, "pubkey"], text) == (code, out, told.replace(b"wg:", b"wgembed:"))


def test_what_cannot_be_read_is_no_key(command):
    done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *command, "pubkey"], capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (1, b"wgembed: Key is not the correct length or format\n")


def test_genkey_makes_keys_that_wg_takes(command):
    keys = [run([*command, "genkey"]) for _ in range(5)]
    assert len(set(keys)) == 5 and all(code == 0 and not told for code, _, told in keys)
    for _, out, _ in keys:
        raw = base64.b64decode(out)
        assert len(out) == 45 and raw[0] & 7 == 0 and raw[31] & 0xC0 == 0x40
        assert (
            run(["wg", "pubkey"], out)[1]
            == run([*command, "pubkey"], out)[1]
            == base64.b64encode(wire.public_key(raw)) + b"\n"
        )


def test_preshared_keys_are_random(command):
    keys = [base64.b64decode(run([*command, "genpsk"])[1]) for _ in range(12)]
    assert len(set(keys)) == 12 and {len(key) for key in keys} == {32}
    # A private key has five bits fixed; twelve of these would have one in 2^60.
    assert any(key[0] & 7 for key in keys) and any(key[31] & 0xC0 != 0x40 for key in keys)


@pytest.mark.parametrize("verb", ["genkey", "genpsk"])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604, 0o602])
def test_a_file_that_all_can_read_is_told_of(command, tmp_path, mode, verb):
    told = {}
    for name, argv in (("wg", ["wg"]), ("wgembed", command)):
        file = tmp_path / name
        file.touch()
        file.chmod(mode)
        with open(file, "w") as out:
            done = subprocess.run([*argv, verb], stdout=out, stderr=subprocess.PIPE, timeout=30)
        told[name] = (done.returncode, done.stderr)
        assert len(file.read_text()) == 45 and stat.S_IMODE(file.stat().st_mode) == mode
    assert told["wg"] == told["wgembed"]


@pytest.mark.parametrize("verb", ["genkey", "genpsk", "pubkey"])
def test_what_cannot_be_written_is_told(command, verb):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*command, verb], input=KEY, stdout=full, stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 1 and done.stderr.startswith(b"wgembed: ") and done.stderr.count(b"\n") == 1
    assert KEY not in done.stderr
