"""What holds for all tests: which of them a run takes, and how many at a time; docs/testing.md says it to people.

`pytest` without a path or `-m` leaves out what is long. Whole runs use several processes, as most of the tests wait.
"""

import os
import re
import signal
from pathlib import Path

import pytest

from .lab import leftovers, need

TESTS = Path(__file__).parent

# Minutes of rekeys, emulated machines, simulated days; what others bring their own tests for.
LONG = (
    "commands/test_report.py", "daemon/test_flood.py", "daemon/test_segments.py", "debian/", "fastpath/test_again.py",
    "fastpath/test_build.py",
    "fastpath/test_foreign.py", "fastpath/test_forwarding.py", "fastpath/test_sanitizers.py", "faults/", "foreign/",
    "fuzz/", "interop/test_foreign_scripts.py", "interop/test_interop_boringtun.py", "interop/test_interop_cookie.py",
    "interop/test_interop_mtu.py", "interop/test_interop_netem.py", "interop/test_interop_recovery.py",
    "interop/test_interop_rekey.py", "interop/test_interop_roaming.py", "interop/test_interop_storm.py",
    "interop/test_interop_traffic.py", "luci/test_browser.py", "luci/test_plugin.py", "luci/test_poll.py",
    "luci/test_stock.py", "machines/",
    "openwrt/test_router.py", "openwrt/test_tools_package.py", "router/test_apply.py", "router/test_event_hooks.py",
    "router/test_failover.py",
    "router/test_history.py", "router/test_idle.py", "router/test_kill_switch.py",
    "router/test_names.py", "router/test_old_kernels.py", "router/test_seccomp.py",
    "sim/test_fleet.py", "sim/test_sim.py", "sim/test_sim_failover.py", "sim/test_sim_history.py",
    "sim/test_sim_paths.py", "soak/",
    "test_coverage.py",
)  # fmt: skip
# What needs neither root nor other programs, and takes a minute in all.
QUICK = (
    "config/", "oracle/", "property/", "sim/test_sim_catches.py", "test_", "uapi/", "unit/",
)  # fmt: skip
# What docs/trust.md and docs/threat-model.md rest on.
TRUST = (
    "sim/", "fuzz/", "faults/", "soak/", "daemon/test_confined.py", "daemon/test_flood.py", "daemon/test_secrets.py",
    "interop/test_interop_netem.py", "interop/test_interop_storm.py", "router/test_seccomp.py", "test_comparisons.py",
    "test_coverage.py", "unit/test_others_bugs.py",
)  # fmt: skip

# Most tests wait most of the time: two processes a core; those that are quick compute. Each process gets one unit of work
# after another, which is a file, as what is set up for a file is set up once, but for these:
CORES = os.cpu_count() or 1
# Units of one test each.
APART = (
    "fastpath/test_foreign.py", "foreign/", "interop/test_interop_cookie.py", "interop/test_interop_mtu.py",
    "interop/test_interop_roaming.py", "interop/test_interop_traffic.py", "machines/", "router/test_corpus.py",
    "router/test_event_hooks.py", "router/test_failover.py", "router/test_history.py", "router/test_network.py",
    "router/test_old_kernels.py", "router/test_run.py",
)  # fmt: skip
# One unit: each guest with a kernel of its own is booted once for all of them.
GUEST = re.compile(r"test_interop_(recovery|rekey)\.py|\[.*linux-6\.")
# The units that take longest, and are begun first, or the others would have to wait for them at the end.
FIRST = (GUEST, re.compile("interop/test_interop_netem"), re.compile("foreign/"), *(re.compile(name) for name in (
    "machines/", "router/test_failover", "router/test_setups", "router/test_old_kernels",
    "openwrt/test_router", "daemon/test_flood", "sim/test_sim",
    "router/test_network", "soak/", "router/test_run", "router/test_bad_config", "interop/test_interop_storm",
)))  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return  # paths say what is run
    option = config.option
    # pytest-xdist's processes are called as this one is: they select the same tests, but start no others.
    option.markexpr = option.markexpr or "not long"
    wanted = getattr(option, "numprocesses", 0)
    if wanted is None and not (option.usepdb or option.collectonly or "PYTEST_XDIST_WORKER" in os.environ):
        option.numprocesses = CORES if option.markexpr == "quick" else 2 * CORES
        option.loadscopereorder = False


def pytest_configure():
    # What is not said to have the C library serve the packet path is pure Python, whatever is installed here.
    os.environ.setdefault("WGEMBED_FASTPATH", "0")
    # A shell lets what it starts in the background ignore it, and all that this starts would: tests interrupt programs.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _path(item):
    return item.path.relative_to(TESTS).as_posix()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        path = _path(item)
        for marker, paths in (("long", LONG), ("quick", QUICK), ("trust", TRUST)):
            if path.startswith(paths) and not (marker == "quick" and path.startswith(LONG)):
                item.add_marker(marker)
    items.sort(key=lambda item: next((n for n, names in enumerate(FIRST) if names.search(item.nodeid)), len(FIRST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        """The tests of a unit go to one process, one after another."""

        def _split_scope(self, nodeid):
            if GUEST.search(nodeid):
                return "guest"
            return nodeid if nodeid.removeprefix("tests/").startswith(APART) else nodeid.partition("::")[0]

    return Scheduling(config, log)


def pytest_sessionstart():
    leftovers.sweep()


def pytest_sessionfinish():
    leftovers.sweep()


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    for line in need.summary([report.longrepr[2] for report in skipped]):
        terminalreporter.line(line)
