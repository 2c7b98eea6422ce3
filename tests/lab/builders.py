"""The programs of package/, which is a folder of scripts, as modules."""

import importlib.util
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "package"


def _load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # The others import it by this name. The folder must not be on the path, because its folder wgembed is not a package.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


compact, build_mpy, contents, build_ipk = map(_load, ("compact", "build_mpy", "contents", "build_ipk"))
adb, signing, build_apk, build_feed = map(_load, ("adb", "signing", "build_apk", "build_feed"))
build_deb, build_pot, build_wheels = map(_load, ("build_deb", "build_pot", "build_wheels"))
