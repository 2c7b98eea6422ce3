"""The simulation of devices over years: see docs/trust.md."""
