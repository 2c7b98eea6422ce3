"""What a test needs and may not find: skipped on a developer's machine, a failure in CI."""

import os
import shutil

import pytest


class Missing(Exception):
    """Something outside the tree is not there; the text says what to do about it."""


def have(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None


def programs(*names):
    missing = [name for name in names if not have(name)]
    if missing:
        raise Missing(f"not installed: {', '.join(missing)}")


def privileges():
    """Namespaces want root, and userspace peers a TUN device."""
    if os.geteuid():
        raise Missing("root is needed for network namespaces")
    if not os.path.exists("/dev/net/tun"):
        raise Missing("/dev/net/tun is needed")


def need(prepare, *args):
    """Return prepare(*args); where something is Missing, skip, or fail if this is CI."""
    try:
        return prepare(*args)
    except Missing as missing:
        reason = str(missing)
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
