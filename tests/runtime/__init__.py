"""Tests of what the machine is asked, on both runtimes."""
