"""A slow CPU: a process that may use only a part of a core (CFS, cgroup v1)."""

import contextlib
import os
from pathlib import Path

from .need import Missing

CGROUPS = Path("/sys/fs/cgroup/cpu")
# The kernel grants 1 ms at least.
_PERIODS_US = {5: 20_000}
_PERIOD_US = 10_000


def prepare():
    if not (CGROUPS / "cpu.cfs_quota_us").exists() and not (CGROUPS / "tasks").exists():
        raise Missing("the cpu controller of cgroup v1 is not mounted on /sys/fs/cgroup/cpu")


@contextlib.contextmanager
def held(pid, percent):
    """Let the process use this share of a core, before all others: it is stopped for the rest of each period."""
    if percent >= 100:
        yield
        return
    group = CGROUPS / f"wgembed-{os.getpid()}-{pid}"
    group.mkdir()
    try:
        period = _PERIODS_US.get(percent, _PERIOD_US)
        (group / "cpu.cfs_period_us").write_text(str(period))
        (group / "cpu.cfs_quota_us").write_text(str(period * percent // 100))
        (group / "cpu.shares").write_text("262144")
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for one in (group / "cgroup.procs").read_text().split():
            (CGROUPS / "cgroup.procs").write_text(one)
        group.rmdir()
