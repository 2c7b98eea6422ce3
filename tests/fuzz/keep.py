"""Add to the corpus those inputs of a folder that reach lines of this project which none in the corpus reaches.

    python -m tests.fuzz.keep TARGET FOLDER

The smallest come first. An input's name is the hash of it.
"""

import hashlib
import sys
from pathlib import Path

import wgembed

from .targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
OURS = str(Path(wgembed.__file__).parent)


def steps(target, data):
    """The steps from line to line that the target takes with this input."""
    taken = set()

    def trace(frame, event, _):
        name = frame.f_code.co_filename
        if not name.startswith(OURS):
            return None
        before = frame.f_code.co_firstlineno

        def lines(frame, event, _):
            nonlocal before
            if event == "line":
                taken.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return lines

        return lines

    sys.settrace(trace)
    try:
        target(data)
    finally:
        sys.settrace(None)
    return taken


def main():
    name, folder = sys.argv[1], Path(sys.argv[2])
    known = set()
    for path in (CORPUS / name).iterdir():
        known |= steps(TARGETS[name], path.read_bytes())
    found = sorted((path.read_bytes() for path in folder.iterdir()), key=lambda data: (len(data), data))
    for data in found:
        taken = steps(TARGETS[name], data)
        if not taken <= known:
            known |= taken
            (CORPUS / name / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)


if __name__ == "__main__":
    main()
