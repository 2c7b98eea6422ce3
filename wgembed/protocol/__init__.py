"""WireGuard itself, without a socket, a clock or an operating system.

Every function that needs the time takes `now`: milliseconds of CLOCK_BOOTTIME, an int. What the protocol asks of
the machine goes through the host object given to `Device`. Data flows one way: `device` joins the other modules,
none of them knows it.
"""
