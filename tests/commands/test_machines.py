"""MicroPython of other kinds of machine, emulated: the C library is called as their addresses and structures want it."""

import pytest

from ..lab import foreign, micropython
from ..lab.need import need
from .cli_cases import FULL, KEY, KEY_FILES, device
from .cli_harness import Case

CONFIG = f"[Peer]\nPublicKey = {KEY[1]}\nEndpoint = eight.test:domain\nAllowedIPs = fd00::/9\n"
FILES = {**KEY_FILES, "conf": CONFIG.encode()}
CASES = [
    Case(["show"], {"wg0": FULL}),
    Case(["show", "all", "dump"], {"wg0": FULL}),
    Case(["showconf", "wg0"], {"wg0": device()}),
    Case(["show", "interfaces"]),
    Case(["set", "wg0", "listen-port", "domain", "fwmark", "0xffffffff"], {"wg0": device()}),
    Case(["set", "wg0", "private-key", "key"], {"wg0": device()}, files=FILES),
    Case(["set", "wg0", "peer", KEY[1], "endpoint", "[fe80::1%lo]:5"], {"wg0": device()}),
    Case(["set", "wg0", "peer", KEY[1], "endpoint", "none.test:5"], {"wg0": device()}),
    Case(["syncconf", "wg0", "conf"], {"wg0": FULL}, files=FILES),
    Case(["setconf", "wg0", "none"], {"wg0": device()}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("machine", list(foreign.EMULATORS))
def test_other_machines(place, wgs, machine, case):
    script = wgs["micropython"][0][-1]
    argv = [*need(foreign.micropython, machine), "-X", "heapsize=1M", script]
    pair = {"newest": wgs["newest"], "ours": (argv, {"MICROPYPATH": str(need(micropython.compiled, None))})}
    for _ in range(3):  # a second may end between the two
        results = place.submit(place.run, case, pair).result()
        if results["ours"] == results["newest"]:
            break
    assert results["ours"] == results["newest"]
