"""Which segmentation offloads are used: UDP GSO, UDP GRO, and those of the tunnel device.

Each has a switch. None leaves the choice to wgembed: then an offload that has a fault in this version of the kernel is not
used (kernel_faults.py), and protocol/segmentation.py finds out whether datagrams sent with GSO arrive: if there is reason
to suspect that they do not, or from the start with WGEMBED_GSO=test. If the kernel refuses an offload, the sockets and the
tunnel port stop using it.
"""

import sys

# A part of the result of FastTunPort.flush: the kernel refused joined packets (JOIN_REFUSED in fastpath.c).
JOIN_REFUSED = 0x40000000


class Offloads:
    """The switches `gso`, `gro` and `tun` of this process, and whether GRO and USO have a fault in this kernel.

    usual  the three switches of the environment
    tests  when segmented sends are tested where `gso` is None: see protocol/segmentation.py
    """

    def __init__(self):
        from . import kernel_faults

        self.gro_fault, self.uso_fault = kernel_faults.has_faults()
        self.tests = kernel_faults.tests_gso()
        self.usual = self.gso, self.gro, self.tun = kernel_faults.switches()
        del sys.modules[kernel_faults.__name__], sys.modules[__name__.rpartition(".")[0]].kernel_faults

    def use(self, socket):
        """Apply the switches to the socket."""
        socket.use_offloads(self.gso is not False, not self.gro_fault if self.gro is None else self.gro)
