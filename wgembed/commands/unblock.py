"""`wgembed unblock`: ends the effect of `kill_switch` after the service was stopped."""

from ..daemon import network
from ..errors import UsageError, UserError, cause
from ..runtime import abi, folders, netconf, system, tool
from ..uapi.server import is_served

# How long the command waits for the end of a daemon that was stopped just before, and between two looks, in ms.
_END_TIMEOUT_MS = 10_000
_STEP_MS = 100


class _Requests:
    """Applies requests at once, as a NetConf."""

    def submit(self, requests, done):
        for errno in netconf.apply(requests):
            if errno in (abi.EPERM, abi.EACCES):
                raise UserError(
                    "cannot remove the routes of kill_switch: %s. Run this command as root" % cause(OSError(errno))
                )
        done(())


def unblock(program, arguments):
    """Remove the routes and rules that `kill_switch` left; return the exit status. UserError if a daemon still runs."""
    if len(arguments) > 1:
        raise UsageError
    directory = folders.run()
    end = system.clock.now() + _END_TIMEOUT_MS
    while True:
        served = [name for name in network.recorded(directory) if is_served(name)]
        if not served or system.clock.now() >= end:
            break
        tool.sleep_us(_STEP_MS * 1000)
    network.clear_up(directory, is_served, _Requests(), lambda name: True)
    if served:
        raise UserError("%s is still served: stop the service first" % served[0])
    return 0
