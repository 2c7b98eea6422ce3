"""Tests of the control socket: what is said at it."""
