"""The package for Debian: dpkg, and units of systemd."""
