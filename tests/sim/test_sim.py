"""A few short seeds of the simulation. `python -m tests.sim` runs more: see docs/trust.md."""

import gc
import os
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

import wgembed

from ..lab import debian, fastpath
from ..lab.need import need
from .simscenario import Scenario

ROOT = Path(__file__).parents[2]
RUNS = [("hub", 2, 1, 6), ("hub", 9, 1, 1), ("hub", 20, 1, 0.5), ("mesh", 3, 1, 2), ("mesh", 6, 1, 1),
        ("hub", 5, 2, 1), ("mesh", 6, 3, 1), ("mesh", 3, 3, 1)]  # fmt: skip


def run(seed, days, devices=2, topology="hub", library=None, together=1):
    """Run a scenario to its end and return its simulation."""
    scenario = Scenario(seed, devices, topology, together, library)
    try:
        scenario.run(days)
    except AssertionError as error:
        pytest.fail(
            f"python -m tests.sim --seed {seed} --days {days} --devices {devices} --topology {topology} "
            f"--together {together}: {error}"
        )
    finally:
        scenario.sim.close()
    return scenario.sim


@pytest.mark.parametrize("seed", range(101, 104))
@pytest.mark.parametrize("topology, devices, together, days", RUNS)
def test_all_that_must_hold_does(topology, devices, together, days, seed):
    counts = run(seed, days, devices, topology, together=together).counts
    # A run without events would prove nothing.
    for name in ("delivered", "responses", "cookies", "attacks", "starts", "passed_limiter"):
        assert getattr(counts, name) > 5 * days, name
    assert counts.heals == max(1, days * 4)
    if days > 1:
        assert counts.backed_off, "the interval between initiations was never longer"


def test_a_seed_is_the_same_run_bit_for_bit():
    first, again, other = (run(seed, 1, 4, "mesh").digest() for seed in (7, 7, 8))
    assert first == again != other


def test_a_seed_is_the_same_run_in_another_process():
    """Also with another hash seed of the interpreter."""
    digests = set()
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-m", "tests.sim", "--seed", "7", "--devices", "4", "--topology", "mesh"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        digests.add(done.stdout.split()[-1])
    assert digests == {run(7, 1, 4, "mesh").digest()}


@pytest.mark.parametrize("topology, devices, together", [("hub", 2, 1), ("mesh", 4, 2)])
def test_the_c_library_makes_no_difference(topology, devices, together):
    """The messages and their times are the same."""
    need(fastpath.compiler)
    for seed in (11, 12):
        pure, served = (run(seed, 1, devices, topology, library, together) for library in (None, fastpath.built()))
        assert served.digest() == pure.digest()


def test_micropython_makes_no_difference():
    command = need(debian.micropython)
    arguments = ["-m", "tests.sim", "--seed", "13", "--days", "0.5"]
    command = [*command, "-X", "heapsize=16M", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[-1] == run(13, 0.5).digest()


def test_memory_is_constant():
    """After the first day, the memory of the package does not grow, except that integers become larger."""
    scenario, held = Scenario(21), []
    installed = Path(wgembed.__file__).parent  # which is here or in the folder of pip

    def measure(day):
        gc.collect()
        snapshot = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, f"{installed}/*")])
        held.append(sum(trace.size for trace in snapshot.traces))

    tracemalloc.start()
    try:
        # All objects are made while memory is traced, also the tables of the first start.
        for machine in scenario.sim.machines:
            machine.stop()
            machine.start()
        scenario.run(4, measure)
    finally:
        tracemalloc.stop()
        scenario.sim.close()
    assert held[0] > 100_000, "the tables are seen"
    assert max(held[1:]) - held[0] < 8_000, held


def test_a_failing_seed_tells_how_to_run_it_alone(tmp_path):
    """Run with a protocol that does not check for replays."""
    for folder in ("wgembed", "tests/sim", "tests/unit"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests/__init__.py", tmp_path / "tests")
    replay = tmp_path / "wgembed/protocol/replay.py"
    source = replay.read_text()
    assert source.count("if windows[word] & bit:") == 1
    replay.write_text(source.replace("if windows[word] & bit:", "if False:"))
    command = [sys.executable, "-m", "tests.sim", "--seed", "5", "--seeds", "2", "--days", "1"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    again = [line for line in done.stdout.splitlines() if line.startswith("again: ")]
    assert again[0] == "again: python -m tests.sim --seed 5 --days 1 --devices 2 --topology hub --together 1"
    command = [sys.executable, *again[0].split()[2:]]
    alone = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    told = [line for line in done.stdout.splitlines() if line.startswith("seed 5, after")]
    assert alone.returncode == 1 and told[0] in alone.stdout
    assert "delivered twice" in told[0]
