"""Whole machines with the CPUs of routers, emulated."""
