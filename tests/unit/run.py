"""Runs unit tests where there is no pytest: micropython tests/unit/run.py [MODULE...]

Without names it takes every test_*.py of this folder that imports here; the ones for CPython alone import pytest.
The exit status is 1 when a test failed.
"""

import gc
import os
import sys


def _print_traceback(error):
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
    else:
        import traceback

        traceback.print_exception(error)


def _modules(folder):
    return sorted(name[:-3] for name in os.listdir(folder or ".") if name.startswith("test_") and name.endswith(".py"))


def _load(name):
    """Import the module; None if it needs pytest."""
    try:
        __import__(name)
    except ImportError as error:
        if "pytest" not in str(error):
            raise
        return None
    return sys.modules[name]


def _run(name, test):
    gc.collect()
    try:
        test()
    except Exception as error:
        print("FAILED", name)
        _print_traceback(error)
        return False
    return True


def main(arguments):
    folder = __file__.rpartition("/")[0]
    sys.path.insert(0, folder + "/../.." if folder else "../..")
    sys.path.insert(0, folder)
    passed = failed = 0
    for name in arguments or _modules(folder):
        module = _load(name)
        if module is None:
            print("skipped", name)
            continue
        for test in sorted(n for n in dir(module) if n.startswith("test_")):
            if _run(name + "." + test, getattr(module, test)):
                passed += 1
            else:
                failed += 1
        del sys.modules[name]
    print(passed, "passed,", failed, "failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
