"""The time of the tests: for every file, its duration, and the CPU time of this machine.

    .venv/bin/python -m pytest -p tests.lab.durations

The rest is waiting. The CPU time of a program that still runs, such as a guest for several tests, is added to the test that
ends the program.
"""

import os

import pytest

_MOST_FILES = 60
_CPU = "cpu_s"


def _cpu_s():
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    before = _cpu_s()
    item.user_properties.append((_CPU, lambda: _cpu_s() - before))
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    # A report is sent between processes, so it contains only numbers.
    report.user_properties = [(name, value() if name == _CPU else value) for name, value in report.user_properties]
    return report


def pytest_terminal_summary(terminalreporter):
    files = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                file = report.nodeid.partition("::")[0]
                tests, wall_s, cpu_s = files.get(file, (0, 0, 0))
                last = report.when == "teardown"
                cpu_s += dict(report.user_properties).get(_CPU, 0) if last else 0
                files[file] = tests + last, wall_s + report.duration, cpu_s
    terminalreporter.section("where the time went")
    terminalreporter.line("%-48s %6s %8s %8s" % ("file", "tests", "seconds", "CPU"))
    order = sorted(files.items(), key=lambda entry: -entry[1][1])
    for path, (tests, wall_s, cpu_s) in order[:_MOST_FILES]:
        terminalreporter.line("%-48s %6d %8.1f %8.1f" % (path, tests, wall_s, cpu_s))
    totals = [sum(figures[i] for figures in files.values()) for i in range(3)]
    terminalreporter.line("%-48s %6d %8.1f %8.1f" % ("all", *totals))
