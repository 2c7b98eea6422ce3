"""Devices in simulated years, see docs/trust.md."""
