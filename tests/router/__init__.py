"""Tests of `wgembed run`."""
