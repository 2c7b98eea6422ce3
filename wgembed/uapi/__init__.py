"""The control socket: server and client of WireGuard's cross-platform protocol (UAPI)."""
