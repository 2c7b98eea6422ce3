"""WireGuard itself, without a socket, a clock or an operating system.

Every function that needs the time takes `now`: milliseconds of CLOCK_BOOTTIME, an int. What the protocol asks of
the machine goes through the host object given to `Device`, and packets stand in the arena and the inbox given to it.

Imports go one way: `device` joins the other modules, and none of them imports it. A peer's record
refers to its device, but only `device` makes use of that.
"""
