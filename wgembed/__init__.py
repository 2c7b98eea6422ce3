"""wgembed: WireGuard in user space for routers whose kernel has none."""

__version__ = "0.1.0"
