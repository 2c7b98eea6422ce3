"""The default tests beside a busy machine: what fails here fails by impatience.

    .venv/bin/python -m tests.steady [RUNS [LOOPS]]

Runs pytest RUNS times (3) with LOOPS (4) processes beside it that compute all the time. Prints how each run ended, and what
failed; exits with 1 if anything did.
"""

import contextlib
import subprocess
import sys
import time

RUNS, LOOPS = 3, 4


@contextlib.contextmanager
def busy(loops):
    """So many processes compute meanwhile."""
    children = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def main(runs=RUNS, loops=LOOPS):
    failed = 0
    for run in range(1, runs + 1):
        begin = time.monotonic()
        with busy(loops):
            done = subprocess.run([sys.executable, "-m", "pytest", "-q"], stdout=subprocess.PIPE, text=True)
        lines = done.stdout.splitlines()
        failed += done.returncode != 0
        print(f"run {run}: {time.monotonic() - begin:.0f} s beside {loops} loops, exit code {done.returncode}: {lines[-1]}")
        print("\n".join(line for line in lines if line.startswith(("FAILED", "ERROR"))), end="", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
