"""The programs of package/, which is a folder of scripts, as modules."""

import importlib.util
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "package"


def _load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # By this name the others import it. The folder must not be on the path: it has one called wgembed, which is no package.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


build_mpy, build_ipk, build_pot, build_wheels = map(_load, ("build_mpy", "build_ipk", "build_pot", "build_wheels"))
