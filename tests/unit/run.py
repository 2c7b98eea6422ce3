"""Run unit tests without pytest: micropython -m tests.unit.run [MODULE...], from the root of the source.

Without names it runs every test_*.py of this folder, except those for CPython only, which import pytest.
The exit status is 1 if a test failed.
"""

import gc
import os
import sys

FOLDER = __file__.rpartition("/")[0]
PACKAGE = ".".join(FOLDER.split("/")[-2:])


def _print_traceback(error):
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
    else:
        import traceback

        traceback.print_exception(error)


def _modules():
    return sorted(name[:-3] for name in os.listdir(FOLDER) if name.startswith("test_") and name.endswith(".py"))


def _is_for_pytest(path):
    # Decided without an import, because the file possibly does not compile here.
    with open(path) as source:
        return any(line[:13] == "import pytest" or line[:11] == "from pytest" for line in source)


def _attempt(name, step, *arguments):
    """Return whether the step succeeds. If not, print the error."""
    gc.collect()
    try:
        step(*arguments)
    except Exception as error:
        print("FAILED", name)
        _print_traceback(error)
        return False
    return True


def _run(name):
    """Run the tests of a module. Return how many passed and how many failed."""
    if not _attempt(name, __import__, PACKAGE + "." + name):
        return 0, 1
    module = sys.modules.pop(PACKAGE + "." + name)
    # The package also has a reference to it. Memory is freed for the next module.
    delattr(sys.modules[PACKAGE], name)
    tests = sorted(test for test in dir(module) if test.startswith("test_"))
    passed = sum([_attempt(name + "." + test, getattr(module, test)) for test in tests])
    return passed, len(tests) - passed


def main(arguments):
    passed = failed = 0
    for name in arguments or _modules():
        if _is_for_pytest(FOLDER + "/" + name + ".py"):
            print("skipped", name)
            continue
        counts = _run(name)
        passed += counts[0]
        failed += counts[1]
    print(passed, "passed,", failed, "failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
