"""What is read out of valgrind's profiles."""

import pytest

from .instructions import group, objects

PROFILE = """\
events: Ir

ob=(1) /usr/bin/python3.11
fl=(1) ???
fn=(1) main
0 100
+3 5
cob=(2) /lib/libsodium.so.23
cfn=(2) seal
calls=3 0
0 60
* 1
ob=(2)
fn=(2)
0 60
ob=(3) ???
fn=(3)
-2 4

totals: 170
"""


def test_instructions_are_counted_where_they_are():
    assert objects(PROFILE.splitlines()) == {"/usr/bin/python3.11": 106, "/lib/libsodium.so.23": 60, "???": 4}


CALLED_THROUGH_LIBFFI = """\
ob=(1) /v/_cffi_backend.so
fl=(1) ffi.c
fn=(1) ffi_call_int
0 100
cob=(2) /tmp/x/fastpath.so
cfi=(2) /src/fastpath/fastpath.c
cfn=(2) sum_bytes
calls=3 0
0 60
fi=(2)
0 50
fe=(1)
0 5
ob=(2)
fl=(2)
fn=(2)
0 60
fl=(3) other.c
fn=(3) start
0 7
totals: 222
"""


def test_the_library_is_told_by_its_source():
    assert objects(CALLED_THROUGH_LIBFFI.splitlines()) == {
        "/v/_cffi_backend.so": 105, "/src/fastpath/fastpath.c": 110, "/tmp/x/fastpath.so": 7,
    }  # fmt: skip


def test_a_profile_that_does_not_add_up():
    with pytest.raises(AssertionError):
        objects(PROFILE.replace("totals: 170", "totals: 171").splitlines())


def test_groups():
    known = {
        "interpreter": ["/usr/bin/python3.11", "/opt/bin/micropython", "/usr/lib/libpython3.11.so.1.0"],
        "libsodium": ["/v/nacl/_sodium.abi3.so", "/lib/libsodium.so.23"],
        "fastpath": ["/tmp/x/fastpath.so", "/src/fastpath/fastpath.c"],
        "libc": ["/lib/libc.so.6", "/lib/ld-linux-x86-64.so.2"],
        "others": ["/v/_cffi_backend.cpython-311-x86_64-linux-gnu.so", "/lib/libffi.so.8", "???"],
    }
    assert {name: [path for path in paths if group(path) == name] for name, paths in known.items()} == known
