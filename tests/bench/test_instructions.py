"""What is read out of valgrind's profiles."""

import pytest

from bench.instructions import group, objects

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


def test_a_profile_that_does_not_add_up():
    with pytest.raises(AssertionError):
        objects(PROFILE.replace("totals: 170", "totals: 171").splitlines())


def test_groups():
    known = {
        "interpreter": ["/usr/bin/python3.11", "/opt/bin/micropython", "/usr/lib/libpython3.11.so.1.0"],
        "libsodium": ["/v/nacl/_sodium.abi3.so", "/lib/libsodium.so.23"],
        "libc": ["/lib/libc.so.6", "/lib/ld-linux-x86-64.so.2"],
        "others": ["/v/_cffi_backend.cpython-311-x86_64-linux-gnu.so", "/lib/libffi.so.8", "???"],
    }
    assert {name: [path for path in paths if group(path) == name] for name, paths in known.items()} == known
