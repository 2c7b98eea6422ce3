"""Fuzz one target, guided by coverage of this project's code (atheris, libFuzzer).

    python -m tests.fuzz.fuzz TARGET FOLDER [-max_total_time=SECONDS] [-runs=N] [libFuzzer's options]
    python -m tests.fuzz.fuzz TARGET FILE...

Inputs of before, tests/fuzz/corpus/TARGET, are where it begins; what it finds goes to the folder, and keep.py takes from
there what is worth keeping. With files, these alone are run. The targets are in targets.py.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["wgembed"]):
    from .targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in TARGETS:
        sys.exit(f"{__doc__}\nTargets: {' '.join(TARGETS)}")
    name = sys.argv.pop(1)
    if all(Path(argument).is_dir() for argument in sys.argv[1:] if not argument.startswith("-")):
        sys.argv.append(str(CORPUS / name))
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
