"""Tests on other machines, emulated."""
