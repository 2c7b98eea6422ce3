"""That the library and its caller mean the same struct, and that it notices if they do not."""

import ctypes
import re

import pytest
from nacl._sodium import ffi, lib

from wgembed.packets import fastpath

from ..lab.fastpath import SOURCE
from . import fastlib

LETTERS = {"int32_t": "i", "uint32_t": "I", "uint64_t": "Q"}


def letters(declarations):
    """The letters for a result and parameters as they are declared in C, names and all."""
    return "".join("P" if "*" in one else LETTERS[one.replace("const ", "").split()[0]] for one in declarations)


def test_prototypes():
    """The daemon calls each function by the types that it has."""
    text = SOURCE.read_text()
    found = {}
    for result, name, parameters in re.findall(r"^(u?int32_t) wgembed_(\w+)\(([^)]*)\);", text, re.M):
        parameters = [] if parameters == "void" else parameters.replace("\n", " ").split(",")
        found[name] = letters([result]), letters(parameter.strip() for parameter in parameters)
    del found["chacha20"]  # which only tests call
    assert found == fastpath._FUNCTIONS


def test_fields():
    """Each field is where the daemon takes it to be."""
    struct = re.search(r"^struct fastpath \{(.*?)^\};", SOURCE.read_text(), re.M | re.S)[1]
    words = {}
    at = 0
    for kind, name in re.findall(r"^    (uint\d\d_t) (\w+);", struct, re.M):
        words[name] = at
        at += {"uint64_t": 2, "uint32_t": 1}[kind]
    assert at == fastpath._SIZE and 4 * at == fastpath._ABI & 0xFFFF
    assert tuple(words)[:12] == fastlib.MEMORY + fastlib.SODIUM
    named = {name[1:].lower(): value for name, value in vars(fastpath).items() if re.fullmatch(r"_[A-Z_]+", name)}
    fields = {name.removesuffix("_field"): value for name, value in named.items() if isinstance(value, int)}
    checked = [name for name in fields if name in words and name != "abi"]
    assert len(checked) >= 11 and all(fields[name] == words[name] for name in checked)
    assert words["abi"] == fastpath._ABI_FIELD


def test_abi(fast):
    assert fast.abi() == fastpath._ABI and ctypes.sizeof(fastlib.State) == fastpath._ABI & 0xFFFF


def test_self_test(fast):
    assert fast.self_test() == 0


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [("abi", 0, 1), ("slots", 100_000, 2), ("slot_size", 1424, 2), ("stride", 1451, 2), ("counters", 4, 3),
     ("lengths", 0, 3), ("inbox", 0, 3), ("encrypt", 0, 5), ("authenticate", 0, 5), ("verify", 0, 5)],
)  # fmt: skip
def test_disagreement(fast, field, value, expected):
    setattr(fast.state, field, value)
    assert fast.self_test() == expected


def test_another_construction(fast):
    for name in ("encrypt", "decrypt"):
        function = ffi.addressof(lib, "crypto_aead_xchacha20poly1305_ietf_" + name)
        setattr(fast.state, name, int(ffi.cast("uintptr_t", function)))
    assert fast.self_test() == 5


def test_a_libsodium_without_the_parts(fast):
    """The AEAD as a whole will do."""
    assert fast.state.stream, "else the parts are not under test here"
    fast.state.stream = fast.state.authenticate = fast.state.verify = 0
    assert fast.self_test() == 0
