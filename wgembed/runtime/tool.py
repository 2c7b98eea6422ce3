"""What commands need of the machine beyond what the daemon does. Apart from it, for it would cost the daemon memory."""

import sys

if sys.implementation.name == "micropython":
    from .micropython.tool import *  # noqa: F403
else:
    from .cpython.tool import *  # noqa: F403
