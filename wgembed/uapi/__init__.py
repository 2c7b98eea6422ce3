"""What programs ask and are told: WireGuard's cross-platform control protocol (UAPI), both of its ends."""
