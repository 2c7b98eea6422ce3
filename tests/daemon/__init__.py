"""Tests of the real program as a daemon."""
