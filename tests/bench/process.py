"""What the kernel tells of a running process."""

import time
from pathlib import Path

_WHOLE_PROCESS, _RUNNING = 0, 2  # as clock_getcpuclockid() makes the number of a clock


def cpu(pid):
    """Return the seconds that all threads of the process have run, in user space and in the kernel."""
    return time.clock_gettime(~pid << 3 | _WHOLE_PROCESS | _RUNNING)


def memory(pid):
    """Return resident and proportional memory in KB."""
    return _field(pid, "status", "VmRSS:"), _field(pid, "smaps_rollup", "Pss:")


def switches(pid):
    """Return how often the process has gone to sleep of its own will."""
    return _field(pid, "status", "voluntary_ctxt_switches:")


def has_mapped(pid, path):
    """Whether the file is in the process's memory, as a library is that it has loaded."""
    return any(line.rstrip().endswith(" " + path) for line in Path(f"/proc/{pid}/maps").read_text().splitlines())


def _field(pid, file, name):
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise ValueError(f"no {name} in {file}")
