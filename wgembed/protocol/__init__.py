"""WireGuard itself, without a socket, a clock or an operating system.

Every function that needs the time takes `now`: milliseconds of CLOCK_BOOTTIME, an int. `Device` gets a host object,
an arena and an inbox. The protocol calls the machine through the host, and the packets are in the arena and the inbox.

Imports go in one direction: `device` joins the other modules, and none of them imports `device`. A peer's record
refers to its device, but only `device` uses this reference.
"""
