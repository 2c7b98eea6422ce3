"""Tests of the calls to the operating system, on both interpreters."""
