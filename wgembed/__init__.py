"""wgembed: WireGuard in user space, for routers whose kernel has no WireGuard."""

__version__ = "0.2.0"
