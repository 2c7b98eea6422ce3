"""Tests of what runs: its parts, and the real program as a daemon."""
