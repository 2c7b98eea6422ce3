"""Tests of the control socket: its protocol."""
