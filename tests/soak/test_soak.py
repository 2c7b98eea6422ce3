"""The soak for as long as a change may take; `python -m tests.soak.soak --minutes 30` is the long one."""

import os
import subprocess
from contextlib import ExitStack

import pytest

from ..lab.need import need
from . import soak

MINUTES, EVERY = 0.4, 2


@pytest.mark.parametrize("program", ["cpython-fast", "micropython"])
def test_a_disturbed_tunnel_neither_grows_nor_leaks_nor_errs(program):
    need(soak.PROGRAMS[program].prepare)
    with ExitStack() as closing:
        assert soak.Soak(program, 1, closing).run(MINUTES, EVERY) == []


def test_a_child_of_a_process_is_counted():
    """What is counted is really seen: our own child."""
    with subprocess.Popen(["sleep", "5"]) as child:
        assert child.pid in soak.children(os.getpid())
        child.kill()
