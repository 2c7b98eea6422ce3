"""Tests with system calls that fail."""
