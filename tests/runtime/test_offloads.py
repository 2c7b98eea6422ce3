"""Which offloads are used: by switches, and by the version of the kernel."""

from types import SimpleNamespace

import pytest

from wgembed.daemon import router_options
from wgembed.protocol import segmentation
from wgembed.runtime import kernel_faults, offloads


class Socket:
    def use_offloads(self, gso, gro):
        self.used = gso, gro


@pytest.fixture
def of(monkeypatch):
    """Return a function that makes the Offloads of a kernel with these faults, with switches in the environment."""

    def make(gro_fault=False, **switches):
        for name in ("GSO", "GRO", "TUN_OFFLOAD"):
            monkeypatch.delenv("WGEMBED_" + name, raising=False)
        for name, value in switches.items():
            monkeypatch.setenv("WGEMBED_" + name, value)
        found = offloads.Offloads()
        found.gro_fault = gro_fault
        return found

    return make


@pytest.mark.parametrize(
    "release, version",
    [
        (b"6.1.0-18-amd64\n", (6, 1, 0)), (b"5.4.188", (5, 4, 188)), (b"6.18.44-fc-v669", (6, 18, 44)), (b"4.4", (4, 4, 0)),
        (b"6.6.44.1-vendor", (6, 6, 44)), (b"", (0, 0, 0)), (b"vendor", (0, 0, 0)), (b"6.8.0-31-generic", (6, 8, 0)),
    ],
)  # fmt: skip
def test_version(release, version):
    assert kernel_faults.version_of(release) == version


@pytest.mark.parametrize(
    "release, gro, uso",
    [
        ("3.10.49", True, False), ("5.4.188", True, False), ("5.11.22", True, False), ("5.12.0", False, False),
        ("6.1.60", False, False), ("6.2.0", False, True), ("6.6.44", False, True), ("6.8.4", False, True),
        ("6.8.5", False, False), ("6.12.1", False, False), ("7.0.2", False, False), ("scrubbed", False, False),
    ],
)  # fmt: skip
def test_faults_of_kernels(tmp_path, monkeypatch, release, gro, uso):
    kernel = tmp_path / "osrelease"
    kernel.write_text(release + "\n")
    monkeypatch.setattr(kernel_faults, "KERNEL", str(kernel))
    assert kernel_faults.has_faults() == (gro, uso)
    kernel.unlink()
    assert kernel_faults.has_faults() == (False, False)


@pytest.mark.parametrize(
    "fault, switches, used",
    [
        (False, {}, (True, True)), (True, {}, (True, False)), (True, {"GRO": "1"}, (True, True)),
        (False, {"GRO": "0"}, (True, False)), (False, {"GSO": "0"}, (False, True)), (True, {"GSO": "1"}, (True, False)),
    ],
)  # fmt: skip
def test_sockets(of, fault, switches, used):
    socket = Socket()
    of(fault, **switches).use(socket)
    assert socket.used == used


@pytest.mark.parametrize("value, tests", [(None, segmentation.IF_SUSPECTED), ("test", segmentation.ALWAYS)])
def test_when_segmented_sends_are_tested(of, value, tests):
    found = of(**({"GSO": value} if value else {}))
    assert found.gso is None and found.tests == tests


def test_options_replace_the_environment(of):
    found = of(GSO="0", GRO="maybe")
    assert (found.gso, found.gro, found.tun) == (False, None, None)
    for options, used in (((True, False, None), (True, False, None)), ((None, None, None), (False, None, None))):
        config = SimpleNamespace(gso=options[0], gro=options[1], tun_offload=options[2])
        router_options.use_offloads(SimpleNamespace(offloads=found, interfaces=()), config)
        assert (found.gso, found.gro, found.tun) == used
