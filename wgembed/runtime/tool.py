"""Functions of the backend that only commands need. They are a separate module, to save memory in the daemon."""

import sys

if sys.implementation.name == "micropython":
    from .micropython.tool import *  # noqa: F403
else:
    from .cpython.tool import *  # noqa: F403
