"""Tests of single modules, for CPython and MicroPython."""
