"""The programs of package/, which is a folder of scripts, as modules."""

import importlib.util
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "package"


def _load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build_ipk, build_pot, build_wheels = map(_load, ("build_ipk", "build_pot", "build_wheels"))
